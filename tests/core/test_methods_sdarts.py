"""SDARTS-ADV: weights are trained under a perturbation that is allowed, and worse than none."""

import pytest
import torch

from stcnas_core.bilevel import Bilevel
from stcnas_core.config import SearchConfig
from stcnas_core.errors import InputError
from stcnas_core.methods.sdarts import SdartsAdv, onto_simplex
from stcnas_core.path import Path


def batch(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    draws = torch.Generator().manual_seed(seed)
    return torch.randn(16, 3, 8, 8, generator=draws), torch.randint(0, 10, (16,), generator=draws)


def search(**options) -> tuple[Bilevel, SdartsAdv]:
    config = SearchConfig(space="nasbench201", method="sdarts-adv", cells=1, channels=4, **options)
    bilevel = Bilevel(config, 10, "cpu")
    assert isinstance(bilevel.method, SdartsAdv)
    return bilevel, bilevel.method


def loss_of(bilevel: Bilevel, weights: torch.Tensor, x: torch.Tensor, y: torch.Tensor) -> float:
    with torch.no_grad():
        return bilevel.loss(Path(bilevel.method.evaluated().runs, weights), x, y)[0].item()


@pytest.mark.parametrize("seed", range(3))
def test_the_perturbation_raises_the_loss_above_that_of_random_ones_of_its_size(seed: int) -> None:
    bilevel, method = search()
    x, y = batch(seed)
    method.anneal(0.5)
    sample = method.sample(0.0, torch.Generator().manual_seed(seed))
    worst = method.weight_path(bilevel, sample, x, y).weights
    assert worst is not None
    plain = method.weights().detach()
    draws = torch.Generator().manual_seed(100 + seed)
    directions = [2 * torch.rand(plain.shape, generator=draws) - 1 for _ in range(20)]
    random = [loss_of(bilevel, onto_simplex(plain + method.epsilon * d), x, y) for d in directions]
    assert loss_of(bilevel, worst, x, y) > max(*random, loss_of(bilevel, plain, x, y))


def test_perturbed_weights_stay_near_and_remain_weights() -> None:
    bilevel, method = search(perturbation="0.03")
    x, y = batch(0)
    worst = method.weight_path(bilevel, method.sample(0.0, torch.Generator()), x, y).weights
    assert worst is not None
    assert not worst.requires_grad
    torch.testing.assert_close(worst.sum(dim=2), torch.ones(1, 6))
    # Within 0.03 of each before the division by a sum between 1 - 5 x 0.03 and 1 + 5 x 0.03.
    plain = method.weights().detach()
    assert (worst >= (plain - 0.03) / 1.15 - 1e-6).all()
    assert (worst <= (plain + 0.03) / 0.85 + 1e-6).all()
    assert (worst - plain).abs().max() > 0.01


def test_the_perturbation_grows_from_0_03_to_0_3_and_spares_alphas_and_warm_up() -> None:
    bilevel, method = search()
    sizes = []
    for progress in (0.0, 0.5, 1.0):
        method.anneal(progress)
        sizes.append(method.epsilon)
    assert sizes == pytest.approx([0.03, 0.165, 0.3])
    seen: list[torch.Tensor] = []
    loss = bilevel.loss

    def noted(path: Path, x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        assert path.weights is not None
        seen.append(path.weights.detach().clone())
        return loss(path, x, y)

    bilevel.loss = noted  # type: ignore[method-assign]
    start = method.weights().detach().clone()
    bilevel.iteration(batch(0), batch(1), noise=0.0, draws=torch.Generator(), warmup=True)
    assert torch.equal(seen[0], start)
    bilevel.set_rates(0.1, 0.0)
    bilevel.iteration(batch(0), batch(1), noise=0.0, draws=torch.Generator(), warmup=False)
    assert torch.equal(seen[1], start)  # the alphas' pass
    assert len(seen) == 1 + 1 + 7 + 1  # ... and seven steps of ascent before the weights' pass
    assert all(not torch.equal(weights, start) for weights in seen[2:])


def test_onto_simplex() -> None:
    weights = torch.tensor([[[0.5, 0.7, -0.1], [1.5, 0.0, 0.0], [-0.3, -0.1, -0.2]]])
    expected = [[0.5 / 1.2, 0.7 / 1.2, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
    for row, wanted in zip(onto_simplex(weights)[0].tolist(), expected, strict=True):
        assert row == pytest.approx(wanted)


def test_fields() -> None:
    effective = SearchConfig(method="sdarts-adv").effective()
    assert (effective["perturbation"], effective["perturbation_steps"]) == ("0.03->0.3", 7)
    assert "perturbation_steps" not in SearchConfig(method="sdarts-adv", perturbation="0").effective()
    with pytest.raises(InputError, match="perturbation_steps: 0 must be a finite number of at least 1"):
        SearchConfig(method="sdarts-adv", perturbation_steps=0)
