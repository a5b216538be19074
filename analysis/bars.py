"""Bars with deviation, the form of Figs. 6 and 7: a bar a setting, a whisker of one standard deviation, every seed."""

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from analysis.results import Results, Run
from analysis.statistics import finite, summarize
from analysis.style import INK, setting_colours
from analysis.svg import Drawing, Sheet, draw, plain


def draw_bars(
    results: Results, value: Callable[[Run], float | None], what: str, prefix: str, sheet: Sheet
) -> Drawing | None:
    """Mean and sample standard deviation of each setting, its seeds as marks; None without any value."""
    found = {setting: finite(value(run) for run in results.of(setting)) for setting in results.settings}
    if not any(found.values()):
        return None
    words = "; ".join(f"{setting}: {_in_words(values)}" for setting, values in found.items())
    return draw(lambda: _draw(results.settings, found, what), prefix, f"{what}. {words}", sheet)


def _in_words(values: Sequence[float]) -> str:
    summary = summarize(values)
    if summary.mean is None:
        return "none yet"
    spread = "" if summary.std is None else f", standard deviation {summary.std:.2f}"
    return f"mean {summary.mean:.2f}{spread} (n = {summary.n})"


def _draw(settings: Sequence[str], found: Mapping[str, Sequence[float]], what: str) -> Figure:
    figure = Figure(figsize=(1.6 + 1.1 * len(settings), 3.1), layout="constrained")
    axes = figure.add_subplot()
    low, high = _limits(found.values())
    for at, (setting, (colour, marker)) in enumerate(setting_colours(settings).items()):
        values = found[setting]
        summary = summarize(values)
        if summary.mean is None:
            continue
        axes.bar(at, summary.mean - low, bottom=low, width=0.62, color=colour, alpha=0.35, linewidth=0)
        if summary.std is not None:
            axes.errorbar(at, summary.mean, yerr=summary.std, color=INK, linewidth=1.2, capsize=4)
        places = at + (np.linspace(-0.2, 0.2, len(values)) if len(values) > 1 else np.zeros(1))
        axes.plot(places, values, linestyle="none", marker=marker, markersize=5, color=colour, markeredgewidth=0)
    axes.set_ylim(low, high)
    axes.set_xlim(-0.6, len(settings) - 0.4)
    axes.set_xticks(range(len(settings)), [plain(setting, 20) for setting in settings])
    for tick in axes.get_xticklabels():
        tick.set_parse_math(False)
    axes.grid(visible=False, axis="x")
    axes.set_ylabel(f"{what}, %")
    return figure


def _limits(groups: Iterable[Sequence[float]]) -> tuple[float, float]:
    """From below the lowest whisker and seed to above the highest, so that small differences show; never below 0."""
    ends: list[float] = []
    for values in groups:
        summary = summarize(values)
        if summary.mean is not None:
            spread = summary.std or 0.0
            ends += [summary.mean - spread, summary.mean + spread, *values]
    margin = max((max(ends) - min(ends)) * 0.12, 0.25)
    return max(0.0, min(ends) - margin), max(ends) + margin
