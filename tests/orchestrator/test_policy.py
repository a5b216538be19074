"""Which failures are healed by another start, how often, and when a setting is given up."""

import io
import json
import time
from pathlib import Path

import pytest
from driver import Driver, write_sweep

from orchestrator.checkpoints import Checkpoints
from orchestrator.failures import attempts, by_kind
from orchestrator.frontier import Frontier
from orchestrator.interruption import Interruption
from orchestrator.ledger import Ledger
from orchestrator.overview import examine
from orchestrator.plan import make_plan
from orchestrator.policy import GIVE_UP, RULES, Outcomes, Restarts
from orchestrator.preflight import Demand
from orchestrator.progress import Lines, Tracker
from orchestrator.scheduler import Run, run_inline
from orchestrator.spec import load_sweep
from orchestrator.storage import LocalStorage
from stcnas_core.search import Search


def make_run(tmp_path: Path, out: io.StringIO, **changes: object) -> Run:
    plan = make_plan(load_sweep(write_sweep(tmp_path / "s.yaml", **changes)))
    ledger = Ledger(LocalStorage(tmp_path / "results"))
    tracker = Tracker(plan.trials({}), plan.epochs, time.monotonic)
    return Run(plan, ledger, Frontier(plan, {}, {}, ledger.has), Lines(tracker, out))


def test_only_what_another_start_can_heal_gets_one() -> None:
    assert {kind: rule.restarts for kind, rule in RULES.items()} == {
        "out_of_memory": 1,
        "lost": 3,
        "hung": 3,
        "preempted": None,
        "diverged": 0,
        "bug": 0,
        "not_found": 0,
        "over_limit": 0,
    }


def test_a_restart_is_spent_unless_an_epoch_was_done_in_between() -> None:
    restarts = Restarts()
    assert [restarts.allows("a", "lost", 0) for _ in range(4)] == [True, True, True, False]
    assert [restarts.allows("b", "lost", epochs) for epochs in (0, 0, 0, 1, 1, 1, 1)] == [True] * 6 + [False]
    assert restarts.allows("c", "lost", 0)
    assert all(restarts.allows("d", "preempted", 0) for _ in range(50))
    assert not restarts.allows("e", "bug", 0)
    assert not restarts.allows("e", "diverged", 0)


def test_a_setting_is_hopeless_after_failures_of_its_own_and_no_success() -> None:
    outcomes = Outcomes()
    for kind in ("lost", "lost", "lost", "bug", "diverged"):
        outcomes.note("a", "search", kind)
        assert not outcomes.hopeless("a", "search")
    outcomes.note("a", "search", "out_of_memory")
    assert outcomes.hopeless("a", "search")
    assert not outcomes.hopeless("a", "retrain")
    assert not outcomes.hopeless("b", "search")
    outcomes.note("a", "search", None)
    assert not outcomes.hopeless("a", "search")


def test_alone_is_a_whole_gpu_or_all_cpus_of_a_node() -> None:
    nodes = [{"CPU": 8.0, "GPU": 2.0}, {"CPU": 16.0}]
    assert Demand(1, 0.25).alone(nodes) == Demand(1, 1)
    assert Demand(1, 2).alone(nodes) == Demand(1, 2)
    assert Demand(2, 0).alone(nodes) == Demand(16, 0)


def test_out_of_memory_is_tried_once_more_alone_and_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = io.StringIO()
    run = make_run(tmp_path, out, seeds=[0, 1], retrain=None, search={"epochs": 3})
    real, failed = Search.run_epoch, {0: 0, 1: 0}

    def short_of_memory(self: Search) -> object:
        # As CUDA says it: seed 0 heals when it is alone, seed 1 never does.
        seed = self.config.seed
        if self.epoch == 1 and (seed == 1 or not failed[seed]):
            failed[seed] += 1
            raise RuntimeError("CUDA out of memory. Tried to allocate 20.00 MiB.")
        return real(self)

    monkeypatch.setattr(Search, "run_epoch", short_of_memory)
    run_inline(run, Interruption())
    assert failed == {0: 1, 1: 2}
    trials = run.ledger.trials().set_index("seed")
    assert dict(trials["state"]) == {0: "finished", 1: "failed"}
    assert dict(trials["attempt"]) == {0: 2, 1: 2}
    assert trials["error_kind"][1] == "out_of_memory"
    assert out.getvalue().count("starts again, alone on its device") == 2
    assert len(run.ledger.epochs().query("trial_id == @trials.trial_id[0]")) == 3
    (kind,) = by_kind(attempts(run.ledger, run.ledger.ids()))
    assert (kind["kind"], kind["attempts"], kind["trials"]) == ("out_of_memory", 3, 2)
    assert kind["last_error"].startswith("RuntimeError: CUDA out of memory.")
    assert (tmp_path / "results" / kind["record"]).is_file()


