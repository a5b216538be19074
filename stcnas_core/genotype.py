"""Genotypes: derived cells as the field exchanges them, read strictly and never evaluated.

Read and written are the DARTS tuple text `Genotype(normal=[('sep_conv_3x3', 0), ...], ...)`, the NAS-Bench-201 string
`|nor_conv_3x3~0|+|...|`, the layers of a layer-wise network in their order `Layers(mbconv_3x3_e6, skip_connect, ...)`,
and JSON for all three spaces.
"""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from stcnas_core.errors import InputError
from stcnas_core.topology import (
    DARTS,
    LAYERWISE,
    MOST_BLOCKS,
    NASBENCH201,
    SPACES,
    TOPOLOGIES,
    Topology,
    blocks_of,
    layerwise,
    topology_of,
)

_LONGEST = 10_000


class GenotypeError(InputError):
    """A text that is no genotype, or one that does not fit its search space."""


@dataclass(frozen=True, order=True)
class Edge:
    """One kept edge of a cell: the operation from node `source` into node `node`."""

    node: int
    source: int
    operation: str


@dataclass(frozen=True, eq=False)
class Genotype:
    """A derived architecture: for each cell kind of its space the kept edges.

    `cells` holds one tuple of edges per kind of the space's topology, grouped by node. The order of a node's edges is
    kept for writing and ignored in comparisons: genotypes that build the same network are equal and hash alike.
    Raises GenotypeError where the edges do not fit the space.
    """

    space: str
    cells: tuple[tuple[Edge, ...], ...]

    def __post_init__(self) -> None:
        topology = self.topology
        if len(self.cells) != len(topology.kinds):
            raise GenotypeError(f"{self.space}: expected the cells {', '.join(topology.kinds)}, got {len(self.cells)}")
        for kind, edges in zip(topology.kinds, self.cells, strict=True):
            _check_cell(topology, kind, edges)

    @property
    def topology(self) -> Topology:
        """The graph of this genotype's space; raises GenotypeError for a space, or a size, that does not exist."""
        if not isinstance(self.space, str) or self.space not in SPACES:
            raise GenotypeError(f"unknown search space {self.space!r}; known: {', '.join(SPACES)}")
        if self.space != LAYERWISE:
            return TOPOLOGIES[self.space]
        layers = len(self.cells[0]) if self.cells else 0
        blocks = blocks_of(layers)
        if blocks is None:
            raise GenotypeError(
                f"{LAYERWISE}: a network has 5 N + 1 layers, N from 1 to {MOST_BLOCKS} for each stage, not {layers}"
            )
        return layerwise(blocks)

    def cell(self, kind: str) -> tuple[Edge, ...]:
        """The edges of one cell kind, by node and then by source."""
        return self._canonical[self.topology.kinds.index(kind)]

    @cached_property
    def _canonical(self) -> tuple[tuple[Edge, ...], ...]:
        return tuple(tuple(sorted(edges)) for edges in self.cells)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Genotype):
            return NotImplemented
        return self.space == other.space and self._canonical == other._canonical

    def __hash__(self) -> int:
        return hash((self.space, self._canonical))

    @classmethod
    def parse(cls, text: str) -> "Genotype":
        """Read any of the forms; raises GenotypeError with the place and what was expected there."""
        if not isinstance(text, str):
            raise GenotypeError(f"a genotype is text, not {type(text).__name__}")
        if len(text) > _LONGEST:
            raise GenotypeError(f"a genotype of {len(text):,} characters; the longest read is {_LONGEST:,}")
        stripped = text.strip()
        if stripped.startswith("|"):
            return _parse_nasbench201(stripped)
        if stripped.startswith("{"):
            return _parse_json(stripped)
        if stripped.startswith("Genotype"):
            return _parse_darts(stripped)
        if stripped.startswith("Layers"):
            return _parse_layers(stripped)
        raise GenotypeError(
            f"{stripped[:60]!r} is no genotype: it must begin with 'Genotype(' (DARTS), '|' (NAS-Bench-201), "
            "'Layers(' (layer-wise) or '{' (JSON)"
        )

    def to_text(self) -> str:
        """The space's own text, in the form that the field exchanges where it has one; a node's edges as given."""
        return _write(self.topology, self.cells)

    def canonical_text(self) -> str:
        """Like `to_text` with each node's edges in order of source: one text for equal genotypes."""
        return _write(self.topology, self._canonical)

    def to_json(self) -> str:
        """JSON: `{"space": ..., "<kind>": [[operation, source, node], ...], ...}`."""
        cells = {
            kind: [[edge.operation, edge.source, edge.node] for edge in edges]
            for kind, edges in zip(self.topology.kinds, self.cells, strict=True)
        }
        return json.dumps({"space": self.space, **cells})

    def count(self, operation: str) -> dict[str, int]:
        """How many edges of each cell kind carry `operation` (Fig. 8 counts `skip_connect`)."""
        return {kind: sum(edge.operation == operation for edge in self.cell(kind)) for kind in self.topology.kinds}

    @property
    def skip_connects(self) -> int:
        """Skip connections of the normal cell, or of the whole network where there are no cells (Fig. 8)."""
        return self.count("skip_connect")[self.topology.kinds[0]]


