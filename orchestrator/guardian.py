"""Ends what a driver started when the driver is killed and can do nothing itself.

Ray's own processes follow their driver within seconds, but two of its agents wait for a minute on a server that died
with it. The guardian is a process of its own that knows the driver's descendants and ends those that outlive it.
"""

import contextlib
import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator

import psutil

GRACE = 2.0
"""Seconds that processes have to end by themselves after their driver."""

_OFTEN, _SELDOM = 0.5, 5.0
_DONE = b"done"


@contextlib.contextmanager
def guarded() -> Iterator[None]:
    """While the context lasts, processes that descend from this one do not outlive it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "orchestrator.guardian", str(os.getpid())],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        # Out of the reach of Ctrl-C, which is the driver's to handle.
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path) or os.curdir},
    )
    try:
        yield
    finally:
        with contextlib.suppress(subprocess.TimeoutExpired, BrokenPipeError):
            process.communicate(_DONE, timeout=10)


def watch(driver: int) -> None:
    """Learn the descendants of a process until standard input ends, and then end them, unless it said that all is done.

    They are told from other processes that get their numbers later.
    """
    known: dict[int, psutil.Process] = {}
    began = time.monotonic()
    while True:
        with contextlib.suppress(psutil.Error):
            known.update((child.pid, child) for child in psutil.Process(driver).children(recursive=True))
        known.pop(os.getpid(), None)
        pause = _OFTEN if time.monotonic() - began < 60 else _SELDOM
        ready, _, _ = select.select([0], [], [], pause)
        if ready:
            break
    if os.read(0, len(_DONE)) == _DONE:
        return
    _, alive = psutil.wait_procs(list(known.values()), timeout=GRACE)
    for process in alive:
        with contextlib.suppress(psutil.Error):
            process.kill()


if __name__ == "__main__":
    watch(int(sys.argv[1]))
