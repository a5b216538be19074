"""ENAS: the controller is a distribution over the space's cells, and policy gradient moves it to the rewarding ones."""

import dataclasses
import itertools

import pytest
import torch

from stcnas_core import methods
from stcnas_core.bilevel import Bilevel
from stcnas_core.config import SearchConfig
from stcnas_core.errors import InputError
from stcnas_core.methods.enas import Controller, Enas, Walk
from stcnas_core.topology import DARTS, NASBENCH201, Topology


def build(topology=NASBENCH201, **options) -> Enas:
    method = methods.build(SearchConfig(space=topology.name, method="enas", **options), topology, "cpu")
    assert isinstance(method, Enas)
    return method


def walk(controller: Controller, decisions: tuple[int, ...]) -> Walk:
    given = iter(decisions)
    taken = Walk(lambda logits: next(given))
    controller(taken)
    return taken


@pytest.mark.parametrize(
    ("topology", "choices"),
    [
        (dataclasses.replace(NASBENCH201, nodes=2), [range(1, 5)] * 3),
        (
            Topology("darts", ("normal",), ("skip_connect", "nor_conv_3x3"), inputs=2, nodes=2, kept=2),
            [range(2), range(2), range(2), range(2), range(3), range(3), range(2), range(2)],
        ),
    ],
)
def test_the_probabilities_of_all_decisions_sum_to_one(topology: Topology, choices: list[range]) -> None:
    controller = build(topology).controller
    with torch.no_grad():
        for parameter in controller.parameters():
            parameter.mul_(10.0)
    sequences = list(itertools.product(*choices))
    if topology.kept == 2:  # inputs of a node are distinct
        sequences = [d for d in sequences if d[0] != d[1] and d[4] != d[5]]
    probabilities = [walk(controller, decisions).log_probability.exp().item() for decisions in sequences]
    assert sum(probabilities) == pytest.approx(1.0, abs=1e-5)
    assert min(probabilities) < 0.9 * max(probabilities)


@pytest.mark.parametrize(("topology", "decisions", "edges"), [(DARTS, 32, 8), (NASBENCH201, 6, 6)])
def test_cells_are_of_the_targets_size_and_a_replay_is_the_sample(topology: Topology, decisions, edges) -> None:
    method = build(topology)
    draws = torch.Generator().manual_seed(1)
    samples = [method.sample(0.0, draws) for _ in range(20)]
    assert len({sample.cell for sample in samples}) == 20
    for sample in samples:
        assert sample.plain
        assert len(sample.decisions) == decisions
        assert {len(kind) for kind in sample.cell} == {edges}
        for kind in sample.cell:
            for node in topology.edges_by_node:
                assert len({edge for edge, _ in kind if edge in node}) == (topology.kept or len(node))
        replayed = iter(sample.decisions)
        assert method.controller(Walk(lambda logits, replayed=replayed: next(replayed))) == sample.cell
    assert method.genotype().space == topology.name


def test_none_is_drawn_only_where_it_may_be() -> None:
    for allowed in (False, True):
        method = build(sample_none=allowed)
        draws = torch.Generator().manual_seed(2)
        drawn = {k for _ in range(60) for _, k in method.sample(0.0, draws).cell[0]}
        assert drawn == set(range(0 if allowed else 1, 5))


def test_logits_stay_within_the_tanh_constant() -> None:
    method = build()
    with torch.no_grad():
        for parameter in method.controller.parameters():
            parameter.mul_(1000.0)
    seen: list[torch.Tensor] = []
    method.controller(Walk(lambda logits: seen.append(logits) or 1))
    finite = torch.cat(seen)[torch.cat(seen).isfinite()]
    assert 2.4 < finite.abs().max() <= 2.5


