"""Images that stay on the disk: the same batches whatever the threads, samples per class, and what cannot be read."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from photograph_files import write_folder, write_parquet
from torch import Tensor

from stcnas_core import imagenet
from stcnas_core.errors import InputError
from stcnas_core.halves import draw_halves, first_by_turns
from stcnas_core.image_sets import ImageBatches, open_images
from stcnas_core.photographs import centred, decode
from stcnas_core.streaming import StreamedImages

MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("folder"))


def opened(root: Path, split: str = "train", **options: int | None) -> ImageBatches:
    return open_images("imagenet", split, path=str(root), device="cpu", **{"resolution": 32, **options})


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def together(batches: Iterable[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    found = list(batches)
    return torch.cat([x for x, _ in found]), torch.cat([y for _, y in found])


def test_unaugmented_batches_are_the_normalised_centres_in_order(root: Path) -> None:
    images = opened(root, "test")
    assert (len(images), images.classes, images.size) == (16, 4, 32)
    x, y = together(images.batches(torch.arange(16), 5, order=None, augment=None, drop_single=False))
    files = sorted((root / "val").rglob("*.JPEG"))
    pixels = np.stack([np.asarray(centred(decode(file.read_bytes(), ""), 32)) for file in files])
    expected = ((pixels / 255 - MEAN) / STD).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(x.numpy(), expected, atol=1e-5)
    assert y.tolist() == np.repeat(range(4), 4).tolist()
    assert x.is_contiguous(memory_format=torch.channels_last)


def test_batches_depend_on_the_generators_and_not_on_threads_or_what_ran_before(root: Path) -> None:
    encoded = imagenet.open_split(imagenet.locate(root), "train")
    found = []
    for threads in (1, 4):
        images = StreamedImages(encoded, "cpu", 32, threads=threads)
        next(images.batches(torch.arange(8), 4, order=generator(9), augment=generator(9)))
        state = torch.get_rng_state()
        options = {"order": generator(1), "augment": generator(2), "cutout": 16}
        found.append(together(images.batches(torch.arange(40), 7, **options)))
        assert torch.equal(torch.get_rng_state(), state)
    for one, other in zip(*found, strict=True):
        assert torch.equal(one, other)
    again = together(images.batches(torch.arange(40), 7, order=generator(1), augment=generator(3), cutout=16))
    assert torch.equal(again[1], found[0][1])
    assert not torch.equal(again[0], found[0][0])


def test_an_order_shuffles_and_a_last_single_image_is_dropped(root: Path) -> None:
    images = opened(root)
    _, plain = together(images.batches(torch.arange(48), 8, order=None, augment=None))
    _, mixed = together(images.batches(torch.arange(48), 8, order=generator(0), augment=None))
    assert plain.tolist() != mixed.tolist()
    assert sorted(plain.tolist()) == sorted(mixed.tolist())
    sizes = [[len(y) for _, y in images.batches(torch.arange(9), 8, order=None, augment=None, drop_single=drop)]
             for drop in (True, False)]  # fmt: skip
    assert sizes == [[8], [8, 1]]
    with pytest.raises(IndexError, match="0 to 47"):
        images.batches(torch.arange(49), 8, order=None, augment=None)


def test_parquet_is_shuffled_in_windows_of_row_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stcnas_core.streaming.WINDOW", 2)
    images = opened(write_parquet(tmp_path))
    assert isinstance(images, StreamedImages)
    order = images._shuffled(torch.arange(48), generator(0))
    assert sorted(order.tolist()) == list(range(48))
    windows = (order // 6).view(4, 12)
    assert all(len(set(window.tolist())) == 2 for window in windows)
    assert not torch.equal(order, order.sort().values)
    reads = []
    group = images._encoded._table.group
    monkeypatch.setattr(images._encoded._table, "group", lambda number: reads.append(number) or group(number))
    _, labels = together(images.batches(torch.arange(48), 8, order=generator(0), augment=None))
    assert sorted(reads) == list(range(8))
    assert torch.bincount(labels).tolist() == [12] * 4


def test_samples_are_disjoint_shares_of_every_class_drawn_by_seed(root: Path) -> None:
    images = opened(root)
    labels = np.repeat(range(4), 12)
    train, valid = images.halves(0, 0.25)
    assert len(train) == len(valid) == 12
    assert not set(train.tolist()) & set(valid.tolist())
    assert [np.bincount(labels[part.numpy()]).tolist() for part in (train, valid)] == [[3] * 4] * 2
    assert images.halves(0, 0.25)[0].tolist() == train.tolist()
    assert set(images.halves(1, 0.25)[0].tolist()) != set(train.tolist())


@settings(max_examples=25)
@given(st.lists(st.integers(0, 30), min_size=1, max_size=8), st.floats(0.01, 0.5), st.integers(0, 9))
def test_shares_are_rounded_up_or_down_in_every_class(counts: list[int], share: float, seed: int) -> None:
    labels = np.random.default_rng(seed).permutation(np.repeat(range(len(counts)), counts)).astype(np.int64)
    if not len(labels):
        return
    train, valid, _ = draw_halves(labels, seed, share)
    assert len(train) == len(valid)
    assert len({*train.tolist(), *valid.tolist()}) == 2 * len(train)
    for part in (train, valid):
        for label, found in enumerate(np.bincount(labels[part.numpy()], minlength=len(counts))):
            assert found <= counts[label] * share + 1
    total = len(labels) * share
    assert abs(len(train) - total) <= len(counts)


def test_a_rounded_share_is_exact_on_average() -> None:
    labels = np.zeros(3, np.int64)
    drawn = [len(draw_halves(np.concatenate([labels, labels + 1]), seed, 0.5)[0]) for seed in range(300)]
    assert np.mean(drawn) == pytest.approx(3, abs=0.5)
    assert set(drawn) <= {2, 3}


def test_a_limit_takes_from_the_classes_by_turns(root: Path) -> None:
    assert first_by_turns(np.array([0, 0, 0, 1, 2, 2]), 4).tolist() == [0, 1, 3, 4]
    assert first_by_turns(np.array([0, 0]), None).tolist() == [0, 1]
    images = opened(root, limit=10)
    assert len(images) == 10
    _, labels = together(images.batches(torch.arange(10), 5, order=None, augment=None))
    assert torch.bincount(labels).tolist() == [3, 3, 2, 2]
    with pytest.raises(InputError, match="49 images asked for, there are 48"):
        opened(root, limit=49)
    with pytest.raises(InputError, match="crops of 4 pixels"):
        opened(root, resolution=4)


def test_a_damaged_image_is_named_when_it_is_met(tmp_path: Path) -> None:
    root = write_folder(tmp_path, 2, 1)
    bad = sorted((root / "train").rglob("*.JPEG"))[5]
    bad.write_bytes(b"x")
    with pytest.raises(InputError, match=f"{bad.name}: 1 bytes that are no image"):
        list(opened(root).batches(torch.arange(8), 2, order=None, augment=None))
    bad.unlink()
    images = opened(root)
    sorted((root / "train").rglob("*.JPEG"))[0].unlink()
    with pytest.raises(InputError, match="cannot be read"):
        list(images.batches(torch.arange(7), 2, order=None, augment=None))
