"""Drivers and workers are killed with -9 at random instants, again and again, by `make faults` alone."""

import contextlib
import json
import os
import random
import re
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

import pandas as pd
import psutil
import pytest
from driver import Driver
from faulty import KILLS, check_unbroken, no_process_is_left

pytestmark = [pytest.mark.slow, pytest.mark.alone, pytest.mark.long, pytest.mark.timeout(0)]

LONGEST = 12.0
"""Seconds after its start at which a driver is killed at the latest: about as long as the sweep takes with Ray."""


def test_random_kills(sweep: Path, tmp_path: Path, reference: pd.DataFrame) -> None:
    dice, done = random.Random(os.environ.get("STCNAS_SEED", "2022")), Counter[str]()
    while sum(done[name] for name in ("driver", "inline driver", "worker")) < KILLS:
        done["sweeps"] += 1
        driver = Driver(tmp_path / f"results-{done['sweeps']}")
        kept: dict[str, tuple[int, bytes]] = {}
        try:
            while not _run_until_killed(driver, sweep, dice, done, kept):
                done["starts"] += 1
            check_unbroken(driver, sweep, reference, kept)
            assert not list((driver.storage / "checkpoints").glob("*"))
            no_process_is_left(driver)
        finally:
            driver.clean()
    if report := os.environ.get("STCNAS_FAULTS_REPORT"):
        Path(report).write_text(json.dumps(done))
    print(dict(done))


def _run_until_killed(
    driver: Driver, sweep: Path, dice: random.Random, done: Counter[str], kept: dict[str, tuple[int, bytes]]
) -> bool:
    """Start the sweep, or go on with it, and kill something; True where it completed all the same."""
    target = dice.choice(["driver", "driver", "inline driver", "worker"])
    process = driver.start("run", sweep, *(["--backend", "inline"] if target == "inline driver" else []))
    end = time.monotonic() + dice.uniform(0.2, LONGEST)
    while process.poll() is None and time.monotonic() < end:
        time.sleep(0.01)
    before = driver.records()
    if process.poll() is None:
        done[target] += _kill_worker(process, dice) if target == "worker" else _kill(process.pid)
    if target != "worker" and process.returncode is None and process.wait(60) == -signal.SIGKILL:
        _check_none_starts_again(process.communicate()[0], kept)
        kept |= before
        no_process_is_left(driver)
        started = {folder.name for folder in (driver.storage / "checkpoints").glob("*")}
        done["resumed trials"] += len(started - kept.keys())
        return False
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    _check_none_starts_again(out, kept)
    return True


def _check_none_starts_again(out: str, kept: dict[str, tuple[int, bytes]]) -> None:
    """What an earlier driver recorded counts as done before anything starts; a driver killed early has said nothing."""
    said = re.search(r"(\d+) trials planned, (\d+) done, (\d+) missing", out)
    if said is not None:
        planned, completed, missing = map(int, said.groups())
        assert planned == completed + missing
        assert completed >= len(kept)


def _kill(pid: int) -> bool:
    os.kill(pid, signal.SIGKILL)
    return True


def _kill_worker(driver: subprocess.Popen[str], dice: random.Random) -> bool:
    """One of Ray's workers below a driver, idle, starting or computing, as soon as there is one."""
    while driver.poll() is None:
        with contextlib.suppress(psutil.NoSuchProcess):
            workers = [
                child for child in psutil.Process(driver.pid).children(recursive=True) if "ray::" in child.name()
            ]
            workers = [worker for worker in workers if "Agent" not in worker.name()]
            if workers:
                dice.choice(workers).kill()
                return True
        time.sleep(0.05)
    return False
