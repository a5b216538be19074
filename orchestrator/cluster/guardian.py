"""Ends what a driver started when the driver is killed and can do nothing itself.

Ray's own processes follow their driver within seconds, but two of its agents wait for a minute on a server that died
with it, and one that was just starting may not notice at all. The guardian is a process of its own that ends them: it
knows the driver's descendants from looking now and then, and the latest from the mark in their environment, which they
have from their first moment until they give themselves a title.
"""

import contextlib
import os
import secrets
import select
import subprocess
import sys
import time
from collections.abc import Iterator

import psutil

MARK = "STCNAS_DRIVER"
"""Environment variable of a driver's descendants, with a value of each driver's own."""

GRACE = 2.0
"""Seconds that processes have to end by themselves after their driver."""

PATIENCE = 10.0
"""Seconds for which processes may still start others after that."""

_OFTEN, _SELDOM = 0.5, 5.0
_DONE = b"done"


@contextlib.contextmanager
def guarded() -> Iterator[None]:
    """While the context lasts, processes that descend from this one do not outlive it."""
    os.environ[MARK] = f"{os.getpid()}-{secrets.token_hex(8)}"
    process = subprocess.Popen(
        [sys.executable, "-m", "orchestrator.cluster.guardian", str(os.getpid())],
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
        del os.environ[MARK]
        with contextlib.suppress(subprocess.TimeoutExpired, BrokenPipeError):
            process.communicate(_DONE, timeout=10)


def watch(driver: int, mark: str) -> None:
    """Learn the descendants of a process until standard input ends, and then end them, unless it said that all is done.

    They are told from other processes that get their numbers later.
    """
    known: set[psutil.Process] = set()
    began = time.monotonic()
    while True:
        with contextlib.suppress(psutil.Error):
            known.update(psutil.Process(driver).children(recursive=True))
        pause = _OFTEN if time.monotonic() - began < 60 else _SELDOM
        ready, _, _ = select.select([0], [], [], pause)
        if ready:
            break
    if os.read(0, len(_DONE)) == _DONE:
        return
    known |= _marked(mark)
    known.discard(psutil.Process())
    psutil.wait_procs(list(known), timeout=GRACE)
    end = time.monotonic() + PATIENCE
    while left := _descending(known | _marked(mark)):
        for process in left:
            with contextlib.suppress(psutil.Error):
                process.kill()
        _, known = map(set, psutil.wait_procs(list(left), timeout=1.0))
        if time.monotonic() > end:
            return


def _marked(mark: str) -> set[psutil.Process]:
    """The processes that have the mark in their environment."""
    found: set[psutil.Process] = set()
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.environ().get(MARK) == mark:
                found.add(process)
    return found


def _descending(processes: set[psutil.Process]) -> set[psutil.Process]:
    """Those that live, with all that they started, and without this one."""
    found: set[psutil.Process] = set()
    for process in processes:
        with contextlib.suppress(psutil.Error):
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                found |= {process, *process.children(recursive=True)}
    return found - {psutil.Process()}


if __name__ == "__main__":
    watch(int(sys.argv[1]), os.environ[MARK])
