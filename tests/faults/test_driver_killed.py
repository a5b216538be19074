"""The driver is killed or told to stop in the middle; the same command goes on, and nothing runs twice."""

import json
import os
import re
import signal
import subprocess
from pathlib import Path

import pandas as pd
import pytest
from driver import Driver, wait_for
from faulty import check_unbroken, trials

pytestmark = [pytest.mark.slow, pytest.mark.alone]


def records_of(driver: Driver, process: subprocess.Popen[str], least: int) -> dict[str, tuple[int, bytes]]:
    """The records as soon as there are so many, which must be before the run ends."""
    wait_for(lambda: len(driver.records()) >= least or process.poll() is not None)
    assert process.poll() is None, process.communicate()
    return driver.records()


def started_once(driver: Driver, kept: dict[str, tuple[int, bytes]]) -> None:
    """Of what was finished before, nothing was begun again."""
    assert (trials(driver.storage).set_index("trial_id").loc[list(kept), "attempt"] == 1).all()


def test_killed_driver_loses_and_repeats_nothing(driver: Driver, sweep: Path, reference: pd.DataFrame) -> None:
    process = driver.start("run", sweep)
    kept = records_of(driver, process, least=2)
    process.kill()
    process.communicate()
    kept |= driver.records()

    # At once, while workers of the killed driver may still be at their trials.
    again = driver.run("run", sweep)
    assert again.returncode == 0, again.stderr
    found = re.search(r"(\d+) done", again.stdout)
    assert found is not None
    assert int(found[1]) >= len(kept)
    wait_for(lambda: not driver.processes(), seconds=30)
    check_unbroken(driver, sweep, reference, kept)
    started_once(driver, kept)

    before = driver.records()
    third = driver.run("run", sweep)
    assert third.returncode == 0
    assert "all" in third.stdout.splitlines()[1]
    assert driver.records() == before


@pytest.mark.parametrize(
    ("backend", "number"),
    [pytest.param("ray", signal.SIGINT, marks=pytest.mark.long), ("ray", signal.SIGTERM), ("inline", signal.SIGINT)],
)
def test_told_to_stop_it_stops_cleanly(
    driver: Driver, sweep: Path, reference: pd.DataFrame, backend: str, number: signal.Signals
) -> None:
    process = driver.start("run", sweep, "--backend", backend)
    kept = records_of(driver, process, least=1)
    # As a terminal does, to all of its foreground processes; a batch system tells the driver alone.
    (os.killpg if number == signal.SIGINT else os.kill)(process.pid, number)
    out, err = process.communicate(timeout=240)
    assert process.returncode == 4, err
    assert "Traceback" not in err
    assert "go on with: stcnas run" in out.splitlines()[-1]
    assert ("--backend inline" in out.splitlines()[-1]) == (backend == "inline")
    wait_for(lambda: not driver.processes(), seconds=20)
    kept |= driver.records()
    again = driver.run("run", sweep, "--backend", "inline", "--json")
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["missing"] == 0
    check_unbroken(driver, sweep, reference, kept)
    started_once(driver, kept)
