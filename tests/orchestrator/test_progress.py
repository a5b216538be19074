"""Progress: counts, estimates and plain lines."""

import io
from pathlib import Path

import pytest
from driver import write_sweep

from orchestrator.plan import Plan, make_plan
from orchestrator.progress import HEARTBEAT, Lines, Live, Reporter, Tracker, duration
from orchestrator.spec import load_sweep
from orchestrator.trainable import Progress

CELL = "|skip_connect~0|+|skip_connect~0|skip_connect~1|+|skip_connect~0|skip_connect~1|skip_connect~2|"


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    return make_plan(load_sweep(write_sweep(tmp_path / "s.yaml", search={"epochs": 4})))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def tracker(plan: Plan, clock: Clock) -> Tracker:
    return Tracker(plan.trials({}), plan.epochs, clock)


def test_estimates_from_epochs_seen_in_every_stage_that_is_left(plan: Plan, tracker: Tracker, clock: Clock) -> None:
    search, other = plan.searches
    tracker.begin(search)
    for epoch in range(1, 5):
        clock.now += 10
        tracker.update(Progress(search.id, "finished" if epoch == 4 else "running", epoch, 50.0, CELL))
    assert tracker.seconds_left() is None
    (retrain,) = plan.retrainings(search, CELL)
    tracker.replan(plan.retrainings(search, None), [retrain])
    assert tracker.total == 4
    tracker.begin(retrain)
    clock.now += 1
    tracker.update(Progress(retrain.id, "running", 1))
    assert tracker.seconds_left() == pytest.approx(1 * 1 + 4 * 10 + 2 * 1)
    tracker.begin(other)
    assert tracker.seconds_left() == pytest.approx((1 + 40 + 2) / 2)


def test_a_cell_found_twice_makes_the_run_shorter(plan: Plan, tracker: Tracker) -> None:
    search = plan.searches[0]
    tracker.begin(search)
    tracker.update(Progress(search.id, "finished", 4, 50.0, CELL))
    tracker.replan(plan.retrainings(search, None), [])
    assert (tracker.ended, tracker.total) == (1, 3)


def test_lines_for_trials_that_end_and_a_heartbeat(plan: Plan, tracker: Tracker, clock: Clock) -> None:
    stream = io.StringIO()
    lines = Lines(tracker, stream, clock)
    first, second = plan.searches
    lines.begin(first)
    lines.begin(second)
    lines.update(first, Progress(first.id, "running", 1, 20.0, notices=("a checkpoint is damaged",)))
    lines.beat()
    clock.now += HEARTBEAT
    lines.beat()
    lines.beat()
    lines.update(first, Progress(first.id, "finished", 4, 51.234, CELL))
    lines.update(second, Progress(second.id, "failed", 0, error="DivergedError: nan"))
    assert stream.getvalue().splitlines() == [
        "note: a checkpoint is damaged",
        "[0/4] running: search default, seed 0 epoch 1/4, search default, seed 1 epoch 0/4",
        "[1/4] search default, seed 0: finished, 4 epochs, 51.23 %",
        "[2/4] search default, seed 1: failed: DivergedError: nan",
    ]


def test_an_epoch_that_takes_longer_than_others_says_for_how_long(plan: Plan, tracker: Tracker, clock: Clock) -> None:
    stream = io.StringIO()
    lines = Lines(tracker, stream, clock)
    search = plan.searches[0]
    lines.begin(search)
    for seconds in (90, 100):
        clock.now += seconds
        lines.beat()
    lines.update(search, Progress(search.id, "running", 1))
    for seconds in (370, 20):
        clock.now += seconds
        lines.beat()
    assert [line.partition("running: ")[2].split(";")[0] for line in stream.getvalue().splitlines()] == [
        "search default, seed 0 epoch 0/4 for 2 min",
        "search default, seed 0 epoch 0/4 for 3 min",
        "search default, seed 0 epoch 1/4",
    ]
    clock.now += HEARTBEAT
    lines.beat()
    assert stream.getvalue().endswith("epoch 1/4 for 7 min\n")


def test_the_live_display_draws_and_keeps_lines(plan: Plan, tracker: Tracker) -> None:
    stream = io.StringIO()
    with Live(tracker, stream) as live:
        assert isinstance(live, Reporter)
        live.begin(plan.searches[0])
        live.update(plan.searches[0], Progress(plan.searches[0].id, "running", 3, 20.0))
        live.update(plan.searches[0], Progress(plan.searches[0].id, "finished", 4, 30.0, CELL))
        live.begin(plan.searches[1])
    shown = stream.getvalue()
    assert "[1/4] search default, seed 0: finished, 4 epochs, 30.00 %" in shown
    assert "1/4 trials" in shown
    assert "epoch 0/4" in shown


@pytest.mark.parametrize(("seconds", "text"), [(3, "3 s"), (600, "10 min"), (7200, "2.0 h"), (864000, "10.0 days")])
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text