def test_the_first_reward_moves_nothing_and_a_later_one_by_its_advantage() -> None:
    method = build(entropy_weight=0.0)
    sample = method.sample(0.0, torch.Generator().manual_seed(3))
    assert method.policy_loss(sample, torch.tensor(0.5)).item() == 0.0
    loss = method.policy_loss(sample, torch.tensor(0.8))
    log_probability = walk(method.controller, sample.decisions).log_probability
    assert loss.item() == pytest.approx(-0.3 * log_probability.item(), rel=1e-5)
    # The baseline is the mean of rewards, each counting 0.99 of the next.
    third = method.policy_loss(sample, torch.tensor(1.0))
    baseline = (0.99 * 0.5 + 0.8) / 1.99
    assert third.item() == pytest.approx(-(1.0 - baseline) * log_probability.item(), rel=1e-5)


def test_entropy_is_rewarded() -> None:
    method = build(entropy_weight=0.1)
    sample = method.sample(0.0, torch.Generator().manual_seed(4))
    method.policy_loss(sample, torch.tensor(0.5))
    entropy = walk(method.controller, sample.decisions).entropy.item()
    assert entropy == pytest.approx(6 * torch.tensor(4.0).log().item(), rel=0.01)
    assert (method.average[0] / method.average[1]).item() == pytest.approx(0.5 + 0.1 * entropy, rel=1e-5)


@pytest.mark.parametrize(("topology", "operation", "steps"), [(NASBENCH201, 3, 120), (DARTS, 2, 40)])
def test_the_controller_learns_what_is_rewarded(topology: Topology, operation: int, steps: int) -> None:
    method = build(topology)
    optimizer = torch.optim.Adam(method.parameters().values(), lr=1.2 / steps)
    draws = torch.Generator().manual_seed(5)

    def share(cell) -> float:
        return sum(k == operation for kind in cell for _, k in kind) / sum(map(len, cell))

    before = sum(share(method.candidate(draws)) for _ in range(20)) / 20
    for _ in range(steps):
        sample = method.sample(0.0, draws)
        optimizer.zero_grad()
        method.policy_loss(sample, torch.tensor(share(sample.cell))).backward()
        optimizer.step()
    after = sum(share(method.candidate(draws)) for _ in range(20)) / 20
    assert before < 0.4
    assert after > before + 0.3
    assert share(method.undecided()) > 0.9


def test_an_iteration_moves_the_controller_by_a_validation_batch_and_the_weights_by_another_cell() -> None:
    config = SearchConfig(space="nasbench201", method="enas", cells=1, channels=4, batch_size=8)
    bilevel = Bilevel(config, 10, "cpu")
    passes: list[tuple] = []
    loss = bilevel.loss
    bilevel.loss = lambda path, x, y: passes.append((path, x)) or loss(path, x, y)  # type: ignore[method-assign]
    draws = torch.Generator().manual_seed(6)
    train, valid = ((torch.randn(8, 3, 8, 8, generator=draws), torch.arange(8)) for _ in range(2))
    before = [parameter.detach().clone() for parameter in bilevel.method.parameters().values()]
    for _ in range(2):  # the first reward has no baseline to exceed
        done = bilevel.iteration(train, valid, noise=0.3, draws=draws, warmup=False)
        assert done.alphas is not None
    assert [x is valid[0] for _, x in passes] == [True, False] * 2
    assert all(path.weights is None for path, _ in passes)
    assert passes[0][0].chosen != passes[1][0].chosen
    moved = bilevel.method.parameters().values()
    assert all(not torch.equal(a, b) for a, b in zip(moved, before, strict=True))


def test_the_defaults() -> None:
    enas = SearchConfig(method="enas").effective()
    assert (enas["candidates"], enas["candidate_batches"], enas["entropy_weight"]) == (100, 1, 1e-4)
    assert SearchConfig(method="enas", alpha_start=3.0).effective() == enas
    with pytest.raises(InputError, match="entropy_weight: -1 must be"):
        SearchConfig(method="enas", entropy_weight=-1)
