"""How many trials Ray Tune is given at a time: none that would take the place of a worker that is being started."""

import io
import time
from pathlib import Path

from driver import write_sweep
from ray.tune.search import Searcher

from orchestrator.cluster.demands import Demands
from orchestrator.cluster.door import SPARE, Door
from orchestrator.commands.overhead import _plan
from orchestrator.frontier import Frontier
from orchestrator.ledger import Ledger
from orchestrator.plan import make_plan
from orchestrator.progress import Lines, Tracker
from orchestrator.scheduler import Run
from orchestrator.spec import load_sweep
from orchestrator.storage import LocalStorage


def door(tmp_path: Path, trials: int, cpus: list[float]) -> Door:
    plan = _plan(trials, tmp_path)
    ledger = Ledger(LocalStorage(tmp_path / "results"))
    tracker = Tracker(list(plan.searches), plan.epochs, time.monotonic)
    run = Run(plan, ledger, Frontier(plan, {}, {}, ledger.has), Lines(tracker, io.StringIO()))
    return Door(run, Demands(run, [{"CPU": count} for count in cpus]), None)


def fill(door: Door, names: str) -> list[str]:
    """Tune's names of the trials that it gets when it asks under each of these."""
    return [name for name in names if isinstance(door.suggest(name), dict)]


def test_no_more_trials_than_places_until_all_workers_are_there_and_a_few_more_then(tmp_path: Path) -> None:
    small = door(tmp_path, 20, [2, 1])
    assert fill(small, "abcde") == ["a", "b", "c"]
    small.begun("a", "")
    small.begun("b", "")
    small.on_trial_complete("a")
    assert fill(small, "de") == ["d"]  # for the worker that a has left; c's is still being started
    small.begun("d", "")
    assert fill(small, "e") == []
    small.begun("c", "")
    assert len(fill(small, "efghijkl")) == SPARE
    # A place that was found for one of them is one that there is.
    small.begun("e", "")
    assert fill(small, "mn") == ["m"]


def test_what_is_left_ends_with_the_last_trial(tmp_path: Path) -> None:
    small = door(tmp_path, 2, [4])
    assert fill(small, "abc") == ["a", "b"]
    assert small.suggest("c") is None  # something may follow from those that run
    for trial, _ in list(small.given.values()):
        small.run.frontier.ended(trial.id, None)
    assert small.suggest("d") == Searcher.FINISHED


def test_places_are_those_of_the_smallest_trials_that_are_left(tmp_path: Path) -> None:
    sweep = write_sweep(tmp_path / "two.yaml", resources={"search": {"cpus": 2, "gpus": 0}, "retrain": {"cpus": 1}})
    plan = make_plan(load_sweep(sweep))
    ledger = Ledger(LocalStorage(tmp_path / "results"))
    trials = plan.trials({})
    assert {trial.stage for trial in trials} == {"search", "retrain"}
    tracker = Tracker(list(trials), plan.epochs, time.monotonic)
    run = Run(plan, ledger, Frontier(plan, {}, {}, ledger.has), Lines(tracker, io.StringIO()))
    assert Demands(run, [{"CPU": 5.0}, {"CPU": 3.0}]).slots() == 8


def retrainings(tmp_path: Path, devices: int | list[int], nodes: list[dict[str, float]]) -> Door:
    """Of two cells, on nodes that the test may take away."""
    cell = "|none~0|+|none~0|none~1|+|none~0|none~1|{}~2|"
    given = {name: cell.format(name) for name in ("none", "nor_conv_1x1")}
    asked = {"retrain": {"cpus": 1, "gpus": 0, "devices": devices}}
    sweep = write_sweep(tmp_path / "s.yaml", search=None, seeds=None, genotypes=given, resources=asked)
    plan = make_plan(load_sweep(sweep))
    ledger = Ledger(LocalStorage(tmp_path / "results"))
    trials = plan.trials({})
    tracker = Tracker(list(trials), plan.epochs, time.monotonic)
    run = Run(plan, ledger, Frontier(plan, {}, {}, ledger.has), Lines(tracker, io.StringIO()))
    return Door(run, Demands(run, nodes, lambda: nodes), None)


def test_who_waits_for_several_devices_has_them_before_others_take_any(tmp_path: Path) -> None:
    nodes: list[dict[str, float]] = [{"CPU": 2.0}, {"CPU": 3.0}]
    small = retrainings(tmp_path, [1, 4], nodes)
    small.places = 2
    given = small.suggest("a")
    assert (given["devices"], given["resources"]) == (4, {"CPU": 1.0})
    assert small.suggest("b") is None
    small.begun("a", given["id"])
    trial, job = small.given[given["id"]]
    assert (job.devices, small.asked(trial)) == (4, (4.0, 0.0))
    # A node is gone while the next one waits: it starts with what is left.
    given = small.suggest("b")
    assert (given["devices"], small.outgrown()) == (4, [])
    nodes.pop()
    assert small.outgrown() == ["b"]
    small.on_trial_complete("b")
    small.withdraw(given["id"])
    assert small.suggest("b")["devices"] == 2
    assert small.outgrown() == []


def test_devices_that_are_gone_are_not_waited_for(tmp_path: Path) -> None:
    nodes: list[dict[str, float]] = [{"CPU": 2.0}, {"CPU": 2.0}]
    small = retrainings(tmp_path, 3, nodes)
    small.places = 2
    assert small.suggest("a")["devices"] == 3
    assert small.suggest("b") is None
    nodes.pop()
    assert small.outgrown() == []
    assert small.suggest("b")["devices"] == 3
