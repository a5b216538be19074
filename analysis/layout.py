"""Layered layout of a cell's graph, left to right, with a place of its own for every edge label.

Nodes stand on even layers by their longest path from the inputs. An edge passes every layer between its ends through
a bend point of its own; its label is the bend point on one odd layer. Labels, bends and nodes of a layer never share
a place, so labels cannot overlap, and an edge never runs through a node. Orders minimise crossings (barycentre and
transposition, deterministic); heights minimise the squared rise of all segments by exact isotonic projection.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import isotonic_regression

NODE, LABEL, BEND = "node", "label", "bend"
_ROOM = {NODE: 1.0, LABEL: 0.8, BEND: 0.5}
"""Half of two neighbours' rooms, summed, is the least distance between them, in rows."""


@dataclass(frozen=True)
class Place:
    """A point of the layout: `layer` counts from 0, `row` is continuous and grows downward."""

    layer: int
    row: float
    kind: str


@dataclass(frozen=True)
class Route:
    """The places that an edge passes, from its source to its target; `label` indexes the one that holds its label."""

    source: str
    target: str
    places: tuple[Place, ...]
    label: int | None


@dataclass(frozen=True)
class Layout:
    """Places of nodes and routes of edges; rows start at 0."""

    nodes: Mapping[str, Place]
    routes: tuple[Route, ...]
    layers: int
    rows: float


def layered(nodes: Sequence[str], edges: Sequence[tuple[str, str, bool]]) -> Layout:
    """Lay out a graph whose nodes are in topological order; an edge is (source, target, has a label)."""
    rank = _ranks(nodes, edges)
    items = [(2 * rank[node], NODE) for node in nodes]
    index = {node: position for position, node in enumerate(nodes)}
    chains, labels = _chains(index, edges, rank, items)
    layers = [[i for i, (layer, _) in enumerate(items) if layer == at] for at in range(max(rank.values()) * 2 + 1)]
    segments = [pair for chain in chains for pair in itertools.pairwise(chain)]
    layers = _order(layers, segments)
    rows = _rows(layers, segments, items)
    rows -= min(rows)
    places = [Place(layer, float(rows[i]), kind) for i, (layer, kind) in enumerate(items)]
    return Layout(
        nodes={node: places[index[node]] for node in nodes},
        routes=tuple(
            Route(source, target, tuple(places[i] for i in chain), label)
            for (source, target, _), chain, label in zip(edges, chains, labels, strict=True)
        ),
        layers=len(layers),
        rows=float(max(rows)),
    )


def _ranks(nodes: Sequence[str], edges: Sequence[tuple[str, str, bool]]) -> dict[str, int]:
    rank = dict.fromkeys(nodes, 0)
    for node in nodes:
        rank[node] = max((rank[source] + 1 for source, target, _ in edges if target == node), default=0)
    return rank


def _chains(
    index: Mapping[str, int],
    edges: Sequence[tuple[str, str, bool]],
    rank: Mapping[str, int],
    items: list[tuple[int, str]],
) -> tuple[list[list[int]], list[int | None]]:
    """Items (appended to `items`) that each edge passes, and which of them is its label."""
    crowd: dict[int, int] = {}
    chains: list[list[int]] = [[] for _ in edges]
    labels: list[int | None] = [None] * len(edges)
    # Short edges have no choice of layer for their label, so they choose first.
    for which in sorted(range(len(edges)), key=lambda i: (rank[edges[i][1]] - rank[edges[i][0]], i)):
        source, target, labelled = edges[which]
        between = range(2 * rank[source] + 1, 2 * rank[target])
        at = min((layer for layer in between if layer % 2), key=lambda layer: (crowd.get(layer, 0), -layer))
        chain = [index[source]]
        for layer in between:
            is_label = labelled and layer == at
            if is_label:
                crowd[layer] = crowd.get(layer, 0) + 1
                labels[which] = len(chain)
            chain.append(len(items))
            items.append((layer, LABEL if is_label else BEND))
        chains[which] = [*chain, index[target]]
    return chains, labels


