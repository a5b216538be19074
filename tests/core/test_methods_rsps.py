"""RSPS: uniform cells train the weights, nothing else is learned, and the choice is the best of the candidates."""

from typing import Any

import pytest
import torch

from stcnas_core import methods
from stcnas_core.bilevel import Bilevel
from stcnas_core.config import SearchConfig
from stcnas_core.errors import InputError
from stcnas_core.methods.base import Sample
from stcnas_core.methods.rsps import Rsps
from stcnas_core.path import Choices
from stcnas_core.randomness import stream
from stcnas_core.search import Search
from stcnas_core.topology import DARTS, NASBENCH201

SMALL: dict[str, Any] = {"cells": 1, "channels": 4, "batch_size": 16, "epochs": 2, "train_images": 96}


def build(topology=NASBENCH201, **options) -> Rsps:
    method = methods.build(SearchConfig(space=topology.name, method="rsps", **options), topology, "cpu")
    assert isinstance(method, Rsps)
    return method


def merit(cell: Choices) -> int:
    """A made-up accuracy that differs between most cells."""
    return sum((7 * edge + 3) * operation % 11 for kind in cell for edge, operation in kind)


@pytest.mark.parametrize("topology", [DARTS, NASBENCH201])
def test_a_batch_trains_one_uniformly_drawn_cell_of_the_targets_size(topology) -> None:
    method = build(topology)
    draws = torch.Generator().manual_seed(0)
    samples = [method.sample(0.0, draws) for _ in range(200)]
    assert all(sample.plain and sample.runs == sample.cell for sample in samples)
    assert {len(kind) for sample in samples for kind in sample.runs} == {8 if topology is DARTS else 6}
    drawn = {choice for sample in samples for choice in sample.runs[0]}
    allowed = len(topology.operations) - (topology is NASBENCH201)
    assert len(drawn) == len(topology.edges) * allowed


def test_an_iteration_is_one_step_of_the_weights_on_training_images() -> None:
    bilevel = Bilevel(SearchConfig(space="nasbench201", method="rsps", **SMALL), 10, "cpu")
    passes: list[tuple] = []
    loss = bilevel.loss
    bilevel.loss = lambda path, x, y: passes.append((x, path.weights)) or loss(path, x, y)  # type: ignore[method-assign]
    train, valid = ((torch.randn(8, 3, 8, 8), torch.arange(8)) for _ in range(2))
    done = bilevel.iteration(train, valid, noise=0.3, draws=torch.Generator(), warmup=False)
    assert done.alphas is None
    assert [(x is train[0], weights) for x, weights in passes] == [(True, None)]


def test_the_best_of_the_candidates_is_chosen_in_two_rounds() -> None:
    method = build(candidates=200, candidate_batches=3)
    asked: list[tuple[Choices, int]] = []

    def accuracy(sample: Sample, batches: int, behind: int) -> float:
        assert behind == 0  # so that cells are compared on the same images
        asked.append((sample.runs, batches))
        return merit(sample.runs) if batches else -merit(sample.runs)

    before = method.derived()
    method.choose(accuracy)
    first, second = ([cell for cell, batches in asked if batches == wanted] for wanted in (3, 0))
    assert before == first[0]
    assert len(first) == len(set(first)) <= 200  # a cell that is drawn twice is judged once
    best = sorted(map(merit, first))[-10:]
    assert sorted(map(merit, second)) == best
    assert merit(method.derived()) == best[0]  # the whole half disagreed with its first batches, and it decides


def test_ties_go_to_the_cell_that_was_drawn_first_and_the_whole_half_needs_one_round() -> None:
    method = build(DARTS, candidates=20, candidate_batches=0)
    asked: list[tuple[Choices, int]] = []
    method.choose(lambda sample, batches, behind: asked.append((sample.runs, batches)) or 50.0)
    assert [batches for _, batches in asked] == [0] * 20
    assert method.derived() == asked[0][0]


def test_the_result_is_the_cell_with_the_best_inherited_accuracy() -> None:
    config = SearchConfig(space="nasbench201", method="rsps", candidates=30, candidate_batches=0, **SMALL)
    search = Search(config, device="cpu")
    assert isinstance(search.method, Rsps)
    first, last = search.run_epoch(), search.run_epoch()
    assert first.skip_connects is None  # before the choice the cell is no result
    assert last.skip_connects is not None
    assert first.alpha_lr == last.alpha_lr == 0.0
    assert first.alpha_loss is None
    draws = stream(config.seed, "candidates")
    cells = [search.method.candidate(draws) for _ in range(30)]
    accuracies = [search._accuracy(Sample(cell, cell, plain=True)) for cell in cells]
    assert last.derived_accuracy == last.valid_accuracy == max(accuracies) > min(accuracies)
    assert search.method.derived() == cells[accuracies.index(max(accuracies))]
    assert search.alpha_rows() == []


def test_a_finished_search_that_is_restored_has_its_choice() -> None:
    config = SearchConfig(space="nasbench201", method="rsps", candidates=12, candidate_batches=1, **SMALL)
    search = Search(config, device="cpu")
    while not search.finished:
        search.run_epoch()
    restored = Search(config, device="cpu")
    assert restored.genotype != search.genotype
    restored.load_state_dict(search.state_dict())
    assert restored.genotype == search.genotype


def test_the_fields_that_matter_and_their_defaults() -> None:
    rsps = SearchConfig(method="rsps").effective()
    assert (rsps["candidates"], rsps["candidate_batches"]) == (1000, 10)
    same = SearchConfig(
        method="rsps", alpha_lr=1.0, alpha_start=2.0, warmup_epochs=9, temperature="3", entropy_weight=1
    )
    assert same.effective() == rsps
    assert "candidates" not in SearchConfig(candidates=5).effective()
    for name in ("candidates", "candidate_batches"):
        with pytest.raises(InputError, match=f"{name}: -1 must be"):
            SearchConfig(method="rsps", **{name: -1})
