"""Architecture parameters as operation x edge heat maps (the paper's Figs. 3 and 9)."""

import math
from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from analysis.style import GRID, HEAT, INK, MUTED, operation_colour
from analysis.svg import Drawing, Sheet, canvas, draw, place
from stcnas_core.genotype import Genotype
from stcnas_core.topology import DARTS, Topology

_CELL_WIDTH, _CELL_HEIGHT = 33.0, 21.0
_LEFT, _TOP, _BOTTOM, _RIGHT = 84.0, 6.0, 36.0, 6.0


def draw_heat_map(
    alphas: pd.DataFrame, genotype: Genotype, kind: str, idle: frozenset[str], prefix: str, label: str, sheet: Sheet
) -> Drawing:
    """One epoch's alphas of one cell kind: a column an edge, a row an operation, kept entries framed.

    `alphas` holds the rows of one trial, epoch and cell kind; operations in `idle` could not be chosen, and stay
    unshaded.
    """
    values = {
        (int(node), int(source), str(operation)): float(alpha)
        for node, source, operation, alpha in zip(
            alphas["node"], alphas["source"], alphas["operation"], alphas["alpha"], strict=True
        )
    }
    kept = {(edge.node, edge.source, edge.operation) for edge in genotype.cell(kind)}
    span = value_range(alphas[~alphas["operation"].isin(idle)])
    words = f"{label}: alpha from {span[0]:.2f} to {span[1]:.2f}, kept entries framed"
    return draw(lambda: _heat_map(values, kept, genotype.topology, span, idle), prefix, words, sheet)


def value_range(alphas: pd.DataFrame) -> tuple[float, float]:
    """Smallest and largest finite alpha; both 0 where there is none."""
    found = [float(value) for value in alphas["alpha"] if math.isfinite(value)]
    return (min(found), max(found)) if found else (0.0, 0.0)


def node_name(topology: Topology, node: int) -> str:
    """A node as the cells' drawings name it: k−2, k−1 for a cell's inputs, then numbers."""
    if topology is DARTS:
        return ("k−2", "k−1")[node] if node < topology.inputs else str(node - topology.inputs)
    if topology.chained:
        return "in" if node == 0 else str(node)
    if node == 0:
        return "k−1"
    return "k" if node == topology.nodes else str(node)


def _heat_map(
    values: dict[tuple[int, int, str], float],
    kept: set[tuple[int, int, str]],
    topology: Topology,
    span: tuple[float, float],
    idle: frozenset[str],
) -> Figure:
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
            _entry(axes, left, top, value, None if operation in idle else span)
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


def _entry(axes: Axes, left: float, top: float, value: float | None, span: tuple[float, float] | None) -> None:
    low, high = span or (0.0, 0.0)
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
        color=INK if span else MUTED,
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
