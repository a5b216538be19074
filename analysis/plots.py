"""The report's figures by themselves, for a notebook or a paper: on white, with a legend."""

from collections.abc import Callable
from typing import Literal, get_args

import matplotlib
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from analysis.ablation import outcome
from analysis.figures import (
    CURVES,
    accuracy_pairs,
    by_seed,
    curve_figure,
    curve_lines,
    in_darts_space,
    outcome_axis,
    points_figure,
    rows_by_trial,
    scatter_figure,
)
from analysis.rank_table import ranks_outcomes
from analysis.results import Results
from analysis.style import RC, setting_colours
from analysis.svg import plain
from stcnas_core.errors import InputError

Plot = Literal["seeds", "ranking", "curves"]


def plot(results: Results, what: Plot, column: str | None = None) -> Figure:
    """A matplotlib figure of a sweep: `seeds` (outcome by setting), `ranking` (search against outcome), `curves`.

    `column` is which accuracy of the search is ranked, or which column of `epochs` is drawn; `derived_accuracy` by
    default. Raises InputError where there is nothing to draw.
    """
    makers: dict[Plot, Callable[[Results, str], Figure | None]] = {
        "seeds": _seeds,
        "ranking": _ranking,
        "curves": _curves,
    }
    if what not in makers:
        raise InputError(f"no plot {what!r}; there are {', '.join(get_args(Plot))}")
    with matplotlib.rc_context(RC):
        figure = makers[what](results, column or "derived_accuracy")
    if figure is None:
        raise InputError(f"{results.name}: nothing is recorded yet that the plot {what!r} could show")
    figure.set_facecolor("white")
    return figure


def _seeds(results: Results, column: str) -> Figure | None:
    what, judged = outcome(results)
    present = by_seed(results, judged)
    return points_figure(results.settings, present, what) if any(present.values()) else None


def _ranking(results: Results, column: str) -> Figure | None:
    if not ranks_outcomes(results):
        raise InputError(f"{results.name}: nothing is retrained or looked up, so that there is nothing to rank against")
    _, judged = outcome(results)
    pairs = accuracy_pairs(results, column, judged)
    if not any(pairs.values()):
        return None
    return _with_legend(scatter_figure(results.settings, pairs, column, outcome_axis(results)), results, lines=False)


def _curves(results: Results, column: str) -> Figure | None:
    curve = next((curve for curve in CURVES if curve.column == column), None)
    if curve is None:
        known = ", ".join(dict.fromkeys(curve.column for curve in CURVES))
        raise InputError(f"no curve of {column!r}; there are {known}")
    lines = curve_lines(results, curve, rows_by_trial(results))
    if not lines:
        return None
    figure = curve_figure(results.settings, curve, lines, in_darts_space(results))
    figure.set_size_inches(5.2, 3.4)
    figure.axes[0].set_title(curve.title)
    figure.axes[0].set_position((0.1, 0.14, 0.87, 0.76))
    return _with_legend(figure, results, lines=True)


def _with_legend(figure: Figure, results: Results, *, lines: bool) -> Figure:
    """A legend of the settings, where there are several and few enough to be told apart."""
    colours = setting_colours(results.settings)
    if 1 < len(colours) <= 12:
        handles = [
            Line2D([], [], color=colour, linewidth=2, label=plain(setting, 34))
            if lines
            else Line2D([], [], color=colour, marker=marker, linestyle="none", label=plain(setting, 34))
            for setting, (colour, marker) in colours.items()
        ]
        legend = figure.axes[0].legend(handles=handles, fontsize=8, frameon=False)
        for text in legend.get_texts():
            text.set_parse_math(False)
    return figure
