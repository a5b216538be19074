"""The page for Slurm, command by command, on a controller and two nodes; the job meets its time limit."""

import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from cluster_pages import command
from driver import Driver, wait_for
from faulty import check_unbroken
from hosts import Hosts
from running import hosts_at_work
from slurm import Slurm

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1800)]


ENDED = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL")


@pytest.fixture
def slurm(driver: Driver, hosts: Callable[..., Hosts], tmp_path: Path, sweep: Path) -> Slurm:
    """With the page's preparations done on the controller's host."""
    slurm = Slurm(tmp_path, hosts("control", "n1", "n2"), "n1", "n2")
    slurm.control.environment |= {"SWEEP": str(sweep), "STORAGE": str(driver.storage)}
    slurm.control.run(command("slurm", "templates"))
    return slurm


def submit(slurm: Slurm, minutes: int) -> tuple[str, Path]:
    """Number and log of a job that has a CPU on each node; the rest is the script's own."""
    said = slurm.control.run(command("slurm", "submit"), SIZE=f"--time={minutes} --cpus-per-task=1")
    job = said.split()[-1]
    return job, Path(slurm.control.environment["HOME"]) / f"stcnas-{job}.log"


def test_a_job_meets_its_time_limit_and_goes_on(
    slurm: Slurm, driver: Driver, sweep: Path, reference: pd.DataFrame
) -> None:
    assert "FAILED" not in slurm.control.run(command("slurm", "doctor"))
    job, log = submit(slurm, minutes=50)
    for node in ("n1", "n2"):
        wait_for(lambda node=node: slurm.state(job) in ENDED or node in hosts_at_work(driver.storage), 300)
        assert slurm.state(job) == "RUNNING", log.read_text()
        slurm.hosts[node].freeze()
    kept = driver.records()
    # The limit comes now, in the middle and with workers that do not answer: of three minutes more, two are notice.
    slurm.control.run(f"scontrol update JobId={job} TimeLimit={slurm.minutes(job) + 3}")
    wait_for(lambda: slurm.restarts(job) or slurm.state(job) in ENDED, 240)
    slurm.control.run(f"scontrol update JobId={job} TimeLimit=50")
    wait_for(lambda: slurm.state(job) in ENDED, 900)
    text = log.read_text()
    assert slurm.state(job) == "COMPLETED", text
    assert slurm.restarts(job) == 1
    assert text.count("goes back into the queue") == 1
    check_unbroken(driver, sweep, reference, kept)
    assert "0 missing" in slurm.control.run(command("slurm", "watch"))
    slurm.control.run(command("slurm", "report"))


def test_a_job_that_is_cancelled_stays_so(slurm: Slurm, driver: Driver) -> None:
    job, log = submit(slurm, minutes=30)
    wait_for(lambda: slurm.state(job) in ENDED or hosts_at_work(driver.storage), 300)
    assert slurm.state(job) == "RUNNING", log.read_text()
    slurm.control.run(command("slurm", "cancel"))
    wait_for(lambda: slurm.state(job) == "CANCELLED" and not slurm.control.run("squeue --noheader"), 120)
    time.sleep(30)  # longer than a job that was put back waits
    assert slurm.state(job) == "CANCELLED"
    assert slurm.restarts(job) == 0
    assert "goes back into the queue" not in log.read_text()
