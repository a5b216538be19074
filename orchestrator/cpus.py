"""How many CPUs this process may use, which on a shared machine are fewer than the machine has."""

import math
import os
from pathlib import Path

_CGROUPS, _MEMBERSHIP = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


def usable_cpus(cgroups: Path = _CGROUPS, membership: Path = _MEMBERSHIP) -> int:
    """Return the number of CPUs that this process may use, at least 1.

    It is the least of what the CPU affinity, the quotas of the control groups (a container's `--cpus`) and Slurm's
    `SLURM_CPUS_PER_TASK` allow. A quota of 1.5 CPUs counts as 1, one below a CPU as 1.
    """
    limits = [float(_affinity())]
    limits.extend(_quotas(cgroups, membership))
    allocated = os.environ.get("SLURM_CPUS_PER_TASK", "")
    if allocated.isdecimal():
        limits.append(float(allocated))
    return max(1, math.floor(min(limits)))


def _affinity() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except (AttributeError, OSError):  # only Linux has it
        return os.cpu_count() or 1


def _quotas(cgroups: Path, membership: Path) -> list[float]:
    """CPUs that the quota of each control group of this process allows, its parents' included."""
    found: list[float | None] = []
    for line in _read(membership).splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0" and not controllers:  # version 2
            found.extend(_unified(folder) for folder in _upwards(cgroups, path))
        elif "cpu" in controllers.split(","):
            # The hierarchy is named after its controllers, with a link for each where it has several.
            root = cgroups / controllers if (cgroups / controllers).is_dir() else cgroups / "cpu"
            found.extend(_divided(folder) for folder in _upwards(root, path))
    return [quota for quota in found if quota is not None]


def _upwards(root: Path, path: str) -> list[Path]:
    """A control group's folder and those of its parents up to the root.

    In a container the path may be the host's, which is not there; the container's own group is then the root.
    """
    parts = [part for part in path.split("/") if part not in ("", "..")]
    return [root.joinpath(*parts[:length]) for length in range(len(parts), -1, -1)]


def _unified(folder: Path) -> float | None:
    """The quota of version 2, as in "150000 100000" microseconds; None for "max" and where there is none."""
    quota, _, period = _read(folder / "cpu.max").strip().partition(" ")
    return _ratio(quota, period)


def _divided(folder: Path) -> float | None:
    """The quota of version 1; it is -1 where there is none."""
    return _ratio(_read(folder / "cpu.cfs_quota_us").strip(), _read(folder / "cpu.cfs_period_us").strip())


def _ratio(quota: str, period: str) -> float | None:
    return int(quota) / int(period) if quota.isdecimal() and period.isdecimal() and int(period) > 0 else None


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except OSError:
        return ""