def _order(layers: list[list[int]], segments: Sequence[tuple[int, int]]) -> list[list[int]]:
    """The order within each layer with the fewest crossings that the sweeps come across."""
    before: dict[int, list[int]] = {}
    after: dict[int, list[int]] = {}
    for a, b in segments:
        after.setdefault(a, []).append(b)
        before.setdefault(b, []).append(a)
    best, fewest = layers, _crossings(layers, after)
    for start in (layers, [layer[::-1] for layer in layers]):
        current = [list(layer) for layer in start]
        for sweep in range(12):
            downward = sweep % 2 == 0
            near = before if downward else after
            position = {item: place for layer in current for place, item in enumerate(layer)}
            for layer in current if downward else current[::-1]:
                layer.sort(key=lambda item: _barycentre(item, near, position))
                position.update({item: place for place, item in enumerate(layer)})
            _transpose(current, (before, after))
            if (crossings := _crossings(current, after)) < fewest:
                best, fewest = [list(layer) for layer in current], crossings
    return best


def _barycentre(item: int, near: Mapping[int, list[int]], position: Mapping[int, int]) -> float:
    neighbours = near.get(item)
    return sum(position[i] for i in neighbours) / len(neighbours) if neighbours else position[item]


def _transpose(layers: list[list[int]], sides: Sequence[Mapping[int, list[int]]]) -> None:
    """Swap neighbours for as long as that removes crossings; `sides` are the items before and after each."""
    position = {item: place for layer in layers for place, item in enumerate(layer)}

    def crossings(upper: int, lower: int) -> int:
        """Of the two's segments with each other, which are all that their order decides."""
        return sum(
            position[a] > position[b] for near in sides for a in near.get(upper, ()) for b in near.get(lower, ())
        )

    improved = True
    while improved:
        improved = False
        for layer in layers:
            for i in range(len(layer) - 1):
                upper, lower = layer[i : i + 2]
                if crossings(lower, upper) < crossings(upper, lower):
                    layer[i], layer[i + 1] = lower, upper
                    position[upper], position[lower] = i + 1, i
                    improved = True


def _crossings(layers: Sequence[Sequence[int]], after: Mapping[int, list[int]]) -> int:
    total = 0
    for left, right in itertools.pairwise(layers):
        position = {item: place for place, item in enumerate(right)}
        ends = [sorted(position[item] for item in after.get(node, ()) if item in position) for node in left]
        flat = [end for group in ends for end in group]
        total += sum(a > b for i, a in enumerate(flat) for b in flat[i + 1 :])
    return total


def _rows(layers: list[list[int]], segments: Sequence[tuple[int, int]], items: Sequence[tuple[int, str]]) -> np.ndarray:
    """Heights: each layer in turn moves to where its neighbours pull it, as near as order and room allow."""
    pulls: dict[int, list[tuple[int, float]]] = {}
    for a, b in segments:
        # Bends of one edge pull hardest, so that a long edge runs straight.
        weight = (1.0, 2.0, 6.0)[(items[a][1] != NODE) + (items[b][1] != NODE)]
        pulls.setdefault(a, []).append((b, weight))
        pulls.setdefault(b, []).append((a, weight))
    rows = np.zeros(len(items))
    rooms = []
    for layer in layers:
        halves = [_ROOM[items[item][1]] / 2 for item in layer]
        room = np.concatenate([[0.0], np.cumsum([a + b for a, b in itertools.pairwise(halves)])])
        rooms.append(room)
        rows[layer] = room - room.mean()
    for sweep in range(80):
        order = range(len(layers)) if sweep % 2 == 0 else range(len(layers) - 1, -1, -1)
        for at in order:
            layer = layers[at]
            wanted = np.array([_pulled(item, pulls, rows) for item in layer])
            strength = np.array([sum(weight for _, weight in pulls.get(item, [])) or 0.1 for item in layer])
            rows[layer] = isotonic_regression(wanted - rooms[at], weights=strength).x + rooms[at]
    return rows


def _pulled(item: int, pulls: Mapping[int, list[tuple[int, float]]], rows: np.ndarray) -> float:
    around = pulls.get(item)
    if not around:
        return float(rows[item])
    return sum(rows[other] * weight for other, weight in around) / sum(weight for _, weight in around)
