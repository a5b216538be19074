"""P-DARTS: supernets grow, candidates shrink, and skip connections are held back."""

import math
from typing import Any

import pytest
import torch

from stcnas_core import methods
from stcnas_core.config import SearchConfig
from stcnas_core.errors import InputError
from stcnas_core.methods.pdarts import PDarts, decay
from stcnas_core.search import Search
from stcnas_core.topology import DARTS, NASBENCH201

SMALL: dict[str, Any] = {"channels": 2, "batch_size": 16, "epochs": 6, "train_images": 32}


def build(topology=DARTS, **options) -> PDarts:
    method = methods.build(SearchConfig(space=topology.name, method="pdarts", **options), topology, "cpu")
    assert isinstance(method, PDarts)
    return method


@pytest.mark.parametrize(
    ("topology", "cells", "depths", "left"),
    [
        (DARTS, 17, [5, 11, 17], [7, 5, 3]),  # the paper's
        (DARTS, 8, [3, 5, 8], [7, 5, 3]),
        (NASBENCH201, 5, [1, 3, 5], [5, 4, 2]),
    ],
)
def test_depth_grows_while_candidates_shrink(topology, cells: int, depths: list[int], left: list[int]) -> None:
    method = build(topology, cells=cells)
    for stage in range(3):
        assert method.cells == depths[stage]
        assert (method.candidates.sum(dim=2) == left[stage]).all()
        assert [len(cell) for cell in method.sample(0.0, torch.Generator()).runs] == [
            left[stage] * len(topology.edges)
        ] * len(topology.kinds)
        torch.testing.assert_close(method.weights().sum(dim=2), torch.ones(tuple(method.alpha.shape[:2])))
        if stage < 2:
            method.advance()


def test_the_weakest_candidates_of_an_edge_are_dropped_for_good() -> None:
    method = build()
    with torch.no_grad():
        method.alpha[1, 9] = torch.tensor([3.0, 1.0, 2.0, 7.0, 5.0, 4.0, 6.0])
    start = method.alpha.detach().clone()
    method.advance()
    assert method.candidates[1, 9].tolist() == [True, False, False, True, True, True, True]
    assert method.alpha.abs().max() < 0.01  # alphas start afresh
    assert not torch.equal(method.alpha[0], start[0])
    with torch.no_grad():
        method.alpha[1, 9] = torch.tensor([0.0, 9.0, 9.0, 1.0, 2.0, 3.0, 0.5])
    assert method.weights()[1, 9, 1:3].tolist() == [0, 0]
    method.advance()
    assert method.candidates[1, 9].tolist() == [False, False, False, True, True, True, False]


def test_each_stage_is_a_search_of_its_own() -> None:
    search = Search(SearchConfig(space="nasbench201", method="pdarts", cells=3, warmup_epochs=1, **SMALL), device="cpu")
    seen = []
    while not search.finished:
        epoch = search.run_epoch()
        seen.append((search.bilevel.model.per_stage, epoch.lr, epoch.alpha_loss is None))
    depths, rates, resting = zip(*seen, strict=True)
    assert depths == (1, 1, 2, 2, 3, 3)
    assert resting == (True, False) * 3  # weights alone in the first epoch of each
    assert rates == pytest.approx([0.025, 0.013] * 3)  # each with the whole cosine: (0.025 + 0.001) / 2 halfway


def test_dropout_acts_on_skip_connections_in_training_alone() -> None:
    config = SearchConfig(
        space="nasbench201", method="pdarts", cells=1, skip_dropout=(0.5, 0.5, 0.5), warmup_epochs=0, **SMALL
    )
    search = Search(config, device="cpu")
    search.method.begin(0)
    cell = search.model.cells[0]
    x = torch.rand(4, 2, 6, 6) + 1.0
    edge = ((0, NASBENCH201.operations.index("skip_connect")),)

    def skipped(scale: float) -> torch.Tensor:
        return cell((x,), edge, [torch.tensor(scale)]).plain(1)

    search.model.train()
    out = skipped(0.5)
    kept = out != 0
    assert 0.35 < kept.float().mean() < 0.65
    torch.testing.assert_close(out[kept], x[kept])  # 0.5 x, over the share of 0.5 that is kept
    assert not torch.equal(skipped(0.5), out)
    search.method.begin(0)
    assert torch.equal(skipped(0.5), out)  # an epoch's draws are its own
    pooling = ((0, NASBENCH201.operations.index("avg_pool_3x3")),)
    assert (cell((x,), pooling, [None]).plain(1) != 0).all()
    search.model.eval()
    torch.testing.assert_close(skipped(0.5), 0.5 * x)


