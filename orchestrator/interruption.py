"""Ctrl-C and SIGTERM (a batch system's notice) as one thing that stops a run cleanly."""

import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(KeyboardInterrupt):
    """The run was told to stop; what was done is kept."""


class Interruption:
    """Context in which SIGINT and SIGTERM raise Interrupted: at once, or, while `deferred`, at the next `check`.

    Raising in the middle of another library's code may leave its processes behind, so such code runs deferred. A
    second signal raises at once all the same.
    """

    def __init__(self) -> None:
        self.asked = False
        self.deferred = False
        self.reason: str | None = None
        """Why the run must stop, where no signal says so."""
        self._before: dict[int, Callable[[int, FrameType | None], Any] | int | None] = {}

    def __enter__(self) -> "Interruption":
        self._before = {number: signal.getsignal(number) for number in SIGNALS}
        self.listen()
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def listen(self) -> None:
        """Install the handlers (again: libraries replace them with their own)."""
        for number in SIGNALS:
            signal.signal(number, self._heard)

    def check(self) -> None:
        """Raise Interrupted where a signal came since."""
        if self.asked:
            raise Interrupted

    def stop(self, reason: str) -> None:
        """Stop the run as a signal would, from another thread."""
        self.reason = reason
        if self.deferred:
            self.asked = True
            return
        main = threading.main_thread().ident
        if main is not None:
            signal.pthread_kill(main, SIGNALS[-1])

    def _heard(self, number: int, frame: FrameType | None) -> None:
        again, self.asked = self.asked, True
        if again or not self.deferred:
            raise Interrupted
