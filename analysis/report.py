"""The report of a sweep: one self-contained HTML page, and its tables as CSV, Markdown and LaTeX beside it."""

import datetime
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd

from analysis import ablation, formats, inherited, rank_table, sections, tables
from analysis.formats import Table
from analysis.paper_section import paper_section, paper_table
from analysis.provenance import facts, scale, versions
from analysis.results import Record, Results, collect
from analysis.search_cost import search_cost
from analysis.style import css_variables
from analysis.svg import Sheet

_FORMATS: dict[str, Callable[[Table], str]] = {
    "csv": formats.to_csv,
    "md": formats.to_markdown,
    "tex": formats.to_latex,
}


def write_report(
    sweep: Any,
    planned: Sequence[Record],
    trials: pd.DataFrame,
    epochs: pd.DataFrame,
    alphas: pd.DataFrame,
    out: Path,
    *,
    ranks: pd.DataFrame | None = None,
    benchmark: pd.DataFrame | None = None,
    command: str | None = None,
    made_at: datetime.datetime | None = None,
) -> dict[str, Path]:
    """Write `index.html` and the tables into `out`; returns the written paths by file name.

    `sweep` has `name`, `title`, `paper` and `retrain`; `planned` is the `trials` list of `plan --json`; the frames
    hold a whole ledger, of which the planned trials are taken; `ranks` are its cells ranked by inherited weights,
    `benchmark` the table that knows their true accuracies. `command` is the command line that runs this sweep.
    Equal arguments give equal bytes. Raises InputError where a record's genotype cannot be read.
    """
    results = collect(sweep, planned, trials, epochs, alphas, ranks, benchmark)
    made_at = made_at or datetime.datetime.now(datetime.UTC)
    beside = _tables(results)
    files = {"index.html": _page(results, beside, command or _command(results), made_at)}
    for table in beside.values():
        for suffix, write in _FORMATS.items():
            files[f"{table.name}.{suffix}"] = write(table)
    out.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        _write(out / name, text)
    return {name: out / name for name in files}


def status_line(results: Results) -> str:
    """Whether the sweep is complete, and if not, what finished, failed and is missing."""
    finished, failed, missing = (results.counts[state] for state in ("finished", "failed", "missing"))
    total = len(results.planned)
    if any(record.get("device") == "simulated" for record in results.records.values()):
        return f"Simulated, no result: {finished} of {total} trials played"
    if results.complete:
        return f"Complete: {finished} of {total} trials finished"
    word = "Not started" if finished + failed == 0 else "Half done" if missing else "Done, with failures"
    rest = [f"{amount} {state}" for amount, state in ((failed, "failed"), (missing, "missing")) if amount]
    return f"{word}: {', '.join([f'{finished} of {total} trials finished', *rest])}"


def _tables(results: Results) -> dict[str, Table]:
    """Every table that exists for this sweep, by name, in the report's order."""
    made = [
        paper_table(results),
        ablation.ablation(results, sections.ran_both(results)),
        tables.paired(results),
        rank_table.ranking_table(results),
        inherited.by_setting(results),
        inherited.by_search(results),
        search_cost(results),
        tables.cost(results),
        tables.runs(results),
    ]
    return {table.name: table for table in made if table is not None}


def _page(results: Results, beside: dict[str, Table], command: str, made_at: datetime.datetime) -> str:
    sheet = Sheet()
    figures = sections.build(results, sheet)
    section = paper_section(results, sheet)
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("analysis"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.j2").render(
        results=results,
        outcome=ablation.outcome(results)[0],
        title=results.title or results.name,
        status=status_line(results),
        state="good" if results.complete else "part" if results.counts["missing"] else "bad",
        made_at=made_at.astimezone(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        tiles=sections.tiles(results),
        facts=facts(results),
        versions=versions(results),
        scale=scale(results),
        tables=beside,
        literature=tables.literature(results.paper) if results.paper and results.paper.metrics else None,
        figures=figures,
        section=section,
        cautions=sections.cautions(results),
        failures=sections.failures(results),
        command=command,
        style=css_variables() + sheet.css(),
    )


def _command(results: Results) -> str:
    return f"stcnas run sweeps/{results.name}.yaml --storage <storage>"


def _write(path: Path, text: str) -> None:
    """Whole or not at all: a reader, or a page reloaded at the wrong moment, never sees half a file."""
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
