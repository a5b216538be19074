"""What `plan` and `status` show a person."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from orchestrator.identity import Stage
from orchestrator.ledger import State
from orchestrator.overview import Overview, by_setting
from orchestrator.progress import described, duration
from orchestrator.settings import written

_COUNTED = (
    "finished",
    "failed",
    "unfinished",
    "epochs_rows",
    "alphas_rows",
    "ranks_rows",
    "failures_rows",
    "study_files",
    "collected_files",
)


def show_plan(overview: Overview) -> None:
    """The trials by setting and stage, and what is left."""
    console = Console(highlight=False)
    content = overview.as_plan()
    _title(console, overview)
    console.print(setting_table(overview))
    console.print(_counts(content), markup=False)
    _study(console, content["study"])
    if content["missing"]:
        _estimate(console, content)


def show_status(overview: Overview) -> None:
    """The same, with what was started and what failed."""
    console = Console(highlight=False)
    content = overview.as_status()
    _title(console, overview)
    console.print(setting_table(overview))
    console.print(_counts(content) + f" ({content['states']['running']} of them begun)", markup=False)
    _study(console, content["study"])
    for driver in content["drivers"]:
        part = f", shard {driver['shard']}" if driver["shard"] else ""
        ended = ", which is gone" if driver["alive"] is False else ""
        console.print(
            f"driver: {driver['user']} on {driver['host']}, pid {driver['pid']}{part}, since {driver['since']}{ended}",
            markup=False,
        )
    for line in begun(content):
        console.print(f"begun: {line}", markup=False)
    for failure in content["failures"]:
        console.print(
            f"failed: {called(failure)}, attempt {failure['attempt']} ({failure['error_kind']}): {failure['error']}",
            markup=False,
        )
    for kind in content["failure_kinds"]:
        console.print(
            f"{kind['kind']}: {kind['attempts']} failed attempts of {kind['trials']} trials, the last"
            f"{' on ' + kind['host'] if kind['host'] else ''}: {kind['last_error']} "
            f"({overview.ledger.storage.uri}/{kind['record']})",
            markup=False,
            soft_wrap=True,
        )
    for stopped in content["given_up"]:
        console.print(
            f"stopped: {stopped['setting']}: every {stopped['stage']} that ended failed, "
            f"{stopped['not_started']} are not started; `run --retry-failed` tries them again",
            markup=False,
        )
    if content["missing"]:
        _estimate(console, content)


def show_findings(content: dict) -> None:
    """What `verify` found: a line for each problem, then what was read."""
    for problem in content["problems"]:
        print(f"{problem['kind']}: {problem['file']}: {problem['reason']}")
        if problem["moved_to"]:
            print(f"  moved to {content['storage']}/{problem['moved_to']}")
    for name, sweep in content["sweeps"].items():
        print(f"{name}: {sweep['recorded']} of {sweep['planned']} planned trials recorded")
    counts = content["counts"]
    read = ", ".join(f"{counts.get(name, 0)} {name.replace('_', ' ')}" for name in _COUNTED)
    print(f"{content['storage']}: read {counts.get('files', 0)} files: {read}")
    moved = sum(problem["moved_to"] is not None for problem in content["problems"])
    files = len({problem["file"] for problem in content["problems"]})
    if content["clean"]:
        print("nothing is wrong")
    elif moved:
        print(f"{files} files are wrong; what was moved aside and is planned runs again with the next run")
    else:
        print(f"{files} files are wrong; nothing was touched, --move-aside clears away what can be")


def called(row: dict) -> str:
    """What a person calls the trial of a row."""
    return described(row["stage"], row["setting"], row["seed"], row["retrain_seed"], row.get("epoch"))


def begun(status: dict) -> list[str]:
    """Each trial that runs, or was stopped on its way, and how far it is."""
    running = [row for row in status["trials"] if row["state"] == "running"]
    return [f"{called(row)}, epoch {row['epochs_done']}/{row['epochs']}" for row in running]


def _title(console: Console, overview: Overview) -> None:
    sweep = overview.plan.sweep
    profile = f", profile {sweep.profile}" if sweep.profile else ""
    console.print(f"{sweep.name}{profile}: {sweep.title or ''}".rstrip(": "), markup=False, style="bold")


def setting_table(overview: Overview) -> Table:
    """Counts of states by setting and stage, with totals where there are several."""
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
    return table


def _study(console: Console, study: Mapping[str, Any] | None) -> None:
    """How far an Optuna study is, and which of its suggestions none surpasses."""
    if study is None:
        return
    states = Counter(row["state"] for row in study["suggestions"])
    counts = ", ".join(
        f"{states[state]} {state}" for state in ("finished", "stopped", "failed", "open") if states[state]
    )
    spent = study["made"] + study["to_come"] < study["asked"]
    console.print(
        f"{study['made']} of {study['asked']} suggestions made{f' ({counts})' if counts else ''}, "
        + ("the space has no other point" if spent else f"{study['to_come']} to come"),
        markup=False,
    )
    rows = {row["number"]: row for row in study["suggestions"]}
    for number in study["best"]:
        row = rows[number]
        values = ", ".join(
            f"{objective['described']} {value:.6g}"
            for objective, value in zip(study["objectives"], row["values"], strict=True)
        )
        params = ", ".join(f"{name}={written(value)}" for name, value in row["params"].items())
        console.print(f"best: {row['setting']}, {values}, n = {row['n']}: {params}", markup=False, soft_wrap=True)


def _counts(content: dict) -> str:
    counts = ", ".join(f"{content[state]} {state}" for state in ("done", "failed", "missing"))
    return f"{content['planned']} planned: {counts}"


def _estimate(console: Console, content: dict) -> None:
    study = content["study"]
    beside = ", without the suggestions to come" if study is not None and study["to_come"] else ""
    hours = content["estimate_device_hours"]
    if hours is None:
        console.print("device time of what is missing: not known before trials of each stage are done")
    else:
        console.print(
            f"device time of what is missing{beside}: about {duration(hours * 3600)} (from {content['estimate_basis']})"
        )