def test_memory_that_ran_out_in_an_earlier_run_starts_alone(tmp_path: Path) -> None:
    from orchestrator.session import _crowded

    run = make_run(tmp_path, io.StringIO(), seeds=[0, 1], retrain=None)
    first, second = run.plan.searches
    for trial, kind in ((first, "out_of_memory"), (second, "lost")):
        row = {"trial_id": trial.id, "attempt": 1, "state": "failed", "error_kind": kind, "error": "E"}
        run.ledger.record_failure(row)
    assert _crowded(examine(run.plan, run.ledger)) == {first.id}


def test_a_death_after_the_record_is_no_failure(tmp_path: Path) -> None:
    out = io.StringIO()
    run = make_run(tmp_path, out, seeds=[0])
    trial = run.frontier.take()
    assert trial is not None
    run.reporter.begin(trial)
    row = {"state": "finished", "genotype": "|skip_connect~0|+|none~0|none~1|+|none~0|none~1|none~2|"}
    run.ledger.record({**run.job(trial, 0, False).row(1), **row})
    run.died(run.job(trial, 0, False), trial, "The actor died")
    assert not run.ledger.storage.keys("failures")
    assert run.frontier.take() == trial


def test_deaths_before_a_trial_could_mark_its_start_keep_their_own_records(tmp_path: Path) -> None:
    run = make_run(tmp_path, io.StringIO(), seeds=[0])
    trial = run.frontier.take()
    assert trial is not None
    job = run.job(trial, 0, False)
    run.died(job, trial, "The actor's node has been preempted")
    run.died(job, trial, "The actor died")
    assert [row["error_kind"] for row in attempts(run.ledger, [trial.id])] == ["preempted", "lost"]
    assert Checkpoints(run.ledger.storage).start(trial.id, run.ledger.attempts_failed(trial.id)).attempt == 3


def test_a_setting_of_which_everything_fails_is_stopped_and_named(driver: Driver, tmp_path: Path) -> None:
    changes = {"grid": {"lr": [0.025, 1e30]}, "seeds": list(range(GIVE_UP + 2)), "search": {"epochs": 1}}
    sweep = write_sweep(tmp_path / "s.yaml", **changes)
    done = driver.run("run", sweep, "--backend", "inline")
    assert done.returncode == 3, done.stderr
    assert "note: lr=1e+30: search given up, all that ended failed; the other 2 are not started" in done.stdout
    assert "stopped: lr=1e+30: every search that ended failed, the other 2 are not started" in done.stdout
    status = driver.json("status", sweep)
    assert status["given_up"] == [{"setting": "lr=1e+30", "stage": "search", "not_started": 2}]
    assert status["failed"] == GIVE_UP
    assert {row["setting"] for row in status["trials"] if row["state"] == "missing"} == {"lr=1e+30"}
    (kind,) = status["failure_kinds"]
    assert (kind["kind"], kind["attempts"], kind["trials"]) == ("diverged", GIVE_UP, GIVE_UP)

    before = driver.records()
    again = driver.run("run", sweep, "--backend", "inline")
    assert again.returncode == 3
    assert driver.records() == before
    shown = driver.run("status", sweep).stdout
    assert f"diverged: {GIVE_UP} failed attempts of {GIVE_UP} trials" in shown
    assert "stopped: lr=1e+30: every search that ended failed, 2 are not started" in shown
    # A larger plan in which the setting has other trials is judged by the same records.
    assert json.loads(driver.run("plan", sweep, "--json").stdout)["missing"] == status["missing"]
