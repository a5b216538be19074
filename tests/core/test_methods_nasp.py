"""NASP: what runs is discrete, what learns is continuous, and one proximal step joins them."""

import pytest
import torch

from stcnas_core.bilevel import Bilevel
from stcnas_core.config import SearchConfig
from stcnas_core.methods.nasp import Nasp
from stcnas_core.path import Path, everything
from stcnas_core.topology import NASBENCH201


def batch(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    draws = torch.Generator().manual_seed(seed)
    return torch.randn(8, 3, 8, 8, generator=draws), torch.randint(0, 10, (8,), generator=draws)


def search(space: str = "nasbench201", **options) -> tuple[Bilevel, Nasp]:
    cells = {"nasbench201": 1, "darts": 3}[space]
    bilevel = Bilevel(SearchConfig(space=space, method="nasp", cells=cells, channels=4, **options), 10, "cpu")
    assert isinstance(bilevel.method, Nasp)
    return bilevel, bilevel.method


def test_alphas_start_around_one_half() -> None:
    _, method = search()
    assert method.alpha.mean().item() == pytest.approx(0.5, abs=1e-3)
    assert 0 < method.alpha.std().item() < 2e-3


@pytest.mark.parametrize("space", ["nasbench201", "darts"])
def test_only_the_discrete_cell_is_trained_and_it_is_the_derived_one(space: str) -> None:
    bilevel, method = search(space)
    paths: list[Path] = []
    loss = bilevel.loss
    bilevel.loss = lambda path, x, y: paths.append(path) or loss(path, x, y)  # type: ignore[method-assign]
    weights = {name: value.clone() for name, value in bilevel.model.named_parameters()}
    bilevel.set_rates(0.1, 0.2)
    before = method.derived()
    bilevel.iteration(batch(0), batch(1), noise=0.0, draws=torch.Generator(), warmup=False)
    alpha_pass, weight_pass = paths
    assert alpha_pass.chosen == everything(method.topology)
    assert alpha_pass.weights is not None
    ones = {tuple(where) for where in (alpha_pass.weights > 0.5).nonzero().tolist()}
    assert ones == {(kind, *choice) for kind, cell in enumerate(before) for choice in cell}
    # The weights' pass runs the cell that the step of the alphas has led to, as the derived network does.
    assert weight_pass == Path(method.derived(), None)
    assert method.derived() != before
    moved = {id(p) for name, p in bilevel.model.named_parameters() if not torch.equal(p, weights[name])}
    assert moved == {id(p) for p in bilevel.ran(method.evaluated())}


def test_the_gradient_is_that_of_the_discrete_cell_and_reaches_every_entry() -> None:
    bilevel, method = search()
    x, y = batch(2)
    sample = method.sample(0.0, torch.Generator())
    (gradient,), _ = method.alpha_gradients(bilevel, sample, (x, y), (x, y))
    # The same cell by hand: a leaf of zeros and ones.
    leaf = torch.zeros(1, 6, 5)
    for edge, operation in sample.cell[0]:
        leaf[0, edge, operation] = 1.0
    leaf.requires_grad_()
    loss, _ = bilevel.loss(Path(everything(NASBENCH201), leaf), x, y)
    expected = torch.autograd.grad(loss, [leaf])[0]
    torch.testing.assert_close(gradient, expected, rtol=1e-3, atol=1e-5)
    assert (gradient[0, 0, 1:] != 0).all()  # every operation of the first edge but `none`
    # ... and the loss is the discrete cell's own.
    assert loss.item() == pytest.approx(bilevel.loss(Path(sample.cell), x, y)[0].item(), rel=1e-4)


def test_the_box_is_the_second_projection() -> None:
    _, method = search()
    with torch.no_grad():
        method.alpha[0, 0] = torch.tensor([-0.2, 0.0, 0.4, 1.0, 1.7])
    method.project()
    assert method.alpha[0, 0].tolist() == pytest.approx([0.0, 0.0, 0.4, 1.0, 1.0])
