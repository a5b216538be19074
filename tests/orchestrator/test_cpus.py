"""How many CPUs a run may use: affinity, control groups of both versions, Slurm."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.cpus import usable_cpus


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine of 64 CPUs without Slurm."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(64)), raising=False)
    monkeypatch.delenv("SLURM_CPUS_PER_TASK", raising=False)


def _groups(folder: Path, membership: str, files: dict[str, str]) -> tuple[Path, Path]:
    """The control groups `files` below a root, and a process that is in those of `membership`."""
    root, own = folder / "cgroup", folder / "self"
    root.mkdir()
    own.write_text(membership)
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root, own


def _version1(folder: str, quota: str) -> dict[str, str]:
    return {f"{folder}/cpu.cfs_quota_us": f"{quota}\n", f"{folder}/cpu.cfs_period_us": "100000\n"}


def test_no_limit_is_the_machine(tmp_path: Path) -> None:
    assert usable_cpus(*_groups(tmp_path, "0::/\n", {"cpu.max": "max 100000\n"})) == 64


@pytest.mark.parametrize(
    ("membership", "files", "cpus"),
    [
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 1),
        ("0::/\n", {"cpu.max": "50000 100000\n"}, 1),
        ("0::/job/step\n", {"job/cpu.max": "400000 100000\n", "job/step/cpu.max": "max 100000\n"}, 4),
        ("0::/of/the/host\n", {"cpu.max": "200000 100000\n"}, 2),
        ("4:cpu,cpuacct:/d\n0::/\n", _version1("cpu,cpuacct/d", "300000"), 3),
        ("4:cpu:/d\n", _version1("cpu/d", "-1"), 64),
        ("4:cpuset:/d\n", _version1("cpu/d", "100000"), 64),
        ("nonsense\n", {"cpu.max": "nonsense\n"}, 64),
        ("0::/\n", {"cpu.max": "100000 0\n"}, 64),
    ],
)
def test_quotas(tmp_path: Path, membership: str, files: dict[str, str], cpus: int) -> None:
    assert usable_cpus(*_groups(tmp_path, membership, files)) == cpus


def test_without_control_groups(tmp_path: Path) -> None:
    assert usable_cpus(tmp_path / "none", tmp_path / "none") == 64


@pytest.mark.parametrize(("value", "cpus"), [("4", 4), ("100", 64), ("0", 1), ("", 64), ("many", 64)])
def test_slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str, cpus: int) -> None:
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", value)
    assert usable_cpus(tmp_path / "none", tmp_path / "none") == cpus


def test_affinity_of_a_real_process() -> None:
    """A process that is bound to one CPU counts one."""
    program = (
        "import os\n"
        "os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
        "from orchestrator.cpus import usable_cpus\n"
        "print(usable_cpus())\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "1"
