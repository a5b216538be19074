"""Processes that stand still in the middle of an epoch are ended, and their trials go on from the last epoch."""

import os
import signal
from pathlib import Path

import pandas as pd
import psutil
import pytest
from driver import Driver, write_sweep
from faulty import check_unbroken, done, no_process_is_left, photographs, trials, until_begun

pytestmark = [pytest.mark.slow, pytest.mark.alone]

HANGS = '''
"""Every Python process that sees this file: the first search that comes to its fifth epoch waits for ever."""
import pathlib, sys, threading, time

def patch():
    while not hasattr(module := sys.modules.get("stcnas_core.search"), "Search"):
        time.sleep(0.005)
    run_epoch = module.Search.run_epoch

    def may_hang(self):
        try:
            if self.epoch == 4:
                pathlib.Path({mark!r}).touch(exist_ok=False)
                threading.Event().wait()
        except FileExistsError:
            pass
        return run_epoch(self)

    module.Search.run_epoch = may_hang

threading.Thread(target=patch, daemon=True).start()
'''


def test_a_search_that_hangs_is_ended_and_goes_on(driver: Driver, reference: pd.DataFrame, tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(HANGS.format(mark=str(tmp_path / "hung")))
    resources = {"search": {"cpus": 1, "gpus": 0, "hung_after_minutes": 0.4}}
    sweep = write_sweep(tmp_path / "s.yaml", search={"epochs": 12}, seeds=[0, 1, 2], resources=resources)
    driver.environment["PYTHONPATH"] = str(tmp_path / "site")
    ran = driver.run("run", sweep)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.count(": it hung, it starts again") == 1
    check_unbroken(driver, sweep, reference, {})
    (kind,) = driver.json("status", sweep)["failure_kinds"]
    assert (kind["kind"], kind["attempts"]) == ("hung", 1)
    assert kind["last_error"] == "No epoch for 0.4 minutes: its process was ended"
    failure = pd.read_parquet(driver.storage / kind["record"]).iloc[0]
    assert failure["epochs_done"] == 4
    assert "in may_hang" in failure["error"]
    again = trials(driver.storage).set_index("trial_id").loc[failure["trial_id"]]
    assert (again["state"], again["attempt"]) == ("finished", 2)
    no_process_is_left(driver)


@pytest.mark.long
def test_one_process_of_a_retraining_on_two_devices_hangs(driver: Driver, tmp_path: Path) -> None:
    sweep = photographs(tmp_path, 2)
    process = driver.start("run", sweep, "--set", "resources.retrain.hung_after_minutes=0.4")
    first = until_begun(driver, process)
    (other,) = (one for one in driver.processes() if one.name().startswith("ray::_Member") and one.pid != first["pid"])
    os.kill(other.pid, signal.SIGSTOP)
    out, err = process.communicate(timeout=240)
    assert (process.returncode, err) == (0, "")
    assert ": it hung, it starts again" in out
    assert not psutil.pid_exists(other.pid)
    record, _ = done(driver)
    assert record["attempt"] == 2
    (kind,) = driver.json("status", sweep)["failure_kinds"]
    assert kind["kind"] == "hung"
    no_process_is_left(driver)