def test_the_dropout_rate_is_that_of_the_authors_schedule() -> None:
    rates = [decay(epoch, 25, 10) for epoch in range(25)]
    assert rates[0] == pytest.approx(24 / 25)
    assert rates[9] == pytest.approx(15 / 25)
    assert rates[10] == 1.0
    assert rates[15] == pytest.approx(math.exp(-1))  # exp(-0.2 x 5)
    method = build(epochs=75)
    found = []
    for epoch in (10, 35, 60):
        method.begin(epoch)
        found.append(method.rate)
        if epoch < 60:
            method.advance()
    assert found == pytest.approx([0.0, 0.4, 0.7])
    assert SearchConfig(method="pdarts", epochs=75).effective()["warmup_epochs"] == 10


def skips(method: PDarts, kind: int) -> list[int]:
    skip = method.topology.operations.index("skip_connect")
    return [edge for edge, operation in method.derived()[kind] if operation == skip]


@pytest.mark.parametrize("topology", [DARTS, NASBENCH201])
def test_a_derived_normal_cell_has_two_skip_connections_at_most(topology) -> None:
    method = build(topology)
    skip = topology.operations.index("skip_connect")
    with torch.no_grad():
        method.alpha[:, :, skip] += 2.0 + 0.1 * torch.arange(len(topology.edges))
    assert skips(method, 0) == skips(build_limit(method, 2), 0)
    assert len(skips(method, 0)) == 2
    if topology is DARTS:
        assert len(skips(method, 1)) == 8  # reduction cells are left alone
    assert len(skips(build_limit(method, 0), 0)) == 0
    assert len(skips(build_limit(method, 9), 0)) == (8 if topology is DARTS else 6)


def build_limit(method: PDarts, limit: int) -> PDarts:
    """The same alphas with another limit."""
    other = build(method.topology, skip_limit=limit)
    other.restore(method.parameters() | method.buffers())
    return other


def test_the_strongest_skip_connections_stay_and_the_others_become_the_next_best() -> None:
    method = build(NASBENCH201)
    with torch.no_grad():
        method.alpha[0, :, 1] += torch.tensor([2.0, 5.0, 3.0, 6.0, 4.0, 2.5])
        method.alpha[0, :, 3] += 1.0
    assert skips(method, 0) == [1, 3]
    assert [k for _, k in method.derived()[0]] == [3, 1, 3, 1, 3, 3]


def test_a_skip_connection_without_an_alternative_stays() -> None:
    method = build(NASBENCH201)
    with torch.no_grad():
        method.alpha[0, :, :2] += 5.0  # `none` and skip_connect outlast the others
    method.advance()
    with torch.no_grad():
        method.alpha[0, :, :2] += 5.0
    method.advance()
    assert (method.candidates[0].nonzero()[:, 1].reshape(6, 2) == torch.tensor([0, 1])).all()
    assert [k for _, k in method.derived()[0]] == [1] * 6


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"epochs": 2}, "epochs: 2 must be at least 3, the stages of pdarts"),
        ({"epochs": 9, "warmup_epochs": 3}, r"warmup_epochs: 3 must be below epochs \(3 of each of the 3 stages\)"),
        ({"skip_dropout": (0.0, 0.4, 1.0)}, r"skip_dropout: \(0.0, 0.4, 1.0\) must be three numbers in \[0, 1\)"),
    ],
)
def test_what_has_no_three_stages_is_refused(options: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        SearchConfig(method="pdarts", **options)
