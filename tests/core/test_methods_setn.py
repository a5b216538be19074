"""SETN: the template is trained without favour, and the evaluator's probabilities say which candidates are drawn."""

from collections import Counter

import pytest
import torch

from stcnas_core import methods
from stcnas_core.bilevel import Bilevel
from stcnas_core.config import SearchConfig
from stcnas_core.methods.setn import Setn
from stcnas_core.path import everything
from stcnas_core.topology import DARTS, NASBENCH201


def build(topology=NASBENCH201, **options) -> Setn:
    method = methods.build(SearchConfig(space=topology.name, method="setn", **options), topology, "cpu")
    assert isinstance(method, Setn)
    return method


def test_weights_are_trained_by_uniform_candidates_whatever_the_evaluator_says() -> None:
    # Sampling by the probabilities would train what converges first ever more: the paper's Matthew effect.
    method = build()
    with torch.no_grad():
        method.alpha[0, :, 1] = 20.0
    draws = torch.Generator().manual_seed(0)
    counts = Counter(method.sample(0.0, draws).runs[0][0][1] for _ in range(2000))
    assert set(counts) == {1, 2, 3, 4}
    for count in counts.values():
        assert count == pytest.approx(500, abs=90)
    assert {method.candidate(draws) for _ in range(30)} == {method.undecided()}


def test_alphas_learn_from_the_weighted_template_and_weights_from_a_candidate() -> None:
    bilevel = Bilevel(SearchConfig(space="nasbench201", method="setn", cells=1, channels=4, batch_size=8), 10, "cpu")
    passes: list[tuple] = []
    loss = bilevel.loss
    bilevel.loss = lambda path, x, y: passes.append((path, x)) or loss(path, x, y)  # type: ignore[method-assign]
    draws = torch.Generator().manual_seed(1)
    train, valid = ((torch.randn(8, 3, 8, 8, generator=draws), torch.arange(8)) for _ in range(2))
    alpha = bilevel.method.alpha.detach().clone()
    bilevel.iteration(train, valid, noise=0.3, draws=draws, warmup=False)
    (template, x), (candidate, y) = passes
    assert x is valid[0]
    assert template.chosen == everything(NASBENCH201)
    torch.testing.assert_close(template.weights.detach(), alpha.softmax(dim=2))
    assert y is train[0]
    assert candidate.weights is None
    assert len(candidate.chosen[0]) == 6
    assert not torch.equal(bilevel.method.alpha, alpha)


def test_the_probabilities_of_a_node_are_over_its_inputs_and_operations() -> None:
    weights = build(DARTS).weights()
    for edges in DARTS.edges_by_node:
        torch.testing.assert_close(weights[:, list(edges)].sum(dim=(1, 2)), torch.ones(2))
    torch.testing.assert_close(build().weights().sum(dim=2), torch.ones(1, 6))


def test_candidates_are_drawn_by_the_probabilities() -> None:
    # One alpha of node 2 stands out: of two inputs without replacement the pair is certain, the operation is not.
    method = build(DARTS)
    with torch.no_grad():
        method.alpha.zero_()
        method.alpha[0, 0] = torch.tensor([0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0])
    draws = torch.Generator().manual_seed(2)
    cells = [method.candidate(draws)[0] for _ in range(2000)]
    operations = Counter(dict(cell)[0] for cell in cells)
    assert operations[2] / 2000 == pytest.approx(torch.e / (torch.e + 6), abs=0.035)
    # Node 3 has three inputs of equal probability: each is there in two of three cells.
    for edge in (2, 3, 4):
        assert sum(edge in dict(cell) for cell in cells) / 2000 == pytest.approx(2 / 3, abs=0.035)


def test_an_input_that_is_twice_as_probable_is_kept_as_sampling_without_replacement_keeps_it() -> None:
    method = build(DARTS)
    with torch.no_grad():
        method.alpha.zero_()
        method.alpha[1, 2] += torch.log(torch.tensor(2.0))  # an input of node 3; the probabilities are 1/2, 1/4, 1/4
    draws = torch.Generator().manual_seed(3)
    kept = sum(2 in dict(method.candidate(draws)[1]) for _ in range(2000)) / 2000
    assert kept == pytest.approx(1 / 2 + 2 * (1 / 4) * (1 / 2) / (3 / 4), abs=0.035)


def test_the_defaults() -> None:
    setn = SearchConfig(method="setn").effective()
    assert (setn["candidates"], setn["candidate_batches"], setn["alpha_weight_decay"]) == (100, 0, 1e-3)
