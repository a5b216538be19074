"""What `plan` and `status` show a person."""

from collections import Counter

from rich.console import Console
from rich.table import Table

from orchestrator.identity import Stage
from orchestrator.ledger import State
from orchestrator.overview import Overview, by_setting
from orchestrator.progress import duration


def show_plan(overview: Overview) -> None:
    """The trials by setting and stage, and what is left."""
    console = Console(highlight=False)
    content = overview.as_plan()
    _title(console, overview)
    _by_setting(console, overview)
    console.print(_counts(content), markup=False)
    if content["missing"]:
        _estimate(console, content)


def show_status(overview: Overview) -> None:
    """The same, with what was started and what failed."""
    console = Console(highlight=False)
    content = overview.as_status()
    _title(console, overview)
    _by_setting(console, overview)
    console.print(_counts(content) + f" ({content['states']['running']} of them begun)", markup=False)
    for trial in content["trials"]:
        if trial["state"] == "running":
            console.print(
                f"begun: {trial['stage']} {trial['setting']}, seed {trial['seed']}, {trial['epochs_done']} epochs done",
                markup=False,
            )
    for failure in content["failures"]:
        console.print(
            f"failed: {failure['stage']} {failure['setting']}, seed {failure['seed']}, attempt {failure['attempt']} "
            f"({failure['error_kind']}): {failure['error']}",
            markup=False,
        )
    if content["missing"]:
        _estimate(console, content)


def _title(console: Console, overview: Overview) -> None:
    sweep = overview.plan.sweep
    profile = f", profile {sweep.profile}" if sweep.profile else ""
    console.print(f"{sweep.name}{profile}: {sweep.title or ''}".rstrip(": "), markup=False, style="bold")


def _by_setting(console: Console, overview: Overview) -> None:
    table = Table(box=None, pad_edge=False, padding=(0, 2))
    for name in ("setting", "stage"):
        table.add_column(name)
    states: tuple[State, ...] = ("done", "failed", "missing")
    for name in states:
        table.add_column(name, justify="right")
    counts = by_setting(overview)
    for (setting, stage), count in counts.items():
        table.add_row(setting, stage, *(str(count[state] or "-") for state in states))
    if len(counts) > 2:
        table.add_section()
        totals: dict[Stage, Counter[State]] = {}
        for (_, stage), count in counts.items():
            totals.setdefault(stage, Counter()).update(count)
        for stage, count in totals.items():
            table.add_row("all", stage, *(str(count[state] or "-") for state in states))
    console.print(table)


def _counts(content: dict) -> str:
    counts = ", ".join(f"{content[state]} {state}" for state in ("done", "failed", "missing"))
    return f"{content['planned']} planned: {counts}"


def _estimate(console: Console, content: dict) -> None:
    hours = content["estimate_device_hours"]
    if hours is None:
        console.print("device time of what is missing: not known before trials of each stage are done")
    else:
        console.print(
            f"device time of what is missing: about {duration(hours * 3600)} (from {content['estimate_basis']})"
        )
