"""Derived cells drawn as graphs, in the form of the papers' figures: inputs on the left, the output on the right."""

import itertools
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.path import Path

from analysis.chain import chain_figure, describe_layers
from analysis.layout import LABEL, Layout, Place, Route, layered
from analysis.style import GRID, INK, MUTED, SURFACE, operation_colour
from analysis.svg import Drawing, Sheet, canvas, draw, place
from stcnas_core.genotype import Genotype
from stcnas_core.topology import DARTS

_NODE_WIDTH, _NODE_HEIGHT = 25.0, 21.0
_END_WIDTH = 38.0
_LABEL_WIDTH, _LABEL_HEIGHT = 74.0, 15.5
_GAP = 30.0
_ROW = 31.0
_MARGIN = 5.0


def draw_cell(genotype: Genotype, kind: str, sheet: Sheet) -> Drawing:
    """The graph of one cell kind, or the chain of a layer-wise network; operations have a name and a colour each.

    The drawing has no ids, so that a page may show it more than once.
    """
    words = f"{title(kind)}: {describe(genotype, kind)}"
    chained = genotype.topology.chained
    return draw(lambda: chain_figure(genotype) if chained else _figure(genotype, kind), "cell", words, sheet)


def describe(genotype: Genotype, kind: str) -> str:
    """The cell in words, for readers who cannot see the graph."""
    if genotype.topology.chained:
        return describe_layers(genotype)
    names = _names(genotype)
    edges = genotype.cell(kind)
    return "; ".join(f"{names[edge.node].title} takes {edge.operation} of {names[edge.source].title}" for edge in edges)


def title(kind: str) -> str:
    """What a drawing of one kind shows: the normal cell, or the whole network where layers are chosen one by one."""
    return "Network" if kind == "network" else f"{kind.capitalize()} cell"


class _Name:
    """How a node is written: `c` with a subscript for a cell's inputs and output, a plain number otherwise."""

    def __init__(self, text: str, subscript: str | None = None) -> None:
        self.text, self.subscript = text, subscript

    @property
    def title(self) -> str:
        return f"node {self.text}" if self.subscript is None else f"{self.text}_{{{self.subscript}}}"


def _names(genotype: Genotype) -> list[_Name]:
    """By node number; DARTS has its output, which no edge of a genotype names, behind the last node."""
    if genotype.topology is DARTS:
        inner = [_Name(str(node)) for node in range(genotype.topology.nodes)]
        return [_Name("c", "k−2"), _Name("c", "k−1"), *inner, _Name("c", "k")]
    inner = [_Name(str(node)) for node in range(1, genotype.topology.nodes)]
    return [_Name("c", "k−1"), *inner, _Name("c", "k")]


def _figure(genotype: Genotype, kind: str) -> Figure:
    edges = genotype.cell(kind)
    names = _names(genotype)
    nodes = [str(node) for node in range(len(names))]
    graph = [(str(edge.source), str(edge.node), True) for edge in edges]
    inner = range(genotype.topology.inputs, genotype.topology.inputs + genotype.topology.nodes)
    if genotype.topology is DARTS:
        graph += [(str(node), nodes[-1], False) for node in inner]
    layout = layered(nodes, graph)
    columns = _columns(layout)
    width = columns[-1] + _END_WIDTH / 2 + _MARGIN
    height = layout.rows * _ROW + _NODE_HEIGHT + 2 * _MARGIN
    figure = Figure(figsize=(width / 72, height / 72))
    axes = canvas(figure)
    at = _Canvas(layout, columns, set(nodes[: genotype.topology.inputs]) | {nodes[-1]})
    operations = [edge.operation for edge in edges]
    for route, operation in zip(layout.routes, [*operations, *[None] * (len(graph) - len(edges))], strict=True):
        _draw_edge(axes, at, route, operation)
    for route, operation in zip(layout.routes, operations, strict=False):
        _draw_label(axes, at, route, operation)
    for node, name in zip(nodes, names, strict=True):
        _draw_node(axes, at, node, layout.nodes[node], name)
    return figure


