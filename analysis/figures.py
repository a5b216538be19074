"""Figures over seeds and settings: points per seed, search against retrain accuracy, learning curves."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.alpha_lines import integer_epochs
from analysis.results import Results, Run
from analysis.statistics import summarize
from analysis.style import GRID, MUTED, setting_colours
from analysis.svg import Drawing, Sheet, draw, plain
from stcnas_core.topology import DARTS


@dataclass(frozen=True)
class Curve:
    """One panel of the learning curves: which stage's column it shows."""

    stage: str
    column: str
    title: str


MOST_LINES = 150
"""Trials whose own curves a panel shows; of more, the first seeds of each setting, beside the means over all."""

MOST_IN_WORDS = 100
"""Points that a drawing's description lists one by one; of more it says how many there are."""

CURVES = (
    Curve("search", "train_accuracy", "Search: training, %"),
    Curve("search", "alpha_accuracy", "Search: alpha steps, %"),
    Curve("search", "valid_accuracy", "Search: validation, %"),
    Curve("search", "derived_accuracy", "Search: derived cell, %"),
    Curve("search", "skip_connects", "Search: skip_connect count"),
    Curve("retrain", "train_accuracy", "Retrain: training, %"),
    Curve("retrain", "test_accuracy", "Retrain: test, %"),
)


def draw_points(
    results: Results, value: Callable[[Run], float | None], what: str, prefix: str, sheet: Sheet
) -> Drawing | None:
    """A strip a setting: a mark a seed, the mean as a bar, its bootstrap interval as a line; None without any value."""
    present = by_seed(results, value)
    if not any(present.values()):
        return None
    listed = sum(map(len, present.values())) <= MOST_IN_WORDS
    words = "; ".join(
        f"{setting}: "
        f"{', '.join(f'seed {seed} {v:.2f}' for seed, v in found) or 'none yet' if listed else f'{len(found)} seeds'}"
        for setting, found in present.items()
    )
    return draw(lambda: points_figure(results.settings, present, what), prefix, f"{what} by seed. {words}", sheet)


def by_seed(results: Results, value: Callable[[Run], float | None]) -> dict[str, list[tuple[int, float]]]:
    """Seed and value of each run that has one, by setting."""
    known = {setting: [(run.seed, value(run)) for run in results.of(setting)] for setting in results.settings}
    return {setting: [(seed, v) for seed, v in found if v is not None] for setting, found in known.items()}


def points_figure(settings: Sequence[str], present: dict[str, list[tuple[int, float]]], what: str) -> Figure:
    figure = Figure(figsize=(7.6, 0.75 + 0.46 * len(settings)), layout="constrained")
    axes = figure.add_subplot()
    colours = setting_colours(settings)
    for row, setting in enumerate(settings):
        found = present[setting]
        colour, marker = colours[setting]
        summary = summarize(v for _, v in found)
        if summary.interval is not None:
            ends = [summary.interval.low, summary.interval.high]
            axes.plot(ends, [row, row], color=colour, linewidth=5, alpha=0.22, solid_capstyle="butt")
        if summary.mean is not None:
            axes.plot([summary.mean] * 2, [row - 0.36, row + 0.36], color=colour, linewidth=2)
        # Seeds side by side in height, in order, so that equal accuracies stay apart.
        heights = row + (np.linspace(-0.26, 0.26, len(found)) if len(found) > 1 else np.zeros(len(found)))
        axes.plot(
            [v for _, v in found],
            heights,
            linestyle="none",
            marker=marker,
            markersize=5.5,
            color=colour,
            markeredgewidth=0,
            alpha=0.85,
        )
    axes.set_yticks(range(len(settings)), [plain(setting, 34) for setting in settings])
    for tick in axes.get_yticklabels():
        tick.set_parse_math(False)
    axes.set_ylim(len(settings) - 0.5, -0.5)
    axes.grid(visible=False, axis="y")
    axes.spines["left"].set_visible(False)
    axes.set_xlabel(f"{what}, %")
    _pad(axes, [v for found in present.values() for _, v in found], "x")
    return figure


def draw_scatter(
    results: Results,
    column: str,
    what: str,
    judged: Callable[[Run], float | None],
    against: str,
    prefix: str,
    sheet: Sheet,
) -> Drawing | None:
    """Accuracy in search (x) against what a run is judged by (y), a mark a search; None without any pair."""
    pairs = accuracy_pairs(results, column, judged)
    if not any(pairs.values()):
        return None
    listed = sum(map(len, pairs.values())) <= MOST_IN_WORDS
    words = "; ".join(
        f"{setting}: {', '.join(f'({x:.2f}, {y:.2f})' for x, y in found) if listed else f'{len(found)} searches'}"
        for setting, found in pairs.items()
        if found
    )
    label = f"Accuracy in search, of the {what}, against {against}. {words}"
    return draw(lambda: scatter_figure(results.settings, pairs, what, outcome_axis(results)), prefix, label, sheet)


def accuracy_pairs(
    results: Results, column: str, judged: Callable[[Run], float | None]
) -> dict[str, list[tuple[float, float]]]:
    """By setting, accuracy in search and what the run is judged by, of each run that has both."""
    return {
        setting: [
            (x, y)
            for run in results.of(setting)
            if (x := run.search_value(column)) is not None and (y := judged(run)) is not None
        ]
        for setting in results.settings
    }


def outcome_axis(results: Results) -> str:
    """What an axis calls that which searches are ranked against."""
    return "test after retraining" if results.retrains_planned else "true, by the benchmark"