def filled(topology: Topology, operation: str) -> Genotype:
    """The genotype that has one operation throughout, on the first edges of each node where not all are kept."""
    kept = [edge for edges in topology.edges_by_node for edge in edges[: topology.kept]]
    cell = tuple(Edge(*topology.edges[edge], operation) for edge in kept)
    return Genotype(topology.name, (cell,) * len(topology.kinds))


def _check_cell(topology: Topology, kind: str, edges: tuple[Edge, ...]) -> None:
    where = f"{topology.name}, {kind} cell"
    for edge in edges:
        if edge.operation not in topology.operations:
            raise GenotypeError(
                f"{where}: unknown operation {edge.operation!r}; known: {', '.join(topology.operations)}"
            )
        if (edge.node, edge.source) not in topology.edges:
            raise GenotypeError(f"{where}: no edge leads from node {edge.source} to node {edge.node}")
        index = topology.edges.index((edge.node, edge.source))
        if (index, topology.operations.index(edge.operation)) in topology.barred:
            raise GenotypeError(f"{where}: layer {edge.node} is the first of its stage, it cannot be {edge.operation}")
    nodes = [edge.node for edge in edges]
    if nodes != sorted(nodes):
        raise GenotypeError(f"{where}: edges must be grouped by node, in ascending order")
    for node, incoming in enumerate(topology.edges_by_node, start=topology.inputs):
        sources = [edge.source for edge in edges if edge.node == node]
        expected = len(incoming) if topology.kept is None else topology.kept
        if len(sources) != expected:
            raise GenotypeError(f"{where}: node {node} must have {expected} incoming edges, not {len(sources)}")
        if len(set(sources)) != len(sources):
            raise GenotypeError(f"{where}: node {node} takes the same input twice")


def _write(topology: Topology, cells: tuple[tuple[Edge, ...], ...]) -> str:
    if topology is NASBENCH201:
        nodes = range(topology.inputs, topology.inputs + topology.nodes)
        return "+".join(
            "|" + "".join(f"{e.operation}~{e.source}|" for e in sorted(cells[0]) if e.node == node) for node in nodes
        )
    if topology.chained:
        return f"Layers({', '.join(edge.operation for edge in cells[0])})"
    concat = range(topology.inputs, topology.inputs + topology.nodes)
    fields = (
        f"{kind}={[(edge.operation, edge.source) for edge in edges]!r}, {kind}_concat={concat!r}"
        for kind, edges in zip(topology.kinds, cells, strict=True)
    )
    return f"Genotype({', '.join(fields)})"


def _parse_nasbench201(text: str) -> Genotype:
    groups = text.split("+")
    edges: list[Edge] = []
    for node, group in enumerate(groups, start=1):
        if not re.fullmatch(r"\|(?:[a-z0-9_]+~[0-9]\|)+", group):
            raise GenotypeError(
                f"NAS-Bench-201 string, node {node}: expected '|operation~source|...', got {group[:60]!r}"
            )
        for item in group.strip("|").split("|"):
            operation, source = item.split("~")
            edges.append(Edge(node, int(source), operation))
    if len(groups) != NASBENCH201.nodes:
        raise GenotypeError(
            f"NAS-Bench-201 string: expected {NASBENCH201.nodes} nodes joined by '+', got {len(groups)}"
        )
    return Genotype(NASBENCH201.name, (tuple(edges),))


def _parse_layers(text: str) -> Genotype:
    inside = re.fullmatch(r"Layers\s*\((.*)\)", text, re.ASCII | re.DOTALL)
    if inside is None:
        raise GenotypeError(f"layer-wise genotype: expected 'Layers(' and ')' at the end, got {text[-30:]!r}")
    layers: list[Edge] = []
    for node, item in enumerate(inside[1].split(","), start=1):
        operation = item.strip()
        if not re.fullmatch(r"[a-z0-9_]{1,40}", operation):
            raise GenotypeError(f"layer-wise genotype, layer {node}: expected an operation, got {item[:60]!r}")
        layers.append(Edge(node, node - 1, operation))
    return Genotype(LAYERWISE, (tuple(layers),))


