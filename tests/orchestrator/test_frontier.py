"""The frontier: everything once, as soon as it can start."""

from pathlib import Path

import pytest
from driver import write_sweep
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.frontier import Frontier
from orchestrator.plan import Plan, make_plan
from orchestrator.spec import load_sweep

CELLS = [f"|{op}~0|+|{op}~0|{op}~1|+|{op}~0|{op}~1|{op}~2|" for op in ("skip_connect", "nor_conv_1x1", "nor_conv_3x3")]


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    sweep = write_sweep(tmp_path / "s.yaml", seeds=[0, 1, 2], retrain={"seeds": [0, 1]})
    return make_plan(load_sweep(sweep))


def nothing(trial_id: str) -> bool:
    return False


def test_a_retraining_starts_before_the_searches_that_wait(plan: Plan) -> None:
    frontier = Frontier(plan, {}, {}, nothing)
    first = frontier.take()
    assert first == plan.searches[0]
    new = frontier.ended(first.id, CELLS[0])
    assert [trial.retrain_seed for trial in new] == [0, 1]
    assert [frontier.take() for _ in range(3)] == [*new, plan.searches[1]]


def test_waits_while_something_runs(plan: Plan) -> None:
    frontier = Frontier(plan, {}, {}, nothing)
    taken = [frontier.take() for _ in range(3)]
    assert frontier.take() is None
    assert not frontier.finished
    for trial in taken:
        assert trial is not None
        frontier.ended(trial.id, None)
    assert frontier.finished


def test_equal_cells_are_retrained_once(plan: Plan) -> None:
    frontier = Frontier(plan, {}, {}, nothing)
    while frontier.take() is not None:
        pass
    assert [len(frontier.ended(search.id, CELLS[0])) for search in plan.searches] == [2, 0, 0]


def test_what_the_ledger_has_is_not_started(plan: Plan) -> None:
    (known,) = [search.id for search in plan.searches[:1]]
    (recorded, left) = plan.retrainings(plan.searches[0], CELLS[0])
    states = {known: "done", plan.searches[1].id: "failed"}
    frontier = Frontier(plan, states, {known: CELLS[0]}, nothing)  # type: ignore[arg-type]
    assert [trial.id for trial in frontier.ready] == [plan.searches[2].id, recorded.id, left.id]
    later = Frontier(plan, {}, {}, lambda trial_id: trial_id == recorded.id)
    later.take()
    assert later.ended(known, CELLS[0]) == [left]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_every_trial_starts_once_whatever_the_order(plan: Plan, data: st.DataObject) -> None:
    cells = {search.id: data.draw(st.sampled_from([*CELLS, None])) for search in plan.searches}
    frontier = Frontier(plan, {}, {}, nothing)
    running, started = [], []
    while not frontier.finished:
        if running and (not frontier.ready or data.draw(st.booleans())):
            trial = running.pop(data.draw(st.integers(0, len(running) - 1)))
            frontier.ended(trial.id, cells.get(trial.id))
        else:
            trial = frontier.take()
            assert trial is not None
            running.append(trial)
            started.append(trial.id)
    known = {name: cell for name, cell in cells.items() if cell is not None}
    wanted = [trial.id for trial in plan.trials(known) if trial.config is not None]
    assert sorted(started) == sorted(wanted)
