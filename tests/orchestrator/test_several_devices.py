"""Retrainings on two processes, for real: after searches on one each, to their records, and to their failures."""

from pathlib import Path

import pandas as pd
import pytest
from driver import Driver, write_sweep
from faulty import trials

from orchestrator.checkpoints import Checkpoints
from orchestrator.job import Job
from orchestrator.ledger import Ledger
from orchestrator.plan import make_plan
from orchestrator.spec import load_sweep
from orchestrator.storage import LocalStorage
from orchestrator.trainable import Failure, record_failure, run_trial
from stcnas_core.errors import DivergedError

TWO = "resources.retrain.devices=2"


@pytest.mark.slow
@pytest.mark.alone
def test_searches_on_one_device_and_retrainings_on_two(driver: Driver, tmp_path: Path) -> None:
    sweep = write_sweep(tmp_path / "s.yaml", seeds=[0])
    refused = driver.run("run", sweep, "--backend", "inline", "--set", TWO)
    assert refused.returncode == 2
    assert (
        "asks for 2 devices, and --backend inline runs on one; add --set resources.retrain.devices=1" in refused.stderr
    )
    assert not driver.storage.exists()

    done = driver.run("run", sweep, "--set", TWO)
    assert (done.returncode, done.stderr) == (0, "")
    found = trials(driver.storage).set_index("stage")
    assert set(found["state"]) == {"finished"}
    assert found.loc["search", "devices"] == 1
    assert found.loc["retrain", "devices"] == 2
    epochs = pd.read_parquet(driver.storage / "epochs").set_index("stage")
    assert set(epochs.loc["retrain", "devices"]) == {2}

    diverging = driver.run("run", sweep, "--set", TWO, "--set", "retrain.lr=1.0e+30")
    assert (diverging.returncode, diverging.stderr) == (3, "")
    failed = trials(driver.storage).query("state == 'failed'")
    assert set(failed["error_kind"]) == {"diverged"}
    assert failed["error"].str.contains("Traceback").all()
    assert set(failed["stage"]) == {"retrain"}

    # As many as there are is one, inline.
    several = driver.run(
        "run", sweep, "--backend", "inline", "--set", "resources.retrain.devices=[1, 2]", "--set", "retrain.epochs=1"
    )
    assert several.returncode == 0, several.stderr
    assert trials(driver.storage).query("stage == 'retrain' and retrain_epochs == 1")["devices"].tolist() == [1]


@pytest.fixture
def job(tmp_path: Path) -> Job:
    """A retraining of 4 epochs that is meant to run on two devices, of which a first start has done two on one."""
    cell = {"only": "|none~0|+|none~0|none~1|+|none~0|none~1|nor_conv_1x1~2|"}
    file = write_sweep(tmp_path / "s.yaml", search=None, seeds=None, genotypes=cell, retrain={"epochs": 4})
    plan = make_plan(load_sweep(file))
    (trial,) = plan.trials({})
    job = Job.of(plan, trial, str(tmp_path / "results"), 0.0, shared=False, devices=2)
    running = run_trial(job)
    next(running)
    next(running)
    running.close()
    return job


def test_what_failed_on_any_device_is_recorded_with_the_epochs_before_it(job: Job) -> None:
    ledger = Ledger(LocalStorage(Path(job.storage)))
    memory = Failure.of(RuntimeError("CUDA out of memory. Tried to allocate"), "cpu", group=True)
    crowded = record_failure(job, memory)
    assert (crowded.state, crowded.epochs) == ("crowded", 2)
    assert not ledger.has(job.id)
    assert Checkpoints(ledger.storage).epochs() == {job.id: 2}
    diverged = record_failure(job, Failure.of(DivergedError("loss nan"), "cpu", group=True))
    assert (diverged.state, diverged.kind, diverged.epochs) == ("failed", "diverged", 2)
    (row,) = ledger.rows([job.id], ["state", "error", "epochs_done", "attempt", "devices", "device"])
    assert row["error"].strip() == "stcnas_core.errors.DivergedError: loss nan"
    assert (row["epochs_done"], row["attempt"], row["devices"], row["device"]) == (2, 1, 2, "cpu")


def test_a_connection_that_breaks_is_the_loss_of_another_process() -> None:
    broken = RuntimeError("[/pytorch/third_party/gloo/gloo/transport/tcp/pair.cc:538] Connection closed by peer")
    assert Failure.of(broken, "cpu", group=True).kind == "lost"
    assert Failure.of(broken, "cpu").kind == "bug"
    assert Failure.of(ValueError("gloo"), "cpu", group=True).kind == "bug"