def _parse_json(text: str) -> Genotype:
    try:
        data = json.loads(text, object_pairs_hook=_no_duplicates)
    except (ValueError, RecursionError) as error:
        raise GenotypeError(f"JSON genotype: {error}") from None
    space = data.pop("space", None)
    if not isinstance(space, str) or space not in SPACES:
        raise GenotypeError(f"JSON genotype: 'space' must be one of {', '.join(SPACES)}, not {str(space)[:60]!r}")
    kinds = topology_of(space, 1).kinds
    if set(data) != set(kinds):
        raise GenotypeError(
            f"JSON genotype: expected the keys space, {', '.join(kinds)}; got {', '.join(map(str, data))[:100]}"
        )
    return Genotype(space, tuple(_edges_from_json(kind, data[kind]) for kind in kinds))


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    keys = [key for key, _ in pairs]
    if len(set(keys)) != len(keys):
        raise GenotypeError(f"JSON genotype: a key occurs twice among {', '.join(keys)[:100]}")
    return dict(pairs)


def _edges_from_json(kind: str, items: Any) -> tuple[Edge, ...]:
    if not isinstance(items, list):
        raise GenotypeError(f"JSON genotype, {kind}: expected a list of [operation, source, node]")
    edges: list[Edge] = []
    for item in items:
        match item:
            case [str(operation), int(source), int(node)] if not isinstance(source, bool) and not isinstance(
                node, bool
            ):
                edges.append(Edge(node, source, operation))
            case _:
                raise GenotypeError(f"JSON genotype, {kind}: expected [operation, source, node], got {str(item)[:60]}")
    return tuple(edges)


class _Scanner:
    """Consumes the DARTS text from left to right and names the column where it stops making sense."""

    def __init__(self, text: str) -> None:
        self.text, self.at = text, 0

    def take(self, pattern: str, expected: str) -> re.Match[str]:
        match = re.compile(rf"\s*{pattern}", re.ASCII).match(self.text, self.at)
        if match is None:
            found = self.text[self.at : self.at + 30]
            raise GenotypeError(f"DARTS genotype, column {self.at + 1}: expected {expected}, found {found!r}")
        self.at = match.end()
        return match

    def peek(self, pattern: str) -> bool:
        return re.compile(rf"\s*{pattern}", re.ASCII).match(self.text, self.at) is not None


def _parse_darts(text: str) -> Genotype:
    scanner = _Scanner(text)
    scanner.take(r"Genotype\s*\(", "'Genotype('")
    cells: list[tuple[Edge, ...]] = []
    for position, kind in enumerate(DARTS.kinds):
        if position:
            scanner.take(",", "','")
        scanner.take(rf"{kind}\s*=", f"'{kind}='")
        cells.append(tuple(_read_pairs(scanner, kind)))
        scanner.take(",", "','")
        scanner.take(rf"{kind}_concat\s*=", f"'{kind}_concat='")
        _read_concat(scanner, kind)
    if scanner.peek(","):
        scanner.take(",", "','")
    scanner.take(r"\)\s*\Z", "')' and the end")
    return Genotype(DARTS.name, tuple(cells))


def _read_pairs(scanner: _Scanner, kind: str) -> Iterable[Edge]:
    kept = DARTS.kept or 0
    scanner.take(r"\[", "'['")
    for position in range(DARTS.nodes * kept):
        if position:
            scanner.take(",", f"',' and {DARTS.nodes * kept} pairs in the {kind} cell")
        match = scanner.take(
            r"\(\s*(['\"])(\w{1,40})\1\s*,\s*(\d{1,3})\s*,?\s*\)", "a pair such as ('sep_conv_3x3', 0)"
        )
        yield Edge(DARTS.inputs + position // kept, int(match[3]), match[2])
    if scanner.peek(","):
        scanner.take(",", "','")
    scanner.take(r"\]", f"']' after {DARTS.nodes * kept} pairs in the {kind} cell")


def _read_concat(scanner: _Scanner, kind: str) -> None:
    match = scanner.take(
        r"(?:range\(\s*(\d{1,3})\s*,\s*(\d{1,3})\s*\)|(?:\[|\()\s*(\d{1,3}(?:\s*,\s*\d{1,3})*)\s*,?\s*(?:\]|\)))",
        f"{kind}_concat as range(2, 6) or [2, 3, 4, 5]",
    )
    concat = list(range(int(match[1]), int(match[2]))) if match[1] else [int(item) for item in match[3].split(",")]
    expected = list(range(DARTS.inputs, DARTS.inputs + DARTS.nodes))
    if sorted(concat) != expected:
        raise GenotypeError(f"DARTS genotype: {kind}_concat must be the nodes {expected}, got {concat[:10]}")
