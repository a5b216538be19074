"""What `status --watch` draws on a terminal: what changes on top, so that a low window shows it."""

import time

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from orchestrator.commands.screens import begun, called, setting_table
from orchestrator.overview import Overview
from orchestrator.progress import duration

_MOST = 8
"""Trials that run, and failures, which are listed."""


def view(overview: Overview) -> RenderableType:
    """The sweep as it is now: a bar over all trials, who drives it, what runs, what failed, then every setting."""
    status = overview.as_status()
    states = status["states"]
    counts = f"{states['done']}/{status['planned']} done"
    counts += "".join(
        f", {states[name]} {said}" for name, said in (("failed", "failed"), ("running", "begun")) if states[name]
    )
    if status["estimate_device_hours"]:
        counts += f", about {duration(status['estimate_device_hours'] * 3600)} of device time left"
    bar = Table.grid(padding=(0, 1))
    bar.add_row(ProgressBar(total=max(1, status["planned"]), completed=states["done"], width=30), Text(counts))
    parts: list[RenderableType] = [Text(f"{overview.plan.sweep.name}, {time.strftime('%H:%M:%S')}", style="bold"), bar]
    parts += [Text(_driver(driver)) for driver in status["drivers"]]
    if not status["drivers"] and overview.startable:
        parts.append(Text("no driver: nothing runs until `stcnas run` is started"))
    parts += _some(begun(status), "begun: ")
    failures = [f"{called(row)} ({row['error_kind']}): {row['error']}" for row in status["failures"]]
    parts += _some(failures, "failed: ")
    return Group(*parts, setting_table(overview))


def _driver(driver: dict) -> str:
    gone = ", which is gone" if driver["alive"] is False else ""
    return f"driver: {driver['user']} on {driver['host']}, since {driver['since']}{gone}"


def _some(lines: list[str], what: str) -> list[Text]:
    shown = [Text(what + line, no_wrap=True, overflow="ellipsis") for line in lines[:_MOST]]
    return shown + ([Text(f"{what}{len(lines) - _MOST} more")] if len(lines) > _MOST else [])
