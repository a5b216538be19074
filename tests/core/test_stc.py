"""STC's arithmetic against values worked out by hand or in float64 numpy."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stcnas_core.config import SearchConfig
from stcnas_core.methods.base import Sample, plain
from stcnas_core.methods.darts import Darts
from stcnas_core.methods.stc import Stc, groups, jensen_shannon
from stcnas_core.path import Choices, everything
from stcnas_core.topology import DARTS, NASBENCH201


def stc(topology=NASBENCH201, **options) -> Stc:
    return Stc(SearchConfig(space=topology.name, **options), topology, "cpu")


def test_jensen_shannon_of_two_known_distributions() -> None:
    # p = (1, 0), q = (1/2, 1/2), m = (3/4, 1/4):
    # KL(p||m) = ln 4/3; KL(q||m) = 1/2 ln 2/3 + 1/2 ln 2 = 1/2 ln 4/3; JS = 3/4 ln 4/3 = 0.2157615...
    p, q = torch.tensor([[[1.0, 0.0]]]), torch.tensor([[[0.5, 0.5]]])
    one = torch.zeros(1, dtype=torch.long)
    assert jensen_shannon(p, q, one, 1).item() == pytest.approx(0.2157615543, abs=1e-6)
    assert jensen_shannon(3 * p, 8 * q, one, 1).item() == pytest.approx(0.2157615543, abs=1e-6)
    disjoint = torch.tensor([[[0.0, 2.0]]])
    assert jensen_shannon(p, disjoint, one, 1).item() == pytest.approx(math.log(2), abs=1e-6)
    assert jensen_shannon(q, q, one, 1).item() == 0.0


def reference(p: np.ndarray, q: np.ndarray, index: list[int]) -> float:
    """Eq. 9 entry by entry in float64."""
    values = []
    for kind in range(p.shape[0]):
        for group in sorted(set(index)):
            rows = [edge for edge in range(p.shape[1]) if index[edge] == group]
            a, b = p[kind, rows].ravel().astype(np.float64), q[kind, rows].ravel().astype(np.float64)
            if a.sum() == 0 or b.sum() == 0:
                values.append(0.0)
                continue
            a, b = a / a.sum(), b / b.sum()
            total = 0.0
            for x, y in zip(a, b, strict=True):
                m = (x + y) / 2
                total += 0.5 * (x * math.log(x / m) if x > 0 else 0) + 0.5 * (y * math.log(y / m) if y > 0 else 0)
            values.append(total)
    return sum(values) / len(values)


@given(st.integers(0, 10_000), st.sampled_from(["node", "edge", "cell"]), st.sampled_from([DARTS, NASBENCH201]))
def test_jensen_shannon_agrees_with_float64_and_stays_between_0_and_ln_2(seed: int, scope: str, topology) -> None:
    rng = np.random.default_rng(seed)
    shape = (len(topology.kinds), len(topology.edges), len(topology.operations))
    p = rng.random(shape) * (rng.random(shape) < 0.3)
    q = rng.random(shape) * (rng.random(shape) < 0.9)
    index = groups(topology, scope)
    value = jensen_shannon(torch.tensor(p), torch.tensor(q), index, int(index.max()) + 1).item()
    assert value == pytest.approx(reference(p, q, index.tolist()), abs=1e-9)
    assert -1e-12 <= value <= math.log(2) + 1e-12


def test_groups_follow_the_scope() -> None:
    assert groups(NASBENCH201, "node").tolist() == [0, 1, 1, 2, 2, 2]
    assert groups(NASBENCH201, "edge").tolist() == [0, 1, 2, 3, 4, 5]
    assert groups(NASBENCH201, "cell").tolist() == [0] * 6


def test_the_penalty_pulls_sampled_entries_up_and_the_rest_down() -> None:
    method = stc()
    cell = (tuple((edge, 3) for edge in range(6)),)
    (gradient,) = torch.autograd.grad(method.penalty(cell), [method.alpha])
    assert (gradient[0, :, 3] < 0).all()
    assert (gradient[0, :, [0, 1, 2, 4]] > 0).all()


def test_the_penalty_may_reach_sampled_entries_alone() -> None:
    method = stc(js_gradient="sampled")
    cell = (tuple((edge, 3) for edge in range(6)),)
    (gradient,) = torch.autograd.grad(method.penalty(cell), [method.alpha])
    assert (gradient[0, :, 3] < 0).all()
    assert (gradient[0, :, [0, 1, 2, 4]] == 0).all()


def test_an_entry_at_zero_gives_no_nan() -> None:
    method = stc()
    with torch.no_grad():
        method.alpha.zero_()
        method.alpha[0, 0, 1] = 0.5
    (gradient,) = torch.autograd.grad(method.penalty((tuple((edge, 1) for edge in range(6)),)), [method.alpha])
    assert gradient.isfinite().all()


@given(st.lists(st.floats(-3, 3, width=32), min_size=30, max_size=30))
def test_projection_is_the_nearest_point_of_the_unit_box(values: list[float]) -> None:
    method = stc()
    with torch.no_grad():
        method.alpha.copy_(torch.tensor(values).reshape(1, 6, 5))
    method.project()
    expected = [0.0 if value < 0 else 1.0 if value > 1 else value for value in values]
    assert method.alpha.flatten().tolist() == expected


def test_projection_is_dropped_with_discretization_consistency_and_for_bounded_weights() -> None:
    for method in (stc(discretization_consistency=False), stc(weighting="sigmoid"), stc(weighting="softmax")):
        with torch.no_grad():
            method.alpha.fill_(1.5)
        method.project()
        assert (method.alpha == 1.5).all()


def test_the_three_weightings() -> None:
    values = torch.tensor([-1.0, 0.0, 0.25, 1.0, 2.0])
    expected = {
        "relu": [0.0, 0.0, 0.25, 1.0, 2.0],
        "sigmoid": [1 / (1 + math.exp(-v)) for v in values.tolist()],
        "softmax": [math.exp(v) / sum(math.exp(w) for w in values.tolist()) for v in values.tolist()],
    }
    for weighting, weights in expected.items():
        method = stc(weighting=weighting)
        with torch.no_grad():
            method.alpha.copy_(values.expand(1, 6, 5))
        assert method.weights()[0, 4].tolist() == pytest.approx(weights, abs=1e-6)


def test_without_noise_sampling_is_derivation() -> None:
    method = stc(DARTS)
    with torch.no_grad():
        method.alpha.uniform_(generator=torch.Generator().manual_seed(5))
    assert method.sample(0.0, torch.Generator().manual_seed(0)).cell == method.derived()


@pytest.mark.parametrize(("form", "expected"), [("one_sided", 0.32), ("two_sided", 0.405)])
def test_noise_overturns_a_lead_as_often_as_the_uniform_law_says(form: str, expected: float) -> None:
    # Two live operations, apart by d = 0.2 r. For U(0, r) each, the difference of two noises is triangular on (-r, r):
    # P(trailing wins) = (1 - 0.2)^2 / 2 = 0.32. U(-r, r) halves the relative lead: (1 - 0.1)^2 / 2 = 0.405.
    method = stc(noise_form=form)
    with torch.no_grad():
        method.alpha.fill_(-9.0)
        method.alpha[0, 0, 1], method.alpha[0, 0, 3] = 0.5, 0.5 + 0.2 * 0.3
    generator = torch.Generator().manual_seed(11)
    draws = [method.sample(0.3, generator).cell[0][0] for _ in range(4000)]
    assert set(draws) == {(0, 1), (0, 3)}
    share = sum(choice == (0, 1) for choice in draws) / len(draws)
    assert share == pytest.approx(expected, abs=4 * math.sqrt(0.25 / len(draws)))


def test_effects_of_operations_on_uniform_cells_can_replace_alpha_at_derivation() -> None:
    method = stc(derive_by="effects", candidates=80, candidate_batches=7)
    with torch.no_grad():
        method.alpha[0, :, 1] = 5.0
    by_alpha = method.derived()
    asked: list[tuple[Sample, int, int]] = []

    def accuracy(sample: Sample, batches: int, behind: int) -> float:
        asked.append((sample, batches, behind))
        return 10.0 * sum(operation == (3 if edge % 2 else 2) for edge, operation in sample.cell[0])

    method.judge(4, accuracy)
    assert by_alpha == (tuple((edge, 1) for edge in range(6)),)
    assert method.derived() == (tuple((edge, 3 if edge % 2 else 2) for edge in range(6)),)
    # Each on the seven batches that follow the last cell's; four epochs of 80 cells were before.
    assert [(batches, behind) for _, batches, behind in asked] == [(7, 7 * (320 + turn)) for turn in range(len(asked))]
    assert len({sample.cell for sample, _, _ in asked}) == len(asked) <= 80
    assert all(sample.plain for sample, _, _ in asked)
    assert method.evaluated() == plain(method.derived())


def test_effects_are_of_the_cells_of_all_epochs_and_go_on_from_a_checkpoint() -> None:
    def accuracy(sample: Sample, batches: int, behind: int) -> float:
        return float(sum(operation == 2 for _, operation in sample.cell[0]) + behind % 3)

    config = {"derive_by": "effects", "candidates": 30, "candidate_batches": 1}
    whole, first, second = (stc(**config) for _ in range(3))
    cells = [set[Choices](), set[Choices]()]
    for epoch in (0, 1):
        whole.judge(epoch, lambda sample, batches, behind, seen=cells[epoch]: seen.add(sample.cell) or 50.0 + behind)
    assert len(cells[0] | cells[1]) > 50  # other cells in each epoch
    assert whole.effects.gram.diagonal().sum() == 6 * (len(cells[0]) + len(cells[1]))

    whole = stc(**config)
    for epoch in (0, 1):
        whole.judge(epoch, accuracy)
    first.judge(0, accuracy)
    second.restore({**first.parameters(), **first.buffers()})
    assert second.derived() == first.derived()
    second.judge(1, accuracy)
    assert torch.equal(second.effects.fit(), whole.effects.fit())


def test_by_alpha_no_cell_is_judged() -> None:
    method = stc(derive_by="alpha")
    method.judge(0, lambda sample, batches, behind: pytest.fail("judged"))
    with torch.no_grad():
        method.alpha[0, :, 2] = 2.0
    assert method.derived() == (tuple((edge, 2) for edge in range(6)),)


def test_open_choices_are_the_papers_but_where_experiments_settled_them() -> None:
    literal = SearchConfig(epochs=24, candidates=3).effective()
    assert (literal["warmup_epochs"], literal["derive_by"]) == (0, "alpha")
    assert not {"candidates", "candidate_batches"} & literal.keys()
    settled = SearchConfig(space="nasbench201", epochs=25).effective()
    names = ("warmup_epochs", "derive_by", "candidates", "candidate_batches")
    assert [settled[name] for name in names] == [12, "effects", 100, 8]
    asked = SearchConfig(space="nasbench201", warmup_epochs=0, derive_by="alpha").effective()
    assert {**asked, "space": "darts"} == {**SearchConfig().effective(), "sample_none": False, "space": "darts"}
    assert SearchConfig(space="nasbench201", method="gdas").effective()["warmup_epochs"] == 0


def test_a_sample_has_as_many_edges_as_the_target_cell() -> None:
    sample = stc(DARTS).sample(0.3, torch.Generator().manual_seed(3))
    assert [len(cell) for cell in sample.runs] == [8, 8]
    whole = stc(DARTS, cell_consistency=False).sample(0.3, torch.Generator().manual_seed(3))
    assert whole.runs == everything(DARTS)
    assert whole.cell == sample.cell


def test_warm_up_draws_cells_uniformly() -> None:
    method, generator = stc(DARTS), torch.Generator().manual_seed(0)
    draws = [method.uniform(generator).cell[0] for _ in range(3000)]
    operations = np.bincount([operation for cell in draws for _, operation in cell], minlength=7)
    edges = np.bincount([edge for cell in draws for edge, _ in cell], minlength=14)
    assert operations / operations.sum() == pytest.approx(np.full(7, 1 / 7), abs=0.01)
    # Two of 2, 3, 4 and 5 edges of a node.
    assert edges / 3000 == pytest.approx(np.array([1] * 2 + [2 / 3] * 3 + [1 / 2] * 4 + [2 / 5] * 5), abs=0.04)


def test_darts_weighs_by_softmax_and_runs_everything() -> None:
    method = Darts(SearchConfig(method="darts"), DARTS, "cpu")
    assert method.weights()[0, 0].sum().item() == pytest.approx(1.0)
    assert method.weights()[1, 13].tolist() == pytest.approx([1 / 7] * 7, abs=2e-3)
    assert method.sample(0.3, torch.Generator()).runs == everything(DARTS)
    assert method.penalty(method.derived()) is None
    assert method.config.value("alpha_weight_decay") == 1e-3
