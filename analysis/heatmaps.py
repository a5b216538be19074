"""Architecture parameters as operation x edge heat maps (the paper's Figs. 3 and 9) and as lines over the epochs."""

import math
from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from analysis.style import GRID, HEAT, INK, MUTED, SURFACE, operation_colour
from analysis.svg import Drawing, Sheet, draw
from stcnas_core.genotype import Genotype
from stcnas_core.topology import DARTS, Topology

_CELL_WIDTH, _CELL_HEIGHT = 33.0, 21.0
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
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    finite = [value for value in values.values() if math.isfinite(value)]
    low, high = (min(finite), max(finite)) if finite else (0.0, 0.0)
    for row, operation in enumerate(operations):
        top = _TOP + row * _CELL_HEIGHT
        axes.text(_LEFT - 6, top + _CELL_HEIGHT / 2, operation, ha="right", va="center", fontsize=8, color=INK)
        for (node, source), left in zip(edges, lefts, strict=True):
            value = values.get((node, source, operation))
            _entry(axes, left, top, value, (low, high))
    # Frames last, so that no neighbouring entry covers one.
    for node, source, operation in sorted(kept):
        left = lefts[edges.index((node, source))]
        top = _TOP + operations.index(operation) * _CELL_HEIGHT
        axes.add_patch(
            Rectangle((left, top), _CELL_WIDTH, _CELL_HEIGHT, facecolor="none", edgecolor=INK, linewidth=1.8, zorder=3)
        )
    _edge_names(axes, topology, lefts, _TOP + _CELL_HEIGHT * len(operations))
    return figure


def _entry(axes: Axes, left: float, top: float, value: float | None, span: tuple[float, float]) -> None:
    low, high = span
    known = value is not None and math.isfinite(value)
    share = (value - low) / (high - low) if known and value is not None and high > low else 0.0
    axes.add_patch(
        Rectangle(
            (left + 0.6, top + 0.6),
            _CELL_WIDTH - 1.2,
            _CELL_HEIGHT - 1.2,
            facecolor=HEAT,
            alpha=round(0.06 + 0.94 * share, 2),
            linewidth=0,
        )
    )
    text = (f"{value:.2f}" if abs(value or 0) < 100 else f"{value:.3g}") if known else "–"
    axes.text(
        left + _CELL_WIDTH / 2,
        top + _CELL_HEIGHT / 2 + 0.4,
        text.replace("-", "−"),
        ha="center",
        va="center",
        fontsize=7.4,
        color=SURFACE if share > 0.52 else INK,
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
    figure = Figure(figsize=(4.1 * len(kinds), 2.35), layout="constrained")
    panels = figure.subplots(1, len(kinds), squeeze=False, sharey=True)[0]
    for axes, kind in zip(panels, kinds, strict=True):
        kept = {(edge.node, edge.source, edge.operation) for edge in genotype.cell(kind)}
        rows = alphas[alphas["cell"] == kind]
        table = rows.pivot_table(index="epoch", columns=["node", "source", "operation"], values="alpha")
        epochs = table.index.to_numpy() + 1
        marker = "o" if len(epochs) == 1 else None
        for column in table.columns:
            node, source, operation = (int(column[0]), int(column[1]), str(column[2]))
            chosen = (node, source, operation) in kept
            axes.plot(
                epochs,
                table[column].to_numpy(),
                color=operation_colour(operation) if chosen else GRID,
                linewidth=1.5 if chosen else 0.8,
                zorder=3 if chosen else 2,
                marker=marker,
                markersize=3,
            )
        axes.set_title(kind)
        axes.set_xlabel("epoch")
        axes.grid(visible=False, axis="x")
        integer_epochs(axes, int(epochs.max()) if len(epochs) else 1)
    panels[0].set_ylabel("alpha")
    return figure


def integer_epochs(axes: Axes, last: int) -> None:
    """Ticks at whole epochs, counted from 1, at most seven of them."""
    step = max(1, math.ceil(last / 6))
    ticks = list(range(step, last + 1, step)) if step > 1 else list(range(1, last + 1))
    if step > 1 and ticks[0] != 1:
        ticks = [1, *ticks]
    axes.set_xticks(ticks)
    axes.set_xlim(1 - 0.03 * max(last - 1, 1), last + 0.03 * max(last - 1, 1))
