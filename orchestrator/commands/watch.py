"""Looking at a sweep again and again until nothing more of it can run."""

import contextlib
import json
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from orchestrator.exits import FAILED_TRIALS, INTERRUPTED
from orchestrator.interruption import Interrupted, Interruption
from orchestrator.overview import Overview
from orchestrator.progress import duration

if TYPE_CHECKING:
    from orchestrator.api import Sweep

_SHARE = 5
"""A look may take one part in so many of the time: large ledgers are looked at less often."""
_QUIET = 60.0
"""Seconds after which a plain line is written although no trial began or ended."""
_NAMED = 3
"""Trials that a plain line names."""


def looks(sweep: "Sweep", every: float) -> Iterator[Overview]:
    """The sweep beside its ledger, now and every so many seconds, at last when nothing more of it can run."""
    while True:
        began = time.monotonic()
        overview = sweep.overview()
        yield overview
        if not overview.startable:
            return
        spent = time.monotonic() - began
        time.sleep(max(every - spent, (_SHARE - 1) * spent))


def watch_status(sweep: "Sweep", every: float, out: TextIO, *, as_json: bool) -> int:
    """Show how far a sweep is until it ends: redrawn in place on a terminal, elsewhere a line for each change.

    With `as_json` each line is an object, that of `status --json` with the rows that are `running` instead of all
    `trials`, and with `at`. Returns 0 where all trials are done, 3 where some failed, 4 after Ctrl-C or SIGTERM, which
    end the watching and nothing else.
    """
    if as_json:
        return _until_ended(sweep, every, _Objects(out).show)
    if not out.isatty():
        return _until_ended(sweep, every, _Lines(out).show)
    from rich.console import Console
    from rich.live import Live

    from orchestrator.commands.watch_view import view

    display = Live(console=Console(file=out, highlight=False), auto_refresh=False, vertical_overflow="crop")
    return _until_ended(sweep, every, lambda overview: display.update(view(overview), refresh=True), display)


def watch_report(sweep: "Sweep", every: float, folder: Path | None, out: TextIO) -> int:
    """Rewrite the report whenever a trial has ended, until the sweep has; returns what `watch_status` returns.

    Meanwhile the page asks the browser to read it anew every so many seconds; the last one does not.
    """
    written: dict[str, Any] = {}

    def show(overview: Overview) -> None:
        if overview.startable and overview.states == written:
            return
        written.clear()
        written.update(overview.states)
        paths = sweep.report(folder, renew_seconds=max(1, round(every)) if overview.startable else None)
        counts = f"{overview.count('done')} of {len(overview.trials)} done, {overview.count('failed')} failed"
        print(f"{_clock()}  {counts}: {paths['index.html']}", file=out, flush=True)

    return _until_ended(sweep, every, show)


def _until_ended(
    sweep: "Sweep",
    every: float,
    show: Callable[[Overview], None],
    display: contextlib.AbstractContextManager[Any] | None = None,
) -> int:
    failed = 0
    try:
        with Interruption(), display or contextlib.nullcontext():
            for overview in looks(sweep, every):
                show(overview)
                failed = overview.count("failed")
    except Interrupted:
        print("no longer watched; the sweep itself goes on", file=sys.stderr)
        return INTERRUPTED
    return FAILED_TRIALS if failed else 0


class _Objects:
    """An object on a line of its own for each change."""

    def __init__(self, out: TextIO) -> None:
        self._out, self._last = out, {}

    def show(self, overview: Overview) -> None:
        status = overview.as_status()
        status["running"] = [trial for trial in status.pop("trials") if trial["state"] == "running"]
        if status == self._last:
            return
        self._last = status
        now = datetime.now(UTC).isoformat(timespec="seconds")
        print(json.dumps({"at": now, **status}, allow_nan=False), file=self._out, flush=True)


class _Lines:
    """A line for each trial that began or ended, and one now and then in between."""

    def __init__(self, out: TextIO) -> None:
        self._out, self._last, self._said_at = out, "", 0.0

    def show(self, overview: Overview) -> None:
        status = overview.as_status()
        states = status["states"]
        counts = f"{states['done']} of {status['planned']} done, {states['failed']} failed, {states['running']} begun"
        if counts == self._last and time.monotonic() - self._said_at < _QUIET:
            return
        self._last, self._said_at = counts, time.monotonic()
        print(f"{_clock()}  {counts}{_running(status)}{_left(status)}", file=self._out, flush=True)


def _running(status: dict[str, Any]) -> str:
    from orchestrator.commands.screens import begun

    running = begun(status)
    more = [f"{len(running) - _NAMED} more"] if len(running) > _NAMED else []
    return f": {'; '.join(running[:_NAMED] + more)}" if running else ""


def _left(status: dict[str, Any]) -> str:
    hours = status["estimate_device_hours"]
    return f"; about {duration(hours * 3600)} of device time left" if hours else ""


def _clock() -> str:
    return time.strftime("%H:%M:%S")
