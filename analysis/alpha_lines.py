"""Architecture parameters as lines over the epochs, and the epoch axis that all curves share."""

import math

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from analysis.cells import title
from analysis.heatmaps import value_range
from analysis.style import GRID, operation_colour
from analysis.svg import Drawing, Sheet, draw
from stcnas_core.genotype import Genotype

_LINE_POINTS = 20


def draw_alpha_lines(alphas: pd.DataFrame, genotype: Genotype, prefix: str, label: str, sheet: Sheet) -> Drawing:
    """Every alpha of one trial over the epochs, a panel a cell kind; the kept entries in their operation's colour."""
    return draw(lambda: _alpha_lines(alphas, genotype), prefix, f"{label}: alpha over the epochs", sheet)


def _alpha_lines(alphas: pd.DataFrame, genotype: Genotype) -> Figure:
    kinds = genotype.topology.kinds
    figure = Figure(figsize=(4.1 * len(kinds), 2.35))
    panels = figure.subplots(1, len(kinds), squeeze=False, sharey=True)[0]
    figure.subplots_adjust(left=0.12 / len(kinds), right=0.99, bottom=0.17, top=0.89, wspace=0.06)
    for axes, kind in zip(panels, kinds, strict=True):
        kept = {(edge.node, edge.source, edge.operation) for edge in genotype.cell(kind)}
        rows = alphas[alphas["cell"] == kind]
        table = rows.pivot_table(index="epoch", columns=["node", "source", "operation"], values="alpha")
        # A hundred lines of many points would be most of the page; the eye needs no more than these.
        table = table.iloc[np.unique(np.linspace(0, len(table) - 1, min(len(table), _LINE_POINTS)).round().astype(int))]
        epochs = table.index.to_numpy() + 1
        lines = {
            (int(column[0]), int(column[1]), str(column[2])): np.column_stack([epochs, table[column].to_numpy()])
            for column in table.columns
        }
        others = [points for entry, points in lines.items() if entry not in kept]
        axes.add_collection(LineCollection(others, colors=GRID, linewidths=0.8, zorder=2, clip_on=False))
        for entry, points in lines.items():
            if entry in kept:
                colour = operation_colour(entry[2])
                single = {"marker": "o", "markersize": 3} if len(points) == 1 else {}
                axes.plot(points[:, 0], points[:, 1], color=colour, linewidth=1.5, zorder=3, clip_on=False, **single)
        low, high = value_range(alphas)
        axes.set_ylim(low - 0.04 * (high - low or 1), high + 0.04 * (high - low or 1))
        axes.set_title(title(kind))
        axes.set_xlabel("epoch")
        axes.grid(visible=False, axis="x")
        integer_epochs(axes, int(epochs.max()) if len(epochs) else 1)
    panels[0].set_ylabel("alpha")
    return figure


def integer_epochs(axes: Axes, last: int) -> None:
    """Ticks at whole epochs, counted from 1, at most seven of them."""
    step = next((step for step in (1, 2, 5, 10, 20, 25, 50, 100) if last <= 6 * step), math.ceil(last / 6))
    ticks = [1, *(tick for tick in range(step, last + 1, step) if tick - 1 > step / 2)]
    axes.set_xticks(ticks)
    axes.set_xlim(1 - 0.03 * max(last - 1, 1), last + 0.03 * max(last - 1, 1))
