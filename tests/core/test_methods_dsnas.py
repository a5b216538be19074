"""DSNAS: one pass of one sampled path moves weights and alphas, and its result needs no retraining."""

from typing import Any

import torch

from stcnas_core import methods
from stcnas_core.bilevel import Bilevel
from stcnas_core.config import SearchConfig
from stcnas_core.methods.base import plain
from stcnas_core.methods.dsnas import Dsnas
from stcnas_core.path import Path
from stcnas_core.search import Search
from stcnas_core.topology import NASBENCH201

SMALL: dict[str, Any] = {"space": "layerwise", "method": "dsnas", "cells": 1, "channels": 2}


def level(seed: int = 1) -> tuple[Bilevel, Dsnas]:
    """A search in double precision whose alphas are a little apart, so that nothing is decided."""
    bilevel = Bilevel(SearchConfig(**SMALL), 5, "cpu")
    bilevel.model.double()
    method = bilevel.method
    assert isinstance(method, Dsnas)
    draws = torch.Generator().manual_seed(seed)
    method.alpha.data = 0.2 * torch.randn(method.alpha.shape, dtype=torch.float64, generator=draws)
    return bilevel, method


def batch(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    draws = torch.Generator().manual_seed(seed)
    return torch.randn(8, 3, 8, 8, dtype=torch.float64, generator=draws), torch.arange(8) % 5


def test_the_sampled_path_runs_as_it_would_be_derived() -> None:
    bilevel, method = level()
    sample = method.sample(0.0, torch.Generator().manual_seed(2))
    assert sample.runs == sample.cell
    with torch.no_grad():
        ours, _ = bilevel.loss(method.path(sample), *batch(0))
        theirs, _ = bilevel.loss(method.path(plain(sample.cell)), *batch(0))
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=0)


def test_alphas_move_by_the_dummys_derivative_times_the_gradient_of_the_log_probability() -> None:
    bilevel, method = level()
    sample = method.sample(0.0, torch.Generator().manual_seed(2))
    loss, _ = bilevel.loss(method.path(sample), *batch(0))
    (found,) = torch.autograd.grad(loss, [method.alpha])
    ones = torch.ones(method.alpha.shape, dtype=torch.float64, requires_grad=True)
    loss, _ = bilevel.loss(Path(sample.cell, ones), *batch(0))
    (reward,) = torch.autograd.grad(loss, [ones])
    expected = torch.zeros_like(found)
    for edge, k in sample.cell[0]:
        one_hot = torch.eye(7, dtype=torch.float64)[k]
        expected[0, edge, :6] = reward[0, edge, k] * (one_hot - method.weights().detach()[0, edge])[:6]
    torch.testing.assert_close(found, expected)
    assert found[0, :, 6].eq(0).all()  # no skip where there is nothing to skip


def test_the_estimate_is_unbiased_where_the_loss_is_linear_in_the_outputs() -> None:
    method = methods.build(SearchConfig(space="nasbench201", method="dsnas", sample_none=True), NASBENCH201, "cpu")
    method.alpha.data = torch.randn(1, 6, 5, generator=torch.Generator().manual_seed(0))
    costs = torch.randn(5, generator=torch.Generator().manual_seed(1))
    p = method.weights().detach()[0, 0]
    mean = torch.zeros(5)
    for k in range(5):
        cell = (((0, k), *((edge, 0) for edge in range(1, 6))),)
        loss = method.weigh(plain(cell))[0, 0, k] * costs[k]
        mean += p[k] * torch.autograd.grad(loss, [method.alpha])[0][0, 0]
    (expected,) = torch.autograd.grad(method.weights()[0, 0] @ costs, [method.alpha])
    torch.testing.assert_close(mean, expected[0, 0])


def test_one_step_on_training_images_moves_what_ran_and_the_alphas() -> None:
    bilevel, method = level()
    passes: list[torch.Tensor] = []
    loss = bilevel.loss
    bilevel.loss = lambda path, x, y: passes.append(x) or loss(path, x, y)  # type: ignore[method-assign]
    weights = {choice: [p.clone() for p in parameters] for choice, parameters in bilevel.by_choice.items()}
    alpha = method.alpha.detach().clone()
    train = batch(0)
    drawn = method.sample(0.0, torch.Generator().manual_seed(6))
    done = bilevel.iteration(train, batch(1), noise=0.0, draws=torch.Generator().manual_seed(6), warmup=False)
    assert done.alphas is None
    assert len(passes) == 1
    assert passes[0] is train[0]
    assert bool((method.alpha.detach() != alpha)[0, :, :6].all())
    moved = {
        choice[1:]
        for choice, parameters in bilevel.by_choice.items()
        if any(not torch.equal(p, old) for p, old in zip(parameters, weights[choice], strict=True))
    }
    assert moved == set(drawn.cell[0])


def test_a_decided_edge_runs_its_best_operation_for_good_and_its_alphas_rest() -> None:
    bilevel, method = level()
    method.alpha.data[0, 2, :6] = torch.tensor([0.0, 0, 0, 1.6, 0, 0])  # 0.50 and 0.10
    method.alpha.data[0, 4, :6] = torch.tensor([0.0, 0, 0, 1.0, 0, 0])  # 0.35 and 0.13
    assert method.decided(method.scores())[0].tolist() == [False, False, True, False, False, False]
    bilevel.alpha_optimizer.param_groups[0]["lr"] = 0.05
    before = method.alpha.detach().clone()
    draws = torch.Generator().manual_seed(0)
    samples = []
    for step in range(12):
        samples.append(method.sample(0.0, draws))
        bilevel.joint_step(samples[-1], *batch(step))
    assert torch.equal(method.alpha[0, 2], before[0, 2])
    assert not torch.equal(method.alpha[0, 4], before[0, 4])
    assert {sample.cell[0][2] for sample in samples} == {(2, 3)}
    assert len({sample.cell[0][4] for sample in samples}) > 1


def test_what_is_derived_is_what_is_judged_and_the_other_half_trains_nothing() -> None:
    search = Search(SearchConfig(**SMALL, batch_size=16, epochs=1, train_images=64), device="cpu")
    epoch = search.run_epoch()
    assert epoch.alpha_loss is None
    assert epoch.derived_accuracy == epoch.valid_accuracy
    assert epoch.alpha_lr == 1e-3


def test_a_space_with_none_decides_among_what_may_be_derived() -> None:
    bench = methods.build(SearchConfig(space="nasbench201", method="dsnas"), NASBENCH201, "cpu")
    assert isinstance(bench, Dsnas)
    bench.alpha.data[0, 0] = torch.tensor([2.0, 0, 0, 0, 0])  # `none` leads, and may not be derived
    bench.alpha.data[0, 1] = torch.tensor([0.0, 3, 0, 0, 0])
    assert bench.decided(bench.scores())[0].tolist() == [False, True, False, False, False, False]
