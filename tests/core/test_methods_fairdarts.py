"""FairDARTS: operations do not compete, and the zero-one loss drives their weights apart from one half."""

import pytest
import torch

from stcnas_core import methods
from stcnas_core.bilevel import Bilevel
from stcnas_core.config import SearchConfig
from stcnas_core.methods.fairdarts import FairDarts
from stcnas_core.path import everything
from stcnas_core.topology import DARTS, NASBENCH201


def build(topology=NASBENCH201, **options) -> FairDarts:
    method = methods.build(SearchConfig(space=topology.name, method="fairdarts", **options), topology, "cpu")
    assert isinstance(method, FairDarts)
    return method


def test_one_operation_gains_without_another_losing() -> None:
    method = build(DARTS)
    assert method.sample(0.0, torch.Generator()).runs == everything(DARTS)
    start = method.weights().detach().clone()
    assert (start == 0.5).all()
    with torch.no_grad():
        method.alpha[0, 3, 2] = 1.0
    moved = method.weights().detach()
    assert moved[0, 3, 2].item() == pytest.approx(0.7310586)  # 1 / (1 + exp(-1))
    moved[0, 3, 2] = 0.5
    assert torch.equal(moved, start)


def test_the_zero_one_loss_is_that_of_the_paper() -> None:
    method = build()
    cell = method.derived()
    assert method.penalty(cell).item() == 0.0
    with torch.no_grad():
        method.alpha.fill_(-1.0)
        method.alpha[0, :3] = 1.0
    # (0.7310586 - 0.5)^2 = (0.2689414 - 0.5)^2 = 0.0533881
    assert method.penalty(cell).item() == pytest.approx(-0.0533881, abs=1e-6)
    (gradient,) = torch.autograd.grad(method.penalty(cell), [method.alpha])
    assert (gradient[0, :3] < 0).all()  # descent raises what is above one half
    assert (gradient[0, 3:] > 0).all()
    with torch.no_grad():
        method.alpha.mul_(100)
    assert method.penalty(cell).item() == pytest.approx(-0.25)


def test_the_alphas_minimise_loss_and_ten_times_the_zero_one_loss() -> None:
    assert SearchConfig(method="fairdarts").effective()["zero_one_weight"] == 10.0
    draws = torch.Generator().manual_seed(0)
    images, labels = torch.randn(8, 3, 8, 8, generator=draws), torch.randint(0, 10, (8,), generator=draws)
    gradients = []
    for weight in (0.0, 10.0):
        config = SearchConfig(space="nasbench201", method="fairdarts", cells=1, channels=4, zero_one_weight=weight)
        bilevel = Bilevel(config, 10, "cpu")
        with torch.no_grad():
            bilevel.method.alpha.normal_(generator=torch.Generator().manual_seed(1))
        (gradient,), measured = bilevel.first_order(bilevel.method.evaluated(), images, labels)
        gradients.append(gradient)
    s = bilevel.method.alpha.detach().sigmoid()
    expected = 10.0 * -2.0 * (s - 0.5) * s * (1 - s) / s.numel()
    torch.testing.assert_close(gradients[1] - gradients[0], expected, rtol=1e-3, atol=1e-6)
    assert measured[3].item() == pytest.approx(-((s - 0.5) ** 2).mean().item(), rel=1e-5)


def test_a_derived_cell_takes_the_largest_sigmoids() -> None:
    method = build(DARTS)
    with torch.no_grad():
        method.alpha.fill_(-2.0)
        for edge, operation in ((2, 5), (4, 1)):  # of node 3, whose edges are 2, 3 and 4
            method.alpha[0, edge, operation] = 3.0
    assert [choice for choice in method.derived()[0] if choice[0] in (2, 3, 4)] == [(2, 5), (4, 1)]
