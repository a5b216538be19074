"""What Prometheus is told of a run on Ray."""

from pathlib import Path

import pytest
from driver import write_sweep

from orchestrator.cluster import meters
from orchestrator.plan import make_plan
from orchestrator.progress import Tracker
from orchestrator.spec import load_sweep
from orchestrator.trainable import Progress

CELL = "|skip_connect~0|+|skip_connect~0|skip_connect~1|+|skip_connect~0|skip_connect~1|skip_connect~2|"


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> dict[tuple[str, ...], float]:
    """Values by metric and tags, as Ray's own objects are told them: those are real, up to where they leave Python."""
    values: dict[tuple[str, ...], float] = {}

    def key(metric: object, tags: dict[str, str] | None) -> tuple[str, ...]:
        full = {**metric._default_tags, **(tags or {})}  # type: ignore[attr-defined]
        assert set(full) == set(metric._tag_keys), "every tag has a value"  # type: ignore[attr-defined]
        return (metric._name, *(full[name] for name in metric._tag_keys))  # type: ignore[attr-defined]

    def put(metric: object, value: float, tags: dict[str, str] | None = None) -> None:
        values[key(metric, tags)] = value

    def add(metric: object, value: float, tags: dict[str, str] | None = None) -> None:
        assert value > 0
        values[key(metric, tags)] = values.get(key(metric, tags), 0.0) + value

    monkeypatch.setattr(meters.Gauge, "set", put)
    monkeypatch.setattr(meters.Counter, "inc", add)
    return values


def test_states_and_held_seconds_follow_the_tracker(tmp_path: Path, told: dict[tuple[str, ...], float]) -> None:
    plan = make_plan(load_sweep(write_sweep(tmp_path / "s.yaml", search={"epochs": 4})))
    first, second = plan.searches
    clock = Clock()
    tracker = Tracker(plan.trials({}), plan.epochs, clock)
    metered = meters.Meters("tiny", tracker, lambda trial: (2.0, 0.25 if trial is first else 0.0), clock)

    def states() -> dict[str, float]:
        return {name[2]: value for name, value in told.items() if name[:2] == ("stcnas_trials", "tiny")}

    assert states() == {"finished": 0, "failed": 0, "running": 0, "waiting": 4}
    tracker.begin(first)
    tracker.begin(second)
    clock.now += 0.5
    metered.beat()
    assert states()["running"] == 0, "not looked at more often than once a second"
    clock.now += 9.5
    metered.beat()
    assert states() == {"finished": 0, "failed": 0, "running": 2, "waiting": 2}
    assert told["stcnas_held_seconds_total", "tiny", "search", "CPU"] == pytest.approx(40)
    assert told["stcnas_held_seconds_total", "tiny", "search", "GPU"] == pytest.approx(2.5)
    tracker.update(Progress(first.id, "finished", 4, 50.0, CELL))
    tracker.update(Progress(second.id, "failed", 1, error="nan", kind="diverged"))
    clock.now += 10
    metered.beat()
    assert states() == {"finished": 1, "failed": 1, "running": 0, "waiting": 2}
    assert told["stcnas_held_seconds_total", "tiny", "search", "CPU"] == pytest.approx(40), "nothing runs"
