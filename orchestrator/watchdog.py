"""Ends a process that hangs, so that its devices are free and the trial goes on elsewhere."""

import contextlib
import faulthandler
import os
import sys
import threading
import traceback
from collections.abc import Callable, Iterator

GRACE = 60.0
"""Seconds in which a process that hangs can say where; then it is ended, whatever its storage or interpreter does."""


@contextlib.contextmanager
def watched(minutes: float | None, hung: Callable[[str], None]) -> Iterator[None]:
    """End this process where the context takes longer than so many minutes; None waits for ever.

    `hung` is told, in another thread, what this one was at: its stack, as text, and a line of why.
    """
    if minutes is None:
        yield
        return
    thread = threading.get_ident()

    def end() -> None:
        try:
            stack = "".join(traceback.format_stack(sys._current_frames()[thread]))
            hung(f"{stack}No epoch for {minutes:g} minutes: its process was ended")
        finally:
            os._exit(1)

    timer = threading.Timer(minutes * 60, end)
    timer.daemon = True
    timer.start()
    # A thread of C alone, for what holds the interpreter's lock.
    faulthandler.dump_traceback_later(minutes * 60 + GRACE, exit=True, file=sys.__stderr__ or 2)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()
        timer.cancel()
