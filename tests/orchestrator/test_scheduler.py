"""What both backends share, and the inline one."""

import dataclasses
import io
import time
from pathlib import Path

import pytest
from driver import write_sweep

from orchestrator.checkpoints import Checkpoints
from orchestrator.failures import attempts
from orchestrator.frontier import Frontier
from orchestrator.interruption import Interrupted, Interruption
from orchestrator.ledger import Ledger
from orchestrator.plan import make_plan
from orchestrator.progress import Lines, Tracker
from orchestrator.scheduler import Run, run_inline
from orchestrator.spec import load_sweep
from orchestrator.storage import LocalStorage
from stcnas_core.search import Search


@pytest.fixture
def out() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def run(tmp_path: Path, out: io.StringIO) -> Run:
    plan = make_plan(load_sweep(write_sweep(tmp_path / "s.yaml", search={"epochs": 3})))
    ledger = Ledger(LocalStorage(tmp_path / "results"))
    tracker = Tracker(plan.trials({}), plan.epochs, time.monotonic)
    return Run(plan, ledger, Frontier(plan, {}, {}, ledger.has), Lines(tracker, out))


def test_runs_searches_and_then_their_retrainings(run: Run, out: io.StringIO) -> None:
    run_inline(run, Interruption())
    trials = run.plan.trials(run.ledger.genotypes(search.id for search in run.plan.searches))
    assert set(run.ledger.states(trial.id for trial in trials).values()) == {"done"}
    lines = out.getvalue().splitlines()
    assert len(lines) == len(trials)
    assert lines[0].startswith("[1/4] search default, seed 0: finished, 3 epochs, ")
    assert lines[-1].startswith(f"[{len(trials)}/{len(trials)}] ")


def test_an_interruption_keeps_finished_epochs(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Search.run_epoch

    def interrupted(self: Search) -> object:
        if self.epoch == 2:
            raise Interrupted
        return real(self)

    monkeypatch.setattr(Search, "run_epoch", interrupted)
    with pytest.raises(Interrupted):
        run_inline(run, Interruption())
    assert run.ledger.ids() == set()
    assert Checkpoints(run.ledger.storage).epochs() == {run.plan.searches[0].id: 2}


def test_a_trial_that_was_given_up_is_a_record_and_its_retrainings_do_not_wait(run: Run, out: io.StringIO) -> None:
    trial = run.frontier.take()
    assert trial is not None
    run.reporter.begin(trial)
    checkpoints = Checkpoints(run.ledger.storage)
    for start in range(4):
        if start:
            assert run.frontier.take() == trial
            run.reporter.begin(trial)
        checkpoints.start(trial.id, after=run.ledger.attempts_failed(trial.id))
        checkpoints.save(trial.id, 2, {})
        assert not run.ledger.ids()
        run.died(run.job(trial, 0, False), trial, "The actor died")
    row = run.ledger.trials().iloc[0]
    assert (row["trial_id"], row["state"], row["error_kind"]) == (trial.id, "failed", "lost")
    assert (row["attempt"], row["epochs_done"]) == (4, 2)
    assert checkpoints.epochs() == {trial.id: 2}
    assert run.frontier.take() == run.plan.searches[1]
    assert "search default, seed 0: failed: its process or node died 4 times without an epoch" in out.getvalue()
    assert run.frontier.take() is None


def test_a_trial_that_hangs_again_and_again_is_a_record_of_where(run: Run, out: io.StringIO) -> None:
    checkpoints, trial = Checkpoints(run.ledger.storage), run.plan.searches[0]
    job = run.job(trial, 0, False)
    for number in range(1, 5):
        assert run.frontier.take() == trial
        run.reporter.begin(trial)
        start = checkpoints.start(trial.id, after=run.ledger.attempts_failed(trial.id))
        checkpoints.note_hung(trial.id, start.attempt, f"in all_reduce, {number}")
        run.died(job, trial, "The actor died")
        found = attempts(run.ledger, [trial.id])[-1]
        assert (found["attempt"], found["error_kind"]) == (number, "hung")
        assert found["error"].startswith(f"in all_reduce, {number}")
    row = run.ledger.trials().iloc[0]
    assert (row["state"], row["error_kind"], row["attempt"]) == ("failed", "hung", 4)
    assert out.getvalue().count(": it hung, it starts again") == 3
    assert "search default, seed 0: failed: it hung 4 times without an epoch" in out.getvalue()


def test_a_death_after_a_hang_is_a_death(run: Run) -> None:
    """Before the next start has a mark of its own, such as on a node that is taken away meanwhile."""
    checkpoints, trial = Checkpoints(run.ledger.storage), run.plan.searches[0]
    job = run.job(trial, 0, False)
    checkpoints.note_hung(trial.id, checkpoints.start(trial.id).attempt, "in all_reduce")
    for said in ("The actor died", "The actor's node has been preempted"):
        run.died(job, trial, said)
    assert [row["error_kind"] for row in attempts(run.ledger, [trial.id])] == ["hung", "preempted"]


def test_in_this_process_nothing_is_ended_for_hanging(run: Run) -> None:
    resources = run.plan.sweep.resources
    patient = resources.search.model_copy(update={"hung_after_minutes": 1e-9})
    sweep = run.plan.sweep.model_copy(update={"resources": resources.model_copy(update={"search": patient})})
    run.plan = dataclasses.replace(run.plan, sweep=sweep)
    run_inline(run, Interruption())
    assert set(run.ledger.trials()["state"]) == {"finished"}


@pytest.mark.parametrize(
    ("wanted", "available", "given"), [("auto", 0, 0), ("auto", 8, 1), (0.25, 1, 0.25), (0.25, 0, 0.25), (0, 4, 0)]
)
def test_gpus(run: Run, tmp_path: Path, wanted: str | float, available: float, given: float) -> None:
    sweep = write_sweep(tmp_path / "g.yaml", resources={"search": {"gpus": wanted}})
    run.plan = make_plan(load_sweep(sweep))
    assert run.gpus("search", available) == given
