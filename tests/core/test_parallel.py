"""One network on several devices: the same batches in parts, the same gradients, the same state everywhere."""

import io
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing
from photograph_files import write_folder
from torch import nn

from stcnas_core.config import RetrainConfig
from stcnas_core.data import batch_sizes
from stcnas_core.errors import DivergedError, InputError
from stcnas_core.image_sets import open_images
from stcnas_core.parallel import Group
from stcnas_core.published_cells import PUBLISHED_CELLS
from stcnas_core.retrain import Retrain

SIZE = {"cells": 3, "channels": 4, "epochs": 3, "batch_size": 15, "drop_path": 0.3}
DIGITS = RetrainConfig(PUBLISHED_CELLS["DARTS_V2"].text, **SIZE, resolution=32, train_images=33, test_images=7)
PHOTOGRAPHS = replace(DIGITS, dataset="imagenet", train_images=None, test_images=None, auxiliary_weight=0)
HOLLOW = RetrainConfig(
    "|none~0|+|skip_connect~0|nor_conv_1x1~1|+|none~0|none~1|avg_pool_3x3~2|", **SIZE, train_images=33, test_images=7
)
"""A cell of NAS-Bench-201 with weights that no gradient reaches."""


Work = tuple[Callable[..., dict[str, Any]], *tuple[Any, ...]]
"""A function of a group and its further arguments."""


def each(size: int, folder: Path, *works: Work) -> list[list[dict[str, Any]]]:
    """For each work what it returns in each of so many processes of one group."""
    torch.multiprocessing.spawn(_process, (size, str(folder), works), nprocs=size)
    found = [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(size)]
    return list(map(list, zip(*found, strict=True)))


def _process(rank: int, size: int, folder: str, works: tuple[Work, ...]) -> None:
    torch.set_num_threads(1)
    group = Group.join(dist.FileStore(f"{folder}/store", size), rank, size, "cpu")
    torch.save([work(group, *arguments) for work, *arguments in works], f"{folder}/{rank}.pt")
    dist.barrier()
    dist.destroy_process_group()


def epochs(group: Group, config: RetrainConfig, path: str | None, count: int, state: bytes | None) -> dict[str, Any]:
    """Some epochs from a state that the first process has: what was measured, and the state after them."""
    path = path if config.dataset == "imagenet" else None
    run = Retrain(config, data_path=path, device="cpu", group=group)
    if state is not None and group.rank == 0:
        run.load_state_dict(torch.load(io.BytesIO(state), weights_only=True))
    run.join()
    rows = [asdict(run.run_epoch()) for _ in range(count)]
    times = ("step_seconds", "device_seconds")
    return {"rows": [{k: v for k, v in row.items() if k not in times} for row in rows], "state": run.state_dict()}


def gradients(group: Group, config: RetrainConfig) -> dict[str, Any]:
    """Of the first batch, whose parts are unequal, with batch norm as in a test."""
    run = Retrain(config, device="cpu", group=group)
    run.join()
    run.model.eval()
    x, y = next(run._batches())
    run.group.weighed(run._loss(run._replica(x), y), len(x), config.batch_size).backward()
    return {"images": len(x), **{name: value.grad for name, value in run.model.named_parameters()}}


def poisoned(group: Group, config: RetrainConfig) -> dict[str, Any]:
    run = Retrain(config, device="cpu", group=group)
    run.join()
    if group.rank == 1:
        run.train._mean.fill_(float("nan"))  # type: ignore[attr-defined]
    with pytest.raises(DivergedError) as raised:
        run.run_epoch()
    return {"raised": str(raised.value).partition(";")[0]}


