"""Rankings by inherited weights: they leave the search as it is, and measure what they say."""

import dataclasses
import typing
from collections import Counter
from typing import Any

import pytest
import torch

from stcnas_core import inherited
from stcnas_core.errors import InputError
from stcnas_core.genotype import Genotype
from stcnas_core.method_fields import UNTRAINED, MethodName
from stcnas_core.methods.base import Sample
from stcnas_core.path import from_genotype
from stcnas_core.randomness import stream
from stcnas_core.search import Search, SearchConfig

SMALL: dict[str, Any] = {"channels": 2, "batch_size": 16, "epochs": 3, "train_images": 96, "rank_cells": 5}
BENCH = SearchConfig(space="nasbench201", cells=1, seed=3, **SMALL)
SEARCHES = {
    "nasbench201": BENCH,
    "darts space": SearchConfig(space="darts", cells=3, **SMALL),
    **{
        method: dataclasses.replace(BENCH, method=method, channels=4, candidates=3)
        for method in typing.get_args(MethodName)
        if method not in {"stc", *UNTRAINED}
    },
    "bf16": dataclasses.replace(BENCH, precision="bf16"),
}


def without_time(epoch: Any) -> dict[str, Any]:
    return {name: value for name, value in vars(epoch).items() if not name.endswith("_seconds")}


def tensors(state: Any) -> list[torch.Tensor]:
    if isinstance(state, torch.Tensor):
        return [state]
    parts = state.values() if isinstance(state, dict) else state if isinstance(state, list | tuple) else ()
    return [tensor for part in parts for tensor in tensors(part)]


@pytest.mark.parametrize("config", SEARCHES.values(), ids=SEARCHES.keys())
def test_a_search_is_bit_equal_with_and_without_rankings(config: SearchConfig) -> None:
    plain = Search(config, device="cpu")
    ranked = Search(dataclasses.replace(config, rank_every=1), device="cpu")
    while not plain.finished:
        assert without_time(plain.run_epoch()) == without_time(ranked.run_epoch())
        assert ranked.ranks
        before = torch.get_rng_state()
        assert len(ranked.rank_rows()) == 5
        assert torch.equal(torch.get_rng_state(), before)
        left, right = tensors(plain.state_dict()), tensors(ranked.state_dict())
        assert len(left) == len(right) > 0
        assert all(torch.equal(a, b) for a, b in zip(left, right, strict=True))


@pytest.mark.parametrize("space", ["nasbench201", "darts"])
def test_an_accuracy_is_that_of_the_cell_alone_on_the_validation_half(space: str) -> None:
    search = Search(dataclasses.replace(SEARCHES["darts space"], space=space, rank_every=1, rank_images=10_000))
    search.run_epoch()
    for row in search.rank_rows():
        cell = from_genotype(Genotype.parse(row["genotype"]))
        assert row["accuracy"] == pytest.approx(search._accuracy(Sample(cell, cell, plain=True)))


def test_dropout_of_a_method_does_not_act_in_a_ranking() -> None:
    config = dataclasses.replace(BENCH, method="pdarts", rank_every=1, rank_cells=20, evaluate_every=3)
    search = Search(config, device="cpu")
    # P-DARTS drops skip connections from its second stage on, here the second epoch, which is not evaluated otherwise.
    search.run_epoch()
    search.run_epoch()
    assert search.rank_rows() == search.rank_rows()


def test_fewer_images_are_the_first_of_the_validation_half() -> None:
    search = Search(dataclasses.replace(BENCH, rank_every=1, rank_images=16))
    search.run_epoch()
    rows = search.rank_rows()
    # Whole numbers of sixteen images.
    assert all(row["accuracy"] * 16 / 100 == round(row["accuracy"] * 16 / 100) for row in rows)
    x, y = next(search.data.batches(search.valid_half[:16], 16, order=None, augment=None))
    cell = from_genotype(Genotype.parse(rows[0]["genotype"]))
    with torch.no_grad():
        logits = search.model(x, search.method.path(Sample(cell, cell, plain=True)))
    assert rows[0]["accuracy"] == 100 * (logits.argmax(1) == y).float().mean().item()


def test_cells_are_the_same_after_every_epoch_and_for_every_method_of_a_seed() -> None:
    cells = []
    for method in ("stc", "gdas"):
        search = Search(dataclasses.replace(BENCH, rank_every=1, method=method))
        for _ in range(2):
            search.run_epoch()
            cells.append([row["genotype"] for row in search.rank_rows()])
    assert cells[0] == cells[1] == cells[2] == cells[3]
    other = Search(dataclasses.replace(BENCH, rank_every=1, seed=4))
    other.run_epoch()
    assert [row["genotype"] for row in other.rank_rows()] != cells[0]


@pytest.mark.parametrize("sample_none", [False, True])
def test_cells_are_distinct_and_uniform_over_those_that_may_be_derived(sample_none: bool) -> None:
    method = Search(dataclasses.replace(BENCH, sample_none=sample_none)).method
    cells = inherited.draw(method, 1000, stream(0, "ranking"))
    assert len(set(cells)) == 1000
    allowed = 5 if sample_none else 4
    for node, source in method.topology.edges:
        counts = Counter(
            edge.operation
            for cell in cells
            for edge in cell.cell("normal")
            if (edge.node, edge.source) == (node, source)
        )
        assert len(counts) == allowed
        # Within five standard deviations of a binomial share.
        share = 1 / allowed
        assert all(abs(n - 1000 * share) < 5 * (1000 * share * (1 - share)) ** 0.5 for n in counts.values())


@pytest.mark.parametrize(
    ("every", "epochs", "ranked"), [(None, 5, []), (1, 3, [1, 2, 3]), (2, 5, [2, 4, 5]), (10, 4, [4]), (4, 4, [4])]
)
def test_which_epochs_are_ranked(every: int | None, epochs: int, ranked: list[int]) -> None:
    config = SearchConfig(epochs=epochs, rank_every=every)
    assert [done for done in range(1, epochs + 1) if config.ranks_after(done)] == ranked


@pytest.mark.parametrize(
    ("field", "value"), [("rank_every", 0), ("rank_cells", 1), ("rank_cells", 1001), ("rank_images", 1)]
)
def test_impossible_rankings_are_refused(field: str, value: int) -> None:
    with pytest.raises(InputError, match=f"^{field}: {value} must"):
        SearchConfig(**{field: value})