def scatter_figure(
    settings: Sequence[str], pairs: dict[str, list[tuple[float, float]]], what: str, outcome: str
) -> Figure:
    figure = Figure(figsize=(4.2, 3.3), layout="constrained")
    axes = figure.add_subplot()
    for setting, (colour, marker) in setting_colours(settings).items():
        axes.plot(
            [x for x, _ in pairs[setting]],
            [y for _, y in pairs[setting]],
            linestyle="none",
            marker=marker,
            markersize=6.5,
            color=colour,
            markeredgewidth=0,
            alpha=0.85,
        )
    axes.set_xlabel(f"search: {what}, %")
    axes.set_ylabel(f"{outcome}, %")
    everything = [pair for found in pairs.values() for pair in found]
    _pad(axes, [x for x, _ in everything], "x")
    _pad(axes, [y for _, y in everything], "y")
    return figure


def draw_curves(results: Results, prefix: str, sheet: Sheet) -> tuple[tuple[str, Drawing], ...]:
    """Learning curves, (title, drawing) a quantity that was recorded: thin lines are trials, thick ones the means."""
    darts = in_darts_space(results)
    by_trial = rows_by_trial(results)
    panels = [(curve, lines) for curve in CURVES if (lines := curve_lines(results, curve, by_trial))]
    return tuple(
        (
            curve.title,
            draw(
                lambda curve=curve, lines=lines: curve_figure(results.settings, curve, lines, darts),
                f"{prefix}-{curve.stage}-{curve.column}",
                f"{curve.title}, over the epochs. {_ends(lines)}",
                sheet,
            ),
        )
        for curve, lines in panels
    )


def rows_by_trial(results: Results) -> dict[str, pd.DataFrame]:
    """The epochs of each trial."""
    return {str(key): rows for key, rows in results.epochs.groupby("trial_id", sort=False)}


def in_darts_space(results: Results) -> bool:
    """Whether every derived cell is a DARTS cell, of which the paper says how many skip_connects it holds (Fig. 8)."""
    return all(run.genotype.topology is DARTS for run in results.runs if run.genotype is not None)


def _ends(lines: dict[str, list[pd.Series]]) -> str:
    ends = {setting: [float(line.iloc[-1]) for line in series] for setting, series in lines.items()}
    return "; ".join(f"{name}: mean {sum(v) / len(v):.2f} at the end (n = {len(v)})" for name, v in ends.items())


def lines_drawn(trials: int, settings: int) -> int | None:
    """How many curves of its own each setting has in a panel of so many trials; None where all have."""
    return None if trials <= MOST_LINES else max(1, MOST_LINES // settings)


def curve_lines(results: Results, curve: Curve, by_trial: Mapping[str, pd.DataFrame]) -> dict[str, list[pd.Series]]:
    """Per setting one series (index: epoch from 1) a trial that has the column."""
    lines: dict[str, list[pd.Series]] = {}
    for setting in results.settings:
        ids: dict[str, None] = {}
        for run in results.of(setting):
            if curve.stage == "search":
                ids[run.trial_id] = None
            else:
                ids.update((record["trial_id"], None) for record in run.retrains)
        series = [_series(by_trial[id_], curve.column) for id_ in ids if id_ in by_trial]
        if kept := [line for line in series if len(line)]:
            lines[setting] = kept
    return lines


def _series(rows: pd.DataFrame, column: str) -> pd.Series:
    line = pd.Series(rows[column].to_numpy(dtype=float), index=rows["epoch"].to_numpy() + 1)
    return line.dropna().sort_index()


def curve_figure(settings: Sequence[str], curve: Curve, lines: dict[str, list[pd.Series]], darts: bool) -> Figure:
    figure = Figure(figsize=(2.75, 1.95))
    axes = figure.add_axes((0.125, 0.2, 0.865, 0.76))
    colours = setting_colours(settings)
    last = max(int(line.index.max()) for series in lines.values() for line in series)
    for setting, series in lines.items():
        colour, _ = colours[setting]
        for line in series[: lines_drawn(sum(map(len, lines.values())), len(lines))]:
            axes.plot(line.index, line.to_numpy(), color=colour, linewidth=0.8, alpha=0.4)
        mean = pd.concat(series, axis=1).dropna().mean(axis=1)
        single = {"marker": "o", "markersize": 4} if len(mean) == 1 else {}
        axes.plot(mean.index, mean.to_numpy(), color=colour, linewidth=2.0, **single)
    axes.set_xlabel("epoch", labelpad=2)
    axes.grid(visible=False, axis="x")
    integer_epochs(axes, last)
    if curve.column == "skip_connects":
        top = max(2, *(int(line.max()) for series in lines.values() for line in series))
        axes.set_ylim(-0.2, top + 0.4)
        axes.set_yticks(range(top + 1))
        if darts:
            axes.axhline(2, color=MUTED, linewidth=0.8, linestyle=(0, (4, 3)), zorder=1)
    else:
        _pad(axes, [float(value) for series in lines.values() for line in series for value in line], "y")
    return figure


def _pad(axes: Axes, values: Sequence[float], which: str) -> None:
    """Limits with a margin, also where all values are equal."""
    low, high = min(values), max(values)
    margin = max((high - low) * 0.08, 0.25)
    (axes.set_xlim if which == "x" else axes.set_ylim)(low - margin, high + margin)
    axes.grid(visible=True, axis="x" if which == "x" else "y", color=GRID)