def equal(one: Any, other: Any) -> bool:
    """Whether two states are the same bit for bit."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(equal(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(equal, one, other))
    return torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_folder(tmp_path_factory.mktemp("folder") / "imagenet").parent)


@pytest.mark.parametrize("dataset", ["digits", "imagenet"])
def test_parts_make_up_each_batch_with_what_was_drawn_for_it(root: str, dataset: str) -> None:
    images = open_images(dataset, "train", path=root if dataset == "imagenet" else None, device="cpu", resolution=32)

    def batches(group: Group) -> list[tuple[torch.Tensor, torch.Tensor]]:
        order, augment = (torch.Generator().manual_seed(seed) for seed in (1, 2))
        chosen = torch.arange(36)
        return list(images.batches(chosen, 15, order=order, augment=augment, cutout=16, group=group))

    for size in (2, 3):
        parts = [batches(Group(rank, size)) for rank in range(size)]
        assert [len(y) for _, y in parts[-1]] == [8, 8, 3] if size == 2 else [5, 5, 2]
        for whole, *slices in zip(batches(Group()), *parts, strict=True):
            for value, pieces in zip(whole, zip(*slices, strict=True), strict=True):
                assert torch.equal(value, torch.cat(pieces))


def test_a_last_batch_without_two_images_for_each_is_left_out() -> None:
    assert batch_sizes(33, 8) == [8, 8, 8, 8]
    assert batch_sizes(35, 8) == [8, 8, 8, 8, 3]
    assert batch_sizes(35, 8, Group(0, 2).least) == [8, 8, 8, 8]
    assert batch_sizes(3, 8, Group(0, 2).least) == [3]
    assert batch_sizes(9, 8, least=1) == [8, 1]
    assert batch_sizes(0, 8) == []
    with pytest.raises(InputError, match=r"batches of 15 images and 7 test images.*lower resources.retrain.devices"):
        Retrain(DIGITS, device="cpu", group=Group(0, 8))


CONFIGS = {"photographs": PHOTOGRAPHS, "digits": DIGITS, "hollow": HOLLOW}


@pytest.fixture(scope="module")
def two(root: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, Any]]]:
    """What two devices make of two epochs of each configuration, and their gradients; made at once, since processes
    take seconds to start.
    """
    works: list[Work] = [(epochs, config, root, 2, None) for config in CONFIGS.values()]
    works += [(gradients, DIGITS), (poisoned, DIGITS)]
    return dict(zip([*CONFIGS, "gradients", "poisoned"], each(2, tmp_path_factory.mktemp("two"), *works), strict=True))


def test_gradients_are_those_of_the_whole_batch(two: dict[str, list[dict[str, Any]]]) -> None:
    first, second = two["gradients"]
    whole = gradients(Group(), DIGITS)
    assert (first.pop("images"), second.pop("images"), whole.pop("images")) == (7, 8, 15)
    assert equal(first, second)
    for name, value in whole.items():
        torch.testing.assert_close(first[name], value, rtol=1e-4, atol=1e-6)


def test_what_diverges_on_one_device_diverges_on_all(two: dict[str, list[dict[str, Any]]]) -> None:
    assert [found["raised"] for found in two["poisoned"]] == ["the training diverged in epoch 0: loss nan"] * 2


def test_what_two_devices_began_one_or_three_go_on_with(
    root: str, tmp_path: Path, two: dict[str, list[dict[str, Any]]]
) -> None:
    works: list[Work] = []
    for name, config in CONFIGS.items():
        first, second = two[name]
        assert equal(first, second), name
        assert all(0 <= row["test_accuracy"] <= 100 for row in first["rows"])
        file = io.BytesIO()
        torch.save(first["state"], file)
        if config is PHOTOGRAPHS:
            works.append((epochs, config, root, 1, file.getvalue()))
        one = epochs(Group(), config, root, 1, file.getvalue())
        assert [row["epoch"] for row in one["rows"]] == [2]
        assert one["state"]["model"].keys() == first["state"]["model"].keys()
    three = each(3, tmp_path, *works)
    for found in three:
        assert all(equal(found[0], other) for other in found[1:])
        assert [row["epoch"] for row in found[0]["rows"]] == [2]


@pytest.mark.gpu
def test_two_cuda_devices_agree(tmp_path: Path) -> None:
    if torch.cuda.device_count() < 2:
        pytest.skip("needs two CUDA devices")
    ((first, second),) = each(2, tmp_path, (on_cuda, DIGITS))
    assert equal(first, second)


def on_cuda(group: Group, config: RetrainConfig) -> dict[str, Any]:
    """Two epochs over NCCL; the group that came with the process is another."""
    dist.destroy_process_group()
    torch.cuda.set_device(group.rank)
    store = dist.TCPStore("127.0.0.1", 29517, is_master=group.rank == 0)
    run = Retrain(config, device="cuda", group=Group.join(store, group.rank, 2, "cuda"))
    run.join()
    rows = [run.run_epoch().train_loss for _ in range(2)]
    return {"rows": rows, "model": {name: value.cpu() for name, value in run.model.state_dict().items()}}


def test_batch_norm_statistics_are_averaged() -> None:
    model = nn.BatchNorm1d(3)
    Group().average(model)
    assert torch.equal(model.running_mean, torch.zeros(3))  # type: ignore[arg-type]
