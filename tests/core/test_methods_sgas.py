"""SGAS: edges are decided one after the other by the paper's measures, and what is decided stays."""

import itertools
import math
from typing import Any

import pytest
import torch

from stcnas_core import methods
from stcnas_core.bilevel import Bilevel
from stcnas_core.config import SearchConfig
from stcnas_core.methods.sgas import PRUNED, UNDECIDED, Sgas, decisions_due, min_max
from stcnas_core.search import Search
from stcnas_core.topology import DARTS, NASBENCH201


def build(topology=NASBENCH201, **options) -> Sgas:
    method = methods.build(SearchConfig(space=topology.name, method="sgas", **options), topology, "cpu")
    assert isinstance(method, Sgas)
    return method


def probabilities(method: Sgas, edge: int, values: list[float]) -> None:
    """Give an edge of the first kind of cell these probabilities, `none` first."""
    with torch.no_grad():
        logits = torch.tensor(values).log()
        if method.none is None:
            method.zero[0, edge, 0] = logits[0]
            method.alpha[0, edge] = logits[1:]
        else:
            method.alpha[0, edge] = logits


def test_decisions_come_at_the_papers_epochs() -> None:
    due = [decisions_due(done, 50) for done in range(51)]
    first = [next(done for done in range(51) if due[done] == count) for count in range(1, 9)]
    assert first == [10, 15, 20, 25, 30, 35, 40, 45]  # after epochs 9, 14, ... 44, counted from 0
    assert decisions_due(4, 4) >= 8  # however short a search is, it decides everything
    assert decisions_due(20, 100) == 1 == decisions_due(29, 100)


def test_the_three_measures_choose_as_worked_out_by_hand() -> None:
    method = build(edge_criterion="certainty")
    for edge in range(6):
        probabilities(method, edge, [0.2, 0.2, 0.2, 0.2, 0.2])
    probabilities(method, 2, [0.5, 0.4, 0.05, 0.03, 0.02])  # certain, not important
    probabilities(method, 4, [0.04, 0.1, 0.1, 0.66, 0.1])  # certain and important
    scores, choices = method.scores_of_edges()
    importance = [0.8, 0.8, 0.5, 0.8, 0.96, 0.8]
    certainty = []
    for q in ([0.25] * 4, [0.8, 0.1, 0.06, 0.04], [p / 0.96 for p in (0.1, 0.1, 0.66, 0.1)]):
        certainty.append(1 + sum(p * math.log(p) for p in q) / math.log(4))
    spread = max(certainty)
    expected = [0.0] * 6
    for edge, sure in ((2, certainty[1]), (4, certainty[2])):
        expected[edge] = (importance[edge] - 0.5) / 0.46 * sure / spread
    assert scores[0].tolist() == pytest.approx(expected, abs=1e-5)
    assert (int(scores[0].argmax()), int(choices[0, 4]), int(choices[0, 2])) == (4, 3, 1)


def test_a_choice_that_changed_is_less_stable() -> None:
    scores = {}
    for criterion in ("certainty", "stability"):
        method = build(edge_criterion=criterion)
        for edge in range(6):
            probabilities(method, edge, [0.3, 0.4, 0.1, 0.1, 0.1] if edge == 5 else [0.2, 0.2, 0.2, 0.2, 0.2])
        method.scores_of_edges()
        for edge in (1, 5):  # now alike, but edge 1 was otherwise an epoch ago
            probabilities(method, edge, [0.1, 0.6, 0.1, 0.1, 0.1])
        scores[criterion], _ = method.scores_of_edges()
    assert scores["certainty"][0, 1] == scores["certainty"][0, 5] > 0
    assert scores["stability"][0, 1] < scores["stability"][0, 5]


def test_the_darts_space_gets_a_zero_operation_that_competes_and_runs_nothing() -> None:
    method = build(DARTS)
    assert list(method.parameters()) == ["alpha", "zero"]
    assert list(build().parameters()) == ["alpha"]
    probabilities(method, 0, [0.3, *[0.1] * 7])
    weights = method.weights()
    assert weights[0, 0].tolist() == pytest.approx([0.1] * 7)
    assert weights[0, 1].sum().item() == pytest.approx(7 / 8, abs=1e-3)
    (gradient,) = torch.autograd.grad(weights[0, 0, 2], [method.zero])
    assert gradient[0, 0].item() == pytest.approx(-0.1 * 0.3)


def test_edges_are_pruned_when_their_node_has_its_two_and_decided_ones_run_alone() -> None:
    method = build(DARTS)
    method._decide(0, 3, 6)
    method._decide(0, 2, 1)  # the second of node 3, whose edges are 2, 3 and 4
    method._follow()
    assert method.fate[0, 2:5].tolist() == [1, 6, PRUNED]
    assert (method.fate[0, 5:] == UNDECIDED).all()
    runs = method.sample(0.0, torch.Generator()).runs
    assert [choice for choice in runs[0] if choice[0] in (2, 3, 4)] == [(2, 1), (3, 6)]
    assert len(runs[0]) == 2 + 11 * 7
    assert len(runs[1]) == 14 * 7
    weights = method.weights().detach()
    assert weights[0, 3].tolist() == [0, 0, 0, 0, 0, 0, 1]
    assert weights[0, 4].sum() == 0
    assert {(2, 1), (3, 6)} <= set(method.derived()[0])


def test_the_alphas_of_decided_edges_rest_and_the_others_move() -> None:
    bilevel = Bilevel(SearchConfig(space="nasbench201", method="sgas", cells=1, channels=4, epochs=8), 10, "cpu")
    method = bilevel.method
    assert isinstance(method, Sgas)
    draws = torch.Generator().manual_seed(0)
    batch = torch.randn(8, 3, 8, 8, generator=draws), torch.randint(0, 10, (8,), generator=draws)
    bilevel.iteration(batch, batch, noise=0.0, draws=draws, warmup=False)  # so that Adam has momentum
    method.end(1)  # 2 of 8 epochs: the first decision is due
    (edge,) = (method.fate[0] != UNDECIDED).nonzero()[:, 0].tolist()
    before = method.alpha.detach().clone()
    for _ in range(2):
        bilevel.iteration(batch, batch, noise=0.0, draws=draws, warmup=False)
    moved = [not torch.equal(one, other) for one, other in zip(before[0], method.alpha.detach()[0], strict=True)]
    assert moved == [other != edge for other in range(6)]


def test_a_search_ends_with_every_edge_decided_and_each_decision_kept() -> None:
    options: dict[str, Any] = {"channels": 2, "batch_size": 16, "epochs": 10, "train_images": 32}
    search = Search(SearchConfig(space="nasbench201", method="sgas", cells=1, **options), device="cpu")
    assert isinstance(search.method, Sgas)
    fates = []
    while not search.finished:
        search.run_epoch()
        fates.append(search.method.fate[0].tolist())
    assert [sum(fate != UNDECIDED for fate in of_epoch) for of_epoch in fates] == [0, 1, 2, 3, 4, 5, 6, 6, 6, 6]
    for one, other in itertools.pairwise(fates):
        assert all(before in (UNDECIDED, after) for before, after in zip(one, other, strict=True))
    assert [k for _, k in search.method.derived()[0]] == fates[-1]
    assert NASBENCH201.operations.index("none") not in fates[-1]


def test_min_max_of_equal_values_prefers_none() -> None:
    assert min_max(torch.tensor([[0.2, 0.2], [1.0, 3.0]])).tolist() == [[1.0, 1.0], [0.0, 1.0]]
