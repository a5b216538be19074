"""What a driver started does not outlive it, whatever happened in its last half second."""

import subprocess
import sys
from typing import IO

import psutil
import pytest
from driver import ROOT, wait_for

STARTER = """
import subprocess, sys, time
time.sleep(float(sys.argv[1]))
print(subprocess.Popen(["sleep", "600"]).pid, flush=True)
time.sleep(600)
"""

DRIVER = """
import subprocess, sys, time
from orchestrator.cluster.guardian import guarded
starter, before, delay, after = sys.argv[1:]
with guarded():
    time.sleep(float(before))
    print(subprocess.Popen([sys.executable, "-c", starter, delay]).pid, flush=True)
    time.sleep(float(after))
"""


def _started(before: float, delay: float, after: float) -> tuple[subprocess.Popen[str], IO[str]]:
    """A driver that starts a process after `before` seconds, which starts another after `delay`."""
    command = [sys.executable, "-c", DRIVER, STARTER, *map(str, (before, delay, after))]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, process.stdout


@pytest.mark.parametrize(("before", "delay"), [(0.0, 0.0), (0.0, 1.0), (1.5, 0.0)])
def test_a_killed_driver_leaves_nothing(before: float, delay: float) -> None:
    process, out = _started(before, delay, 600)
    with out:
        started = [int(out.readline())]
        process.kill()
        process.wait()
        # To its end: until nobody has it open any more. The second is not there if the first was ended before.
        started += map(int, out.read().split())
    wait_for(lambda: not any(map(_lives, started)), seconds=30)


def test_a_driver_that_ends_leaves_its_processes_alone() -> None:
    process, out = _started(0.0, 0.0, 0.0)
    with out:
        started = [int(out.readline()), int(out.readline())]
    assert process.wait(30) == 0
    try:
        assert all(map(_lives, started))
    finally:
        for pid in started:
            psutil.Process(pid).kill()


def _lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
