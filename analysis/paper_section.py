"""The report's first section where the sweep is of a table or figure that has a form of its own."""

from dataclasses import dataclass

from analysis.ablation import outcome
from analysis.bars import draw_bars
from analysis.comparison import comparison
from analysis.figures import in_darts_space
from analysis.formats import Table
from analysis.gap import discretisation_gap
from analysis.long_searches import draw_long, followed, long_searches
from analysis.results import Results, state_of
from analysis.sections import Captioned, ran_both, sentence
from analysis.svg import Sheet

BARS = ("fig-6", "fig-7")
"""Figures that the paper draws as bars with deviation."""


@dataclass(frozen=True)
class PaperSection:
    """A table or figure in the paper's form: what the paper says of it, what was measured, and what is missing."""

    heading: str
    about: str
    table: Table | None
    figures: tuple[Captioned, ...]
    lines: bool
    """Whether the figures need the legend of settings."""
    missing: str
    """What is not there yet, as a sentence; empty where everything is."""


def paper_table(results: Results) -> Table | None:
    """The table of that section, for its files; None where the sweep's table or figure has none."""
    return next((t for make in (discretisation_gap, comparison, long_searches) if (t := make(results))), None)


def paper_section(results: Results, sheet: Sheet) -> PaperSection | None:
    """The section of Tables 1, 4 and 6 and Figs. 6, 7 and 8; None for other sweeps, whose settings say it all."""
    table = paper_table(results)
    if results.paper is None or (table is None and results.paper.key not in BARS):
        return None
    figures = _bars(results, sheet) if results.paper.key in BARS else ()
    if results.paper.key == "fig-8":
        figures = _lines(results, sheet)
    return PaperSection(
        heading=results.paper.title,
        about=f"{results.paper.about}.",
        table=table,
        figures=figures,
        lines=results.paper.key == "fig-8" and bool(figures),
        missing=_missing(results),
    )


def _bars(results: Results, sheet: Sheet) -> tuple[Captioned, ...]:
    what, judged = outcome(results)
    title = sentence(what)
    drawing = draw_bars(results, judged, title, "bars", sheet)
    if drawing is None:
        return ()
    n = sum(judged(run) is not None for run in results.runs)
    caption = (
        f"A bar is a setting's mean, the whisker one sample standard deviation, a mark a search (n = {n}). The axis "
        f"does not begin at zero. The paper draws its bars and prints no numbers. {ran_both(results)}"
    )
    return (Captioned(drawing, title, caption),)


def _lines(results: Results, sheet: Sheet) -> tuple[Captioned, ...]:
    found = []
    for index, quantity in enumerate(followed(results)):
        n = sum(map(len, quantity.series.values()))
        about = [f"Thin lines are searches (n = {n}), thick ones a setting's mean."]
        if index == 0 and in_darts_space(results):
            about.append("The dashed line is two, which STC's never exceed in the paper.")
        elif index == 0:
            about.append("The paper counts in DARTS cells, of eight edges; these are of six.")
        if quantity.about:
            about.append(quantity.about)
        caption = " ".join([*about, ran_both(results)])
        found.append(Captioned(draw_long(results, quantity, f"long-{index}", sheet), quantity.title, caption))
    return tuple(found)


_PLURALS = {"search": "searches", "retrain": "retrainings", "lookup": "lookups"}
_SINGULARS = {"search": "search", "retrain": "retraining", "lookup": "lookup"}


def _missing(results: Results) -> str:
    """What was planned and did not finish, and what to do about it."""
    left = {
        stage: sum(
            trial["stage"] == stage and state_of(results.records.get(trial["id"])) != "finished"
            for trial in results.planned
        )
        for stage in _PLURALS
    }
    parts = [f"{n} {_SINGULARS[stage] if n == 1 else _PLURALS[stage]}" for stage, n in left.items() if n]
    if not parts:
        return ""
    begin = "Not all is there yet" if results.counts["finished"] else "Nothing is there yet"
    listed = " and ".join([", ".join(parts[:-1]), parts[-1]]) if len(parts) > 1 else parts[0]
    return f"{begin}; not finished: {listed}. The command under How to reproduce runs what is missing."
