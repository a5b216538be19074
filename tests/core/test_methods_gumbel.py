"""SNAS and GDAS: what they sample has the distribution and the gradients that their papers say."""

import numpy as np
import pytest
import torch

from stcnas_core import methods
from stcnas_core.bilevel import Bilevel
from stcnas_core.config import SearchConfig
from stcnas_core.errors import InputError
from stcnas_core.methods.gdas import Gdas
from stcnas_core.methods.snas import Snas
from stcnas_core.path import everything
from stcnas_core.topology import DARTS, NASBENCH201


def build(name: str, topology=NASBENCH201, **options):
    return methods.build(SearchConfig(space=topology.name, method=name, **options), topology, "cpu")


def batch(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    draws = torch.Generator().manual_seed(seed)
    return torch.randn(8, 3, 8, 8, generator=draws), torch.randint(0, 10, (8,), generator=draws)


@pytest.mark.parametrize("name", ["snas", "gdas"])
def test_sharp_samples_have_the_probabilities_of_the_alphas(name: str) -> None:
    # The Gumbel-max trick: argmax(log p + G) is distributed as p, at any temperature.
    method = build(name, sample_none=True)
    with torch.no_grad():
        method.alpha[0, 0] = torch.tensor([0.1, 0.2, 0.4, 0.25, 0.05]).log() + 3.0
    draws = torch.Generator().manual_seed(0)
    counts = np.zeros(5)
    for _ in range(4000):
        sample = method.sample(0.0, draws)
        counts[int(method.weigh(sample)[0, 0].argmax())] += 1
    assert counts / 4000 == pytest.approx([0.1, 0.2, 0.4, 0.25, 0.05], abs=0.03)


def test_snas_runs_everything_with_weights_that_sharpen_as_the_temperature_falls() -> None:
    method = build("snas", DARTS)
    assert isinstance(method, Snas)
    sharpness = []
    for progress in (0.0, 0.5, 1.0):
        method.anneal(progress)
        sample = method.sample(0.0, torch.Generator().manual_seed(1))
        weights = method.weigh(sample)
        assert sample.runs == everything(DARTS)
        torch.testing.assert_close(weights.sum(dim=2), torch.ones(2, 14))
        sharpness.append(weights.amax(dim=2).mean().item())
    assert method.temperature == pytest.approx(0.03)
    assert sharpness[0] < 0.7 < 0.97 < sharpness[2]


def test_snas_moves_alphas_and_weights_by_one_pass_on_training_images() -> None:
    bilevel = Bilevel(SearchConfig(space="nasbench201", method="snas", cells=1, channels=4, batch_size=8), 10, "cpu")
    passes: list[tuple] = []
    loss = bilevel.loss
    bilevel.loss = lambda path, x, y: passes.append((x, y)) or loss(path, x, y)  # type: ignore[method-assign]
    alpha = bilevel.method.alpha.detach().clone()
    weights = [p.clone() for p in bilevel.shared]
    train, valid = batch(0), batch(1)
    done = bilevel.iteration(train, valid, noise=0.3, draws=torch.Generator(), warmup=False)
    assert done.alphas is None
    assert [x is train[0] for x, _ in passes] == [True]
    assert not torch.equal(alpha, bilevel.method.alpha)
    assert all(not torch.equal(a, b) for a, b in zip(weights, bilevel.shared, strict=True))


def test_gdas_runs_one_operation_on_each_of_all_edges_with_weight_one() -> None:
    method = build("gdas", DARTS)
    assert isinstance(method, Gdas)
    draws = torch.Generator().manual_seed(2)
    sample = method.sample(0.0, draws)
    assert [[edge for edge, _ in cell] for cell in sample.runs] == [list(range(14))] * 2
    weights = method.weigh(sample)
    for kind, cell in enumerate(sample.runs):
        for edge, k in cell:
            assert weights[kind, edge, k].item() == pytest.approx(1.0)
    assert method.sample(0.0, draws).runs != sample.runs


def test_gdas_passes_the_gradient_of_the_softmax_straight_through() -> None:
    method = build("gdas")
    assert isinstance(method, Gdas)
    method.anneal(0.5)
    sample = method.sample(0.0, torch.Generator().manual_seed(3))
    edge, k = sample.runs[0][2]
    hard = torch.autograd.grad(method.weigh(sample)[0, edge, k], [method.alpha])[0]
    assert sample.noise is not None
    soft = torch.autograd.grad(method.relaxed(sample.noise)[0, edge, k], [method.alpha])[0]
    torch.testing.assert_close(hard, soft)
    assert hard[0, edge].abs().min() > 0  # what did not run is moved by the softmax too
    assert hard[0, edge].sum().item() == pytest.approx(0.0, abs=1e-6)


def test_gdas_draws_another_network_for_each_step_of_an_iteration() -> None:
    bilevel = Bilevel(SearchConfig(space="darts", method="gdas", cells=3, channels=4, batch_size=8), 10, "cpu")
    paths = []
    loss = bilevel.loss
    bilevel.loss = lambda path, x, y: paths.append(path.chosen) or loss(path, x, y)  # type: ignore[method-assign]
    bilevel.iteration(batch(0), batch(1), noise=0.3, draws=torch.Generator(), warmup=False)
    assert len(paths) == 2
    assert paths[0] != paths[1]


def test_gdas_draws_none_only_where_it_may() -> None:
    for allowed in (False, True):
        method = build("gdas", sample_none=allowed)
        draws = torch.Generator().manual_seed(4)
        drawn = {k for _ in range(60) for _, k in method.sample(0.0, draws).runs[0]}
        assert drawn == set(range(0 if allowed else 1, 5))


def test_temperatures_and_the_fields_that_matter() -> None:
    gdas, snas = (SearchConfig(method=name).effective() for name in ("gdas", "snas"))
    assert (gdas["temperature"], snas["temperature"]) == ("10->0.1", "1->0.03")
    assert SearchConfig(method="gdas", temperature="10->0.1").effective() == gdas
    assert SearchConfig(method="gdas", noise=0.7, partial_channels=2).effective() == gdas
    assert "temperature" not in SearchConfig(temperature="5").effective()
    with pytest.raises(InputError, match="temperature: '1->0' must stay above 0"):
        SearchConfig(method="gdas", temperature="1->0")
