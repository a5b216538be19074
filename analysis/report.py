"""The report of a sweep: one self-contained HTML page, and its tables as CSV, Markdown and LaTeX beside it."""

import datetime
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd

from analysis import ablation, agreement, formats, inherited, paired, rank_table, sections, tables
from analysis.claims import claims_table
from analysis.formats import Table
from analysis.paper_section import paper_section, paper_table
from analysis.provenance import facts, scale, versions
from analysis.results import Record, Results, collect
from analysis.search_cost import search_cost
from analysis.study import study_section, suggestions
from analysis.style import css_variables
from analysis.svg import Sheet
from stcnas_core.files import write_whole

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
    study: Mapping[str, Any] | None = None,
    command: str | None = None,
    renew_seconds: int | None = None,
    made_at: datetime.datetime | None = None,
) -> dict[str, Path]:
    """Write `index.html` and the tables into `out`; returns the written paths by file name.

    `sweep` has `name`, `title`, `paper` and `retrain`; `planned` is the `trials` list of `plan --json`; the frames
    hold a whole ledger, of which the planned trials are taken; `ranks` are its cells ranked by inherited weights,
    `benchmark` the table that knows their true accuracies. `study` is that of `status --json`, with the importance of
    parameters for each objective under `importance`. `command` is the command line that runs this sweep;
    with `renew_seconds` a browser that shows the page reads it anew that often.
    Equal arguments give equal bytes; each file is written whole, the page last, since it links to the others. Raises
    InputError where a record's genotype cannot be read or a file cannot be written.
    """
    results = collect(sweep, planned, trials, epochs, alphas, ranks, benchmark, study)
    made_at = made_at or datetime.datetime.now(datetime.UTC)
    beside = tables_of(results)
    page = _page(results, beside, command or _command(results), made_at, renew_seconds)
    files = {f"{table.name}.{suffix}": write(table) for table in beside.values() for suffix, write in _FORMATS.items()}
    for name, text in (*files.items(), ("index.html", page)):
        write_whole(out / name, text)
    return {name: out / name for name in ("index.html", *files)}


def status_line(results: Results) -> str:
    """Whether the sweep is complete, and if not, what finished, failed and is missing."""
    finished, failed, missing = (results.counts[state] for state in ("finished", "failed", "missing"))
    total = len(results.planned)
    if any(record.get("device") == "simulated" for record in results.records.values()):
        return f"Simulated, no result: {finished} of {total} trials played"
    if results.complete:
        return f"Complete: {finished} of {total} trials finished"
    word = "Not started" if finished + failed == 0 else "Unfinished" if missing else "Done, with failures"
    rest = [f"{amount} {state}" for amount, state in ((failed, "failed"), (missing, "missing")) if amount]
    if results.to_come:
        word, rest = "Unfinished", [*rest, f"{results.to_come} suggestions to come"]
    return f"{word}: {', '.join([f'{finished} of {total} trials finished', *rest])}"


def tables_of(results: Results) -> dict[str, Table]:
    """Every table that exists for this sweep, by name, in the report's order."""
    made = [
        paper_table(results),
        claims_table(results),
        suggestions(results),
        ablation.ablation(results, sections.ran_both(results)),
        paired.paired(results),
        paired.seeds_needed(results),
        agreement.agreement_table(results),
        agreement.edges_table(results),
        rank_table.ranking_table(results),
        inherited.by_setting(results),
        paired.paired_rankings(results),
        inherited.by_search(results),
        search_cost(results),
        tables.cost(results),
        tables.runs(results),
    ]
    return {table.name: table for table in made if table is not None}


def _page(
    results: Results, beside: dict[str, Table], command: str, made_at: datetime.datetime, renew_seconds: int | None
) -> str:
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
        study=study_section(results, sheet),
        cautions=sections.cautions(results),
        failures=sections.failures(results),
        command=command,
        renew_seconds=renew_seconds,
        style=css_variables() + sheet.css(),
    )


def _command(results: Results) -> str:
    return f"stcnas run sweeps/{results.name}.yaml --storage <storage>"
