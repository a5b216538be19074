"""Whether a process of this machine still lives, told without clocks and without confusing it with a later one."""

import os
from functools import cache
from pathlib import Path


@cache
def machine() -> str | None:
    """Boot and process namespace of this process; None where the system does not say (only Linux does)."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"  # noqa: PTH115 (the link's target is no path)
    except OSError:
        return None


def started(pid: int) -> str | None:
    """When a living process began, in ticks since the boot; None where there is none, or a dead one not yet reaped."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # The second field is the program's name in parentheses, which may itself hold blanks and parentheses.
    fields = text.rpartition(")")[2].split()
    return None if fields[0] in ("Z", "X") else fields[19]


def process_lives(pid: int, start: str | None) -> bool:
    """Whether the process that had this number and began then is still there; only for processes of this machine."""
    return start is not None and started(pid) == start