class _Canvas:
    """From places of the layout to points on the figure."""

    def __init__(self, layout: Layout, columns: Sequence[float], ends: set[str]) -> None:
        self.columns, self.ends = columns, ends
        self.widths = _widths(layout)

    def point(self, place: Place) -> tuple[float, float]:
        return self.columns[place.layer], place.row * _ROW + _NODE_HEIGHT / 2 + _MARGIN

    def half_width(self, node: str) -> float:
        return (_END_WIDTH if node in self.ends else _NODE_WIDTH) / 2

    def half_layer(self, layer: int) -> float:
        return self.widths[layer] / 2


def _widths(layout: Layout) -> list[float]:
    """Room of each layer: nodes and labels alternate; a layer without labels needs no room but its gaps'."""
    labelled = {place.layer for route in layout.routes for place in route.places if place.kind == LABEL}
    return [
        (_LABEL_WIDTH if layer in labelled else 0.0)
        if layer % 2
        else (_END_WIDTH if layer in (0, layout.layers - 1) else _NODE_WIDTH)
        for layer in range(layout.layers)
    ]


def _columns(layout: Layout) -> list[float]:
    """Centre of each layer."""
    widths = _widths(layout)
    columns = [_MARGIN + widths[0] / 2]
    for left, right in itertools.pairwise(widths):
        columns.append(columns[-1] + left / 2 + (_GAP if left and right else _GAP / 2) + right / 2)
    return columns


def _draw_edge(axes: Axes, at: _Canvas, route: Route, operation: str | None) -> None:
    """Level through every layer it passes, curved in the gaps between them: so it meets no label and no node there."""
    first, *passed, last = route.places
    x, y = at.point(first)
    vertices, codes = [(x + at.half_width(route.source), y)], [Path.MOVETO]
    stops = [(*at.point(place), half) for place in passed if (half := at.half_layer(place.layer))]
    stops.append((*at.point(last), at.half_width(route.target) + 1))
    for x, y, half in stops:
        x0, y0 = vertices[-1]
        x1, bend = x - half, (x - half - x0) / 2
        vertices += [(x0 + bend, y0), (x1 - bend, y), (x1, y)]
        codes += [Path.CURVE4] * 3
        if x < stops[-1][0]:
            vertices.append((x + half, y))
            codes.append(Path.LINETO)
    place(
        axes,
        FancyArrowPatch(
            path=Path(vertices, codes),
            arrowstyle="-|>,head_length=4.2,head_width=2.2",
            mutation_scale=1,
            color=MUTED if operation is None else operation_colour(operation),
            linewidth=1.0 if operation in (None, "none") else 1.7,
            linestyle=(0, (4, 3)) if operation == "none" else "solid",
            shrinkA=0,
            shrinkB=0,
            capstyle="butt",
        ),
    )


def _draw_label(axes: Axes, at: _Canvas, route: Route, operation: str) -> None:
    if route.label is None:
        return
    x, y = at.point(route.places[route.label])
    colour = operation_colour(operation)
    place(
        axes,
        FancyBboxPatch(
            (x - _LABEL_WIDTH / 2, y - _LABEL_HEIGHT / 2),
            _LABEL_WIDTH,
            _LABEL_HEIGHT,
            boxstyle="round,pad=0,rounding_size=4",
            facecolor=SURFACE,
            edgecolor=colour,
            linewidth=1.0,
            linestyle=(0, (4, 3)) if operation == "none" else "solid",
        ),
    )
    axes.text(
        x, y + 0.4, operation, ha="center", va="center", fontsize=8.2, color=MUTED if operation == "none" else INK
    )


def _draw_node(axes: Axes, at: _Canvas, node: str, spot: Place, name: _Name) -> None:
    x, y = at.point(spot)
    half = at.half_width(node)
    place(
        axes,
        FancyBboxPatch(
            (x - half, y - _NODE_HEIGHT / 2),
            2 * half,
            _NODE_HEIGHT,
            boxstyle="round,pad=0,rounding_size=6",
            facecolor=GRID,
            edgecolor=MUTED,
            linewidth=0.9,
        ),
    )
    if name.subscript is None:
        axes.text(x, y + 0.4, name.text, ha="center", va="center", fontsize=9.5, weight="bold")
        return
    shift = 1.5 + 2.1 * len(name.subscript)
    axes.text(x - shift, y, name.text, ha="center", va="center", fontsize=10.5, style="italic")
    axes.text(x - shift + 3.6, y + 4, name.subscript, ha="left", va="center", fontsize=7.5)
