"""What the Slurm script makes of the driver's exit code, with stand-ins for Slurm, Ray and the driver."""

import os
import signal
import subprocess
from pathlib import Path

import pytest
from cluster_pages import FOLDER
from driver import wait_for

STAND_INS = {
    "srun": "exec sleep 60",
    "python": "if [ $1 = - ]; then cat > /dev/null; else echo token; fi",
    "squeue": "echo $STATE",
    "scontrol": 'echo "$@" >> $TOLD',
    "stcnas": 'trap "exit 4" TERM; echo "$@" > $STARTED; if [ $CODE = term ]; then sleep 60 & wait; fi; exit $CODE',
}


@pytest.fixture
def job(tmp_path: Path) -> dict[str, str]:
    """The environment of a job of one node whose programs are stand-ins."""
    tools = tmp_path / "bin"
    tools.mkdir()
    for name, does in STAND_INS.items():
        (tools / name).write_text(f"#!/bin/bash\n{does}\n")
        (tools / name).chmod(0o755)
    slurm = {"SLURM_JOB_ID": "7", "SLURM_JOB_NUM_NODES": "1", "SLURMD_NODENAME": "n1", "HEAD": "10.77.0.1"}
    files = {"TOLD": str(tmp_path / "told"), "STARTED": str(tmp_path / "started")}
    return (
        {"PATH": f"{tools}:{os.environ['PATH']}", "SWEEP": "s.yaml", "STORAGE": "/s", "STATE": "RUNNING"}
        | slurm
        | files
    )


def run(job: dict[str, str]) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        ["bash", FOLDER / "slurm.sh"],
        env=job,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def end(process: "subprocess.Popen[str]") -> int:
    """Its exit code; what it left in the background ends too, as in a job."""
    code = process.wait(timeout=30)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    return code


@pytest.mark.parametrize(
    ("code", "state", "again"),
    [
        (0, "RUNNING", False),
        (3, "RUNNING", False),
        (2, "RUNNING", False),
        (4, "RUNNING", True),
        (4, "COMPLETING", False),
    ],
)
def test_a_job_goes_back_into_the_queue_after_4_alone(job: dict[str, str], code: int, state: str, again: bool) -> None:
    assert end(run({**job, "CODE": str(code), "STATE": state})) == code
    told = Path(job["TOLD"])
    assert (told.read_text() if told.exists() else "") == ("requeue 7\n" if again else "")
    assert Path(job["STARTED"]).read_text() == "run s.yaml --storage /s --address 10.77.0.1:20007\n"


def test_a_notice_reaches_the_driver(job: dict[str, str]) -> None:
    process = run({**job, "CODE": "term"})
    wait_for(Path(job["STARTED"]).exists)
    process.send_signal(signal.SIGTERM)
    assert end(process) == 4
    assert Path(job["TOLD"]).read_text() == "requeue 7\n"
