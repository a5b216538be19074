"""DATA: the ensemble Gumbel-softmax is the union of samples, and its gradient that of the maximum."""

import itertools

import numpy as np
import pytest
import torch

from stcnas_core import methods
from stcnas_core.bilevel import Bilevel
from stcnas_core.config import SearchConfig
from stcnas_core.errors import InputError
from stcnas_core.methods.data import Data, most_probable_code
from stcnas_core.methods.gdas import Gdas
from stcnas_core.path import everything
from stcnas_core.topology import DARTS, NASBENCH201

P = [0.1, 0.2, 0.4, 0.25, 0.05]


def build(topology=NASBENCH201, **options) -> Data:
    method = methods.build(SearchConfig(space=topology.name, method="data", **options), topology, "cpu")
    assert isinstance(method, Data)
    return method


def test_an_operation_runs_where_any_of_the_samples_hits_it() -> None:
    method = build(ensemble=3, sample_none=True)
    with torch.no_grad():
        method.alpha[0, 0] = torch.tensor(P).log() + 1.0
    draws = torch.Generator().manual_seed(0)
    samples = [method.sample(0.0, draws) for _ in range(3000)]
    weights = torch.stack([method.weigh(sample)[0, 0].detach() for sample in samples])
    expected = [1 - (1 - p) ** 3 for p in P]
    assert (weights > 0.1).float().mean(dim=0).tolist() == pytest.approx(expected, abs=0.03)
    assert set((weights > 0.1).sum(dim=1).tolist()) == {1, 2, 3}
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(3000))  # an edge is the mean of its operations
    runs = [[k for edge, k in sample.runs[0] if edge == 0] for sample in samples]
    assert runs == [row.nonzero().flatten().tolist() for row in weights > 0.1]


def test_with_one_sample_it_is_the_straight_through_gumbel_softmax() -> None:
    method = build(ensemble=1)
    gdas = methods.build(SearchConfig(space="nasbench201", method="gdas"), NASBENCH201, "cpu")
    assert isinstance(gdas, Gdas)
    method.anneal(0.5)
    gdas.temperature = method.temperature
    sample = gdas.sample(0.0, torch.Generator().manual_seed(1))
    assert sample.noise is not None
    mine = method.weigh(sample._replace(noise=sample.noise[None]))
    theirs = gdas.weigh(sample)
    torch.testing.assert_close(mine, theirs)
    outside = torch.randn(mine.shape, generator=torch.Generator().manual_seed(2))
    gradients = [torch.autograd.grad((w * outside).sum(), [m.alpha])[0] for w, m in ((mine, method), (theirs, gdas))]
    torch.testing.assert_close(*gradients)


def test_the_gradient_is_that_of_the_maximum_over_the_samples() -> None:
    method = build(ensemble=4, sample_none=True)
    sample = method.sample(0.0, torch.Generator().manual_seed(3))
    outside = torch.randn(1, 6, 5, generator=torch.Generator().manual_seed(4))
    assert sample.noise is not None
    # PyTorch's own maximum over straight-through codes; it shares the gradient among the samples that attain it.
    soft = ((method.alpha.log_softmax(dim=2) + sample.noise) / method.temperature).softmax(dim=-1)
    soft.retain_grad()
    hard = torch.nn.functional.one_hot(soft.argmax(dim=-1), 5).float()
    code = hard.clone().requires_grad_()
    union = code.amax(dim=0)
    (union / union.sum(dim=2, keepdim=True) * outside).sum().backward()
    assert code.grad is not None
    expected = torch.autograd.grad(soft, [method.alpha], code.grad)[0]
    found = torch.autograd.grad((method.weigh(sample) * outside).sum(), [method.alpha])[0]
    torch.testing.assert_close(found, expected)


def test_alphas_learn_from_everything_and_weights_from_the_code_alone() -> None:
    bilevel = Bilevel(SearchConfig(space="darts", method="data", cells=3, channels=4, ensemble=2), 10, "cpu")
    passes: list[tuple] = []
    loss = bilevel.loss
    bilevel.loss = lambda path, x, y: passes.append((path, x)) or loss(path, x, y)  # type: ignore[method-assign]
    draws = torch.Generator().manual_seed(5)
    train, valid = ((torch.randn(8, 3, 8, 8, generator=draws), torch.arange(8)) for _ in range(2))
    alpha = bilevel.method.alpha.detach().clone()
    bilevel.iteration(train, valid, noise=0.3, draws=draws, warmup=False)
    (searched, x), (trained, y) = passes
    assert x is valid[0]
    assert y is train[0]
    assert searched.chosen == everything(DARTS)
    torch.testing.assert_close(trained.weights.sum(dim=2), torch.ones(2, 14))
    per_edge = [sum(edge == e for e, _ in kind) for kind in trained.chosen for edge in range(14)]
    assert set(per_edge) == {1, 2}
    assert bool((bilevel.method.alpha != alpha).any(dim=2).all())


@pytest.mark.parametrize("samples", [1, 2, 4])
def test_the_most_probable_code_is_that_of_an_enumeration(samples: int) -> None:
    dice = np.random.default_rng(samples)
    for _ in range(20):
        p = dice.dirichlet(np.full(4, 0.7))
        chances: dict[frozenset[int], float] = {}
        for draw in itertools.product(range(4), repeat=samples):
            hit = frozenset(draw)
            chances[hit] = chances.get(hit, 0.0) + float(np.prod(p[list(draw)]))
        assert frozenset(most_probable_code(p, samples)) == max(chances, key=chances.__getitem__)


def test_what_the_method_is_judged_by_is_its_code_and_what_is_derived_is_one_operation_per_edge() -> None:
    method = build(ensemble=4)
    with torch.no_grad():
        method.alpha.zero_()
        method.alpha[0, :3, 2] = 9.0  # certain
        method.alpha[0, 3:, 3:] = 9.0  # torn between two
    assert method.evaluated().runs == (((0, 2), (1, 2), (2, 2), (3, 3), (3, 4), (4, 3), (4, 4), (5, 3), (5, 4)),)
    weights = method.path(method.evaluated()).weights
    assert weights is not None
    assert weights[0, 3].tolist() == [0.0, 0.0, 0.0, 0.5, 0.5]
    assert method.derived() == (((0, 2), (1, 2), (2, 2), (3, 3), (4, 3), (5, 3)),)


def test_none_is_sampled_only_where_it_may_be() -> None:
    for allowed in (False, True):
        method = build(ensemble=2, sample_none=allowed)
        draws = torch.Generator().manual_seed(6)
        drawn = {k for _ in range(60) for _, k in method.sample(0.0, draws).runs[0]}
        assert drawn == set(range(0 if allowed else 1, 5))


def test_the_defaults() -> None:
    data = SearchConfig(method="data").effective()
    assert (data["ensemble"], data["temperature"], data["alpha_weight_decay"]) == (7, "5->1", 0.0)
    assert "ensemble" not in SearchConfig(method="gdas").effective()
    with pytest.raises(InputError, match="ensemble: 0 must be"):
        SearchConfig(method="data", ensemble=0)
