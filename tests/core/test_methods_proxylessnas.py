"""ProxylessNAS: paths are drawn by the probabilities, and the alphas compare two of them, computing no other."""

from typing import Any

import pytest
import torch
from torch import nn

from stcnas_core import methods
from stcnas_core.bilevel import Bilevel
from stcnas_core.config import SearchConfig
from stcnas_core.methods.base import Sample
from stcnas_core.methods.proxylessnas import ProxylessNas
from stcnas_core.path import Choices, Path
from stcnas_core.topology import DARTS, NASBENCH201, Topology, layerwise

SMALL: dict[str, Any] = {"space": "layerwise", "method": "proxylessnas", "cells": 1, "channels": 2}


def build(topology: Topology, **options) -> ProxylessNas:
    method = methods.build(SearchConfig(**{**SMALL, "space": topology.name, **options}), topology, "cpu")
    assert isinstance(method, ProxylessNas)
    return method


def level() -> tuple[Bilevel, ProxylessNas]:
    """A search in double precision whose alphas are apart."""
    bilevel = Bilevel(SearchConfig(**SMALL), 5, "cpu")
    bilevel.model.double()
    method = bilevel.method
    assert isinstance(method, ProxylessNas)
    method.alpha.data = torch.randn(method.alpha.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    return bilevel, method


def batch(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    draws = torch.Generator().manual_seed(seed)
    return torch.randn(8, 3, 8, 8, dtype=torch.float64, generator=draws), torch.arange(8) % 5


def pairs(runs: Choices) -> list[list[int]]:
    """The operations of each edge of the only cell kind."""
    return [[k for edge, k in runs[0] if edge == wanted] for wanted in range(len({edge for edge, _ in runs[0]}))]


@pytest.mark.parametrize("topology", [DARTS, NASBENCH201, layerwise(2)])
def test_two_different_paths_of_every_edge_and_one_of_them_alone(topology: Topology) -> None:
    method = build(topology)
    draws = torch.Generator().manual_seed(0)
    for _ in range(50):
        sample = method.sample(0.0, draws)
        for runs, cell in zip(sample.runs, sample.cell, strict=True):
            assert [edge for edge, _ in runs] == [edge for edge in range(len(topology.edges)) for _ in range(2)]
            assert len(set(runs)) == len(runs)
            assert len(cell) == len(topology.edges)
            assert set(cell) <= set(runs)
            assert not set(runs) & topology.barred
            assert "none" not in {topology.operations[k] for _, k in runs}


def test_paths_and_gates_are_drawn_by_the_probabilities() -> None:
    method = build(layerwise(1))
    p = torch.tensor([0.4, 0.25, 0.15, 0.1, 0.06, 0.04])
    method.alpha.data[0, :, :6] = p.log()
    draws = torch.Generator().manual_seed(0)
    samples = [method.sample(0.0, draws) for _ in range(1000)]
    n = 6 * len(samples)
    first, both, active = torch.zeros(6), torch.zeros(6, 6), torch.zeros(6)
    for sample in samples:
        first += torch.bincount(torch.tensor([k for _, k in sample.cell[0]]), minlength=6)
        for i, j in pairs(sample.runs):
            both[i, j] += 1
        active += method.weigh(sample).detach()[0, :, :6].round().sum(dim=0)
    # Without replacement: i first and then j, or the other way round; the gate is then drawn by what they share.
    ordered = p[:, None] * p[None, :] / (1 - p[:, None])
    pair = (ordered + ordered.T).triu(1)
    shared = p[:, None] / (p[:, None] + p[None, :])
    open_gate = (pair * shared).sum(dim=1) + (pair * shared.T).sum(dim=0)
    for seen, expected in ((first, p), (both, pair), (active, open_gate)):
        # Within five standard deviations of a binomial share.
        assert bool(((seen / n - expected).abs() <= 5 * (expected * (1 - expected) / n).sqrt()).all())


def test_the_alphas_gradient_is_the_papers_sum_over_the_two_gates() -> None:
    bilevel, method = level()
    sample = method.sample(0.0, torch.Generator().manual_seed(3))
    (found,), _ = bilevel.first_order(sample, *batch(0))
    gates = method.weigh(sample).detach().requires_grad_()
    loss, _ = bilevel.loss(Path(sample.runs, gates), *batch(0))
    (reward,) = torch.autograd.grad(loss, [gates])
    expected = torch.zeros_like(found)
    for edge, two in enumerate(pairs(sample.runs)):
        share = method.alpha.detach()[0, edge, two].softmax(dim=0)
        for i in range(2):
            terms = (reward[0, edge, two[j]] * share[j] * (float(i == j) - share[i]) for j in range(2))
            expected[0, edge, two[i]] = sum(terms)
    torch.testing.assert_close(found, expected)
    assert int((found != 0).sum()) == 12


def test_a_step_of_the_alphas_runs_two_operations_an_edge_and_one_of_the_weights_a_single_one() -> None:
    bilevel, method = level()
    drawn: list[Sample] = []
    sample = method.sample
    method.sample = lambda *arguments: drawn.append(sample(*arguments)) or drawn[-1]  # type: ignore[method-assign]
    ran: list[set[nn.Module]] = []
    for module in bilevel.model.modules():
        module.register_forward_hook(lambda module, *_: ran[-1].add(module))
    loss = bilevel.loss
    bilevel.loss = lambda *arguments: ran.append(set()) or loss(*arguments)  # type: ignore[method-assign]
    before = {choice: [p.clone() for p in parameters] for choice, parameters in bilevel.by_choice.items()}
    done = bilevel.iteration(batch(0), batch(1), noise=0.0, draws=torch.Generator().manual_seed(4), warmup=False)
    assert done.alphas is not None
    assert len(drawn) == len(ran) == 2
    operations = bilevel.model.cells[0]._operations
    for chosen, modules in zip((drawn[0].runs, drawn[1].cell), ran, strict=True):
        assert {choice for choice, module in operations.items() if module in modules} == set(chosen[0])
    moved = {
        choice[1:]
        for choice, parameters in bilevel.by_choice.items()
        if any(not torch.equal(p, old) for p, old in zip(parameters, before[choice], strict=True))
    }
    assert moved == set(drawn[1].cell[0])


def test_a_step_leaves_the_probabilities_of_what_was_not_drawn() -> None:
    bilevel, method = level()
    bilevel.alpha_optimizer.param_groups[0]["lr"] = 0.1
    draws = torch.Generator().manual_seed(5)
    for step in range(3):
        sample = method.sample(0.0, draws)
        before = method.weights().detach().clone()
        bilevel.alpha_step(sample, batch(step), batch(step + 10))
        after = method.weights().detach()
        for edge, two in enumerate(pairs(sample.runs)):
            others = [k for k in range(6) if k not in two]
            torch.testing.assert_close(after[0, edge, others], before[0, edge, others])
            change = after[0, edge, two] - before[0, edge, two]
            assert change.abs().min() > 1e-5
            assert change.sum().item() == pytest.approx(0, abs=1e-9)


def test_the_papers_settings() -> None:
    fields = SearchConfig(method="proxylessnas", epochs=160).effective()
    assert (fields["alpha_lr"], fields["alpha_betas"], fields["alpha_weight_decay"]) == (1e-3, [0.0, 0.999], 0.0)
    assert fields["warmup_epochs"] == 40
    assert build(layerwise(1)).warming(torch.Generator()).plain
