"""Architecture parameters as operation x edge heat maps (the paper's Figs. 3 and 9) and as lines over the epochs."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from analysis.style import GRID, HEAT, INK, MUTED, operation_colour
from analysis.svg import Drawing, Sheet, canvas, draw, place
from stcnas_core.genotype import Genotype
from stcnas_core.topology import DARTS, Topology

_CELL_WIDTH, _CELL_HEIGHT = 33.0, 21.0
_LINE_POINTS = 20
_LEFT, _TOP, _BOTTOM, _RIGHT = 84.0, 6.0, 36.0, 6.0


def draw_heat_map(
    alphas: pd.DataFrame, genotype: Genotype, kind: str, prefix: str, label: str, sheet: Sheet
) -> Drawing:
    """One epoch's alphas of one cell kind: a column an edge, a row an operation, kept entries framed.

    `alphas` holds the rows of one trial, epoch and cell kind.
    """
    values = {
        (int(node), int(source), str(operation)): float(alpha)
        for node, source, operation, alpha in zip(
            alphas["node"], alphas["source"], alphas["operation"], alphas["alpha"], strict=True
        )
    }
    kept = {(edge.node, edge.source, edge.operation) for edge in genotype.cell(kind)}
    low, high = value_range(alphas)
    words = f"{label}: alpha from {low:.2f} to {high:.2f}, kept entries framed"
    return draw(lambda: _heat_map(values, kept, genotype.topology), prefix, words, sheet)


def value_range(alphas: pd.DataFrame) -> tuple[float, float]:
    """Smallest and largest finite alpha; both 0 where there is none."""
    found = [float(value) for value in alphas["alpha"] if math.isfinite(value)]
    return (min(found), max(found)) if found else (0.0, 0.0)


def node_name(topology: Topology, node: int) -> str:
    """A node as the cells' drawings name it: k−2, k−1 for a cell's inputs, then numbers."""
    if topology is DARTS:
        return ("k−2", "k−1")[node] if node < topology.inputs else str(node - topology.inputs)
    if node == 0:
        return "k−1"
    return "k" if node == topology.nodes else str(node)


def _heat_map(values: dict[tuple[int, int, str], float], kept: set[tuple[int, int, str]], topology: Topology) -> Figure:
    edges, operations = topology.edges, topology.operations
    gaps = [group[0] for group in topology.edges_by_node]
    lefts: list[float] = []
    x = _LEFT
    for index in range(len(edges)):
        x += 5.0 if index in gaps[1:] else 0.0
        lefts.append(x)
        x += _CELL_WIDTH
    width, height = x + _RIGHT, _TOP + _CELL_HEIGHT * len(operations) + _BOTTOM
    figure = Figure(figsize=(width / 72, height / 72))
    axes = canvas(figure)
    finite = [value for value in values.values() if math.isfinite(value)]
    low, high = (min(finite), max(finite)) if finite else (0.0, 0.0)
    for row, operation in enumerate(operations):
        top = _TOP + row * _CELL_HEIGHT
        axes.text(
            _LEFT - 6,
            top + _CELL_HEIGHT / 2,
            operation,
            ha="right",
            va="center",
            fontsize=8,
            color=operation_colour(operation),
        )
        for (node, source), left in zip(edges, lefts, strict=True):
            value = values.get((node, source, operation))
            _entry(axes, left, top, value, (low, high))
    # Frames last, so that no neighbouring entry covers one.
    for node, source, operation in sorted(kept):
        left = lefts[edges.index((node, source))]
        top = _TOP + operations.index(operation) * _CELL_HEIGHT
        place(
            axes,
            Rectangle((left, top), _CELL_WIDTH, _CELL_HEIGHT, facecolor="none", edgecolor=INK, linewidth=1.8, zorder=3),
        )
    _edge_names(axes, topology, lefts, _TOP + _CELL_HEIGHT * len(operations))
    return figure


def _entry(axes: Axes, left: float, top: float, value: float | None, span: tuple[float, float]) -> None:
    low, high = span
    known = value is not None and math.isfinite(value)
    share = (value - low) / (high - low) if known and value is not None and high > low else 0.0
    place(
        axes,
        Rectangle(
            (left + 0.6, top + 0.6),
            _CELL_WIDTH - 1.2,
            _CELL_HEIGHT - 1.2,
            facecolor=HEAT,
            alpha=round(0.06 + 0.94 * share, 2),
            linewidth=0,
        ),
    )
    text = (f"{value:.2f}" if abs(value or 0) < 100 else f"{value:.3g}") if known else "–"
    axes.text(
        left + _CELL_WIDTH / 2,
        top + _CELL_HEIGHT / 2 + 0.4,
        text.replace("-", "−"),
        ha="center",
        va="center",
        fontsize=7.4,
        color=INK,
    )


def _edge_names(axes: Axes, topology: Topology, lefts: Sequence[float], bottom: float) -> None:
    """Two lines under the columns: each edge's source, and the node that a group of edges enters."""
    axes.text(_LEFT - 6, bottom + 9, "from", ha="right", va="center", fontsize=7.6, color=MUTED)
    axes.text(_LEFT - 6, bottom + 25, "into node", ha="right", va="center", fontsize=7.6, color=MUTED)
    for (_, source), left in zip(topology.edges, lefts, strict=True):
        name = node_name(topology, source)
        axes.text(left + _CELL_WIDTH / 2, bottom + 9, name, ha="center", va="center", fontsize=8)
    for group in topology.edges_by_node:
        start, end = lefts[group[0]], lefts[group[-1]] + _CELL_WIDTH
        name = node_name(topology, topology.edges[group[0]][0])
        axes.plot([start + 2, end - 2], [bottom + 17, bottom + 17], color=GRID, linewidth=1.2)
        axes.text((start + end) / 2, bottom + 25, name, ha="center", va="center", fontsize=8.5, weight="bold")


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
        axes.set_title(kind)
        axes.set_xlabel("epoch")
        axes.grid(visible=False, axis="x")
        integer_epochs(axes, int(epochs.max()) if len(epochs) else 1)
    panels[0].set_ylabel("alpha")
    return figure


def integer_epochs(axes: Axes, last: int) -> None:
    """Ticks at whole epochs, counted from 1, at most seven of them."""
    step = max(1, math.ceil(last / 6))
    ticks = [1, *(tick for tick in range(step, last + 1, step) if tick - 1 > step / 2)]
    axes.set_xticks(ticks)
    axes.set_xlim(1 - 0.03 * max(last - 1, 1), last + 0.03 * max(last - 1, 1))
