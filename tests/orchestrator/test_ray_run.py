"""Runs on a real Ray cluster of this machine: equal to inline, through worker deaths, failures and refusals."""

import os
import signal
from pathlib import Path

import pandas as pd
import pytest
from driver import Driver, wait_for, write_sweep
from faulty import begun, trials

pytestmark = [pytest.mark.slow, pytest.mark.alone]

LONG = {"epochs": 30}
"""Epochs enough for a search to be caught in the middle."""

SAME = ["trial_id", "state", "genotype", "valid_accuracy", "test_accuracy", "params", "macs", "epochs_done", "config"]


def test_a_killed_worker_and_a_diverging_trial(driver: Driver, tmp_path: Path) -> None:
    sweep = write_sweep(tmp_path / "s.yaml", search=LONG, seeds=[0], grid={"lr": [0.025, 1e30]})
    process = driver.start("run", sweep)
    killed = wait_for(lambda: begun(driver.storage, 3) or process.poll())
    assert isinstance(killed, dict), process.communicate()
    of_trial, of_driver = (os.getpriority(os.PRIO_PROCESS, pid) for pid in (killed["pid"], process.pid))
    assert of_trial == of_driver  # else whatever else computes on the machine starves it
    os.kill(killed["pid"], signal.SIGKILL)
    out, err = process.communicate(timeout=240)
    assert process.returncode == 3, err
    assert "DivergedError" in out
    assert err == ""
    assert "its process or node died, it starts again" in out
    assert "raylet" not in out

    found = trials(driver.storage)
    assert found["trial_id"].is_unique
    assert found.set_index("trial_id")["attempt"][killed["id"]] == 2
    failed = found[found["state"] == "failed"]
    assert set(failed["error_kind"]) == {"diverged"}
    assert set(failed["search_lr"]) == {1e30}
    assert failed["error"].str.contains("Traceback").all()
    assert set(found[found["state"] == "finished"]["stage"]) == {"search", "retrain"}
    assert not list((driver.storage / "checkpoints").glob("*"))
    wait_for(lambda: not driver.processes())

    inline = Driver(tmp_path / "inline")
    assert inline.run("run", sweep, "--backend", "inline").returncode == 3
    pd.testing.assert_frame_equal(found[SAME], trials(inline.storage)[SAME])

    # The same again starts nothing; more seeds start the new ones alone.
    before = driver.records()
    assert driver.run("run", sweep).returncode == 3
    assert driver.records() == before
    assert driver.run("run", sweep, "--backend", "inline", "--set", "seeds=[0, 1]").returncode == 3
    after = driver.records()
    assert {name: after[name] for name in before} == before
    new = trials(driver.storage).query("trial_id not in @before")
    assert set(new["seed"]) == {1}


def test_what_no_node_has_is_refused_before_anything_runs(driver: Driver, tmp_path: Path) -> None:
    sweep = write_sweep(tmp_path / "s.yaml", resources={"search": {"cpus": 4096}})
    done = driver.run("run", sweep)
    assert done.returncode == 2
    assert done.stderr.startswith("error: resources.search: a trial asks for 4096 CPUs")
    assert not [path for path in driver.storage.glob("*/*") if path.parent.name != "leases"]


def test_a_cluster_that_is_not_there_is_refused(driver: Driver, sweep: Path) -> None:
    for address in ("127.0.0.1:1", "ray://127.0.0.1:1"):
        done = driver.run("run", sweep, "--address", address)
        assert done.returncode == 2, done.stderr
        assert done.stderr.startswith("error: ")
        assert address in done.stderr
        assert "Traceback" not in done.stderr
