"""DARTS, second order: the gradient is the one through the unrolled step, and looking ahead leaves no trace."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import functional_call

from stcnas_core.bilevel import Bilevel
from stcnas_core.config import SearchConfig
from stcnas_core.methods import darts2
from stcnas_core.methods.darts2 import Darts2


def batch(seed: int) -> tuple[Tensor, Tensor]:
    draws = torch.Generator().manual_seed(seed)
    return torch.randn(6, 3, 8, 8, generator=draws, dtype=torch.float64), torch.randint(0, 10, (6,), generator=draws)


TRAIN, VALID = batch(0), batch(1)


def searching() -> Bilevel:
    """A tiny search in float64 under way; contiguous, where all operations have second derivatives."""
    config = SearchConfig(space="nasbench201", method="darts2", cells=1, channels=3, batch_size=6, weight_decay=0.1)
    bilevel = Bilevel(config, 10, "cpu")
    bilevel.model.to(memory_format=torch.contiguous_format).double()
    bilevel.method.alpha.data = torch.randn(1, 6, 5, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    bilevel.set_rates(0.2, 3e-4)
    for seed in (3, 4):
        bilevel.weight_step(bilevel.method.evaluated(), *batch(seed))
    return bilevel


def exact(bilevel: Bilevel) -> Tensor:
    """The gradient of L_val(w - xi step(w, alpha), alpha) by differentiating through the step."""
    alpha, group = bilevel.method.alpha, bilevel.optimizer.param_groups[0]
    weights = dict(bilevel.model.named_parameters())
    path = bilevel.method.path(bilevel.method.evaluated())
    loss = F.cross_entropy(bilevel.model(TRAIN[0], path), TRAIN[1])
    gradients = torch.autograd.grad(loss, list(weights.values()), create_graph=True)
    unrolled = {
        name: weight
        - 0.2 * (gradient + 0.1 * weight + group["momentum"] * bilevel.optimizer.state[weight]["momentum_buffer"])
        for (name, weight), gradient in zip(weights.items(), gradients, strict=True)
    }
    ahead = F.cross_entropy(functional_call(bilevel.model, unrolled, (VALID[0], path)), VALID[1])
    return torch.autograd.grad(ahead, [alpha])[0]


def taken(bilevel: Bilevel) -> Tensor:
    (gradient,), _ = bilevel.method.alpha_gradients(bilevel, bilevel.method.evaluated(), TRAIN, VALID)
    return gradient


def error(bilevel: Bilevel, gradient: Tensor) -> float:
    """Of a gradient, relative to the exact one."""
    expected = exact(bilevel)
    return ((gradient - expected).norm() / expected.norm()).item()


def test_the_gradient_agrees_with_the_exact_second_order_one(monkeypatch: pytest.MonkeyPatch) -> None:
    bilevel = searching()
    assert isinstance(bilevel.method, Darts2)
    monkeypatch.setattr(darts2, "REACH", 1e-6)  # so near that no ReLU switches
    assert error(bilevel, taken(bilevel)) < 1e-7
    (first,), _ = bilevel.first_order(bilevel.method.evaluated(), *VALID)
    assert error(bilevel, first) > 0.5


def test_the_error_of_the_papers_epsilon_is_small_and_quadratic_where_nothing_switches(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(F, "relu", lambda x, inplace=False: F.softplus(x))
    bilevel = searching()
    assert darts2.REACH == 0.01
    errors = [error(bilevel, taken(bilevel))]
    monkeypatch.setattr(darts2, "REACH", 0.001)
    errors.append(error(bilevel, taken(bilevel)))
    assert errors[0] < 0.01
    assert errors[1] == pytest.approx(errors[0] / 100, rel=0.1)


def test_what_is_measured_is_the_loss_ahead_and_the_weights_stay_as_they_were() -> None:
    bilevel = searching()
    sample = bilevel.method.evaluated()
    before = {name: value.clone() for name, value in bilevel.model.state_dict().items()}
    momenta = [state["momentum_buffer"].clone() for state in bilevel.optimizer.state.values()]
    _, (ahead, _, _) = bilevel.method.alpha_gradients(bilevel, sample, TRAIN, VALID)
    assert all(torch.equal(value, before[name]) for name, value in bilevel.model.state_dict().items())
    kept = [state["momentum_buffer"] for state in bilevel.optimizer.state.values()]
    assert all(torch.equal(one, other) for one, other in zip(momenta, kept, strict=True))
    assert all(parameter.grad is None and parameter.requires_grad for parameter in bilevel.model.parameters())
    bilevel.config.__dict__["grad_clip"] = 1e9  # the step looked ahead to is not clipped
    bilevel.weight_step(sample, *TRAIN)
    with torch.no_grad():
        now, _ = bilevel.loss(bilevel.method.path(sample), *VALID)
    assert now.item() == pytest.approx(ahead.item(), rel=1e-9)
