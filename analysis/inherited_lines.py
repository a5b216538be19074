"""How well inherited weights rank cells, as lines over the epochs of the search."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from analysis.alpha_lines import integer_epochs
from analysis.inherited import ranked
from analysis.results import Results
from analysis.statistics import summarize
from analysis.style import MUTED, setting_colours
from analysis.svg import Drawing, Sheet, draw

Lines = Mapping[str, Mapping[int, Mapping[int, float]]]
"""Tau by setting, epoch (from 1) and seed."""


def draw_inherited(results: Results, prefix: str, sheet: Sheet) -> Drawing | None:
    """Kendall's tau-b over the epochs by setting, with the interval of its mean; None where nothing is ranked."""
    lines: dict[str, dict[int, dict[int, float]]] = {}
    for found in ranked(results):
        tau = found.agreement.tau.value
        if tau is not None:
            lines.setdefault(found.run.setting, {}).setdefault(found.epoch + 1, {})[found.run.seed] = tau
    if not lines:
        return None
    words = "; ".join(f"{setting}: {_in_words(by_epoch)}" for setting, by_epoch in lines.items())
    label = f"Kendall's tau-b of inherited with true accuracy. {words}"
    return draw(lambda: _draw(results.settings, lines), prefix, label, sheet)


def _in_words(by_epoch: Mapping[int, Mapping[int, float]]) -> str:
    return ", ".join(
        f"epoch {epoch} {sum(found.values()) / len(found):.2f} (n = {len(found)})"
        for epoch, found in sorted(by_epoch.items())
    )


def _draw(settings: Sequence[str], lines: Lines) -> Figure:
    figure = Figure(figsize=(5.6, 3.0), layout="constrained")
    axes = figure.add_subplot()
    colours = setting_colours(settings)
    for setting, by_epoch in lines.items():
        colour, marker = colours[setting]
        epochs = sorted(by_epoch)
        for seed in sorted({seed for found in by_epoch.values() for seed in found}):
            known = [epoch for epoch in epochs if seed in by_epoch[epoch]]
            axes.plot(known, [by_epoch[epoch][seed] for epoch in known], color=colour, linewidth=0.8, alpha=0.4)
        summaries = [summarize(by_epoch[epoch].values()) for epoch in epochs]
        for epoch, summary in zip(epochs, summaries, strict=True):
            if summary.interval is not None:
                ends = [summary.interval.low, summary.interval.high]
                axes.plot([epoch, epoch], ends, color=colour, linewidth=5, alpha=0.22, solid_capstyle="butt")
        means = [summary.mean for summary in summaries]
        axes.plot(epochs, means, color=colour, linewidth=2.0, marker=marker, markersize=5, markeredgewidth=0)  # type: ignore[arg-type]
    axes.axhline(0, color=MUTED, linewidth=0.8, linestyle=(0, (4, 3)), zorder=1)
    axes.set_xlabel("epoch")
    axes.set_ylabel("Kendall τ-b")
    axes.grid(visible=False, axis="x")
    integer_epochs(axes, max(epoch for by_epoch in lines.values() for epoch in by_epoch))
    return figure
