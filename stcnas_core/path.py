"""Paths: which operations of a supernet run, and with which weights."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stcnas_core.genotype import Edge, Genotype
from stcnas_core.topology import Topology

Choice = tuple[int, int]
"""An operation on an edge: (index of the edge, index of the operation)."""
Choices = tuple[tuple[Choice, ...], ...]
"""For each cell kind the operations that are chosen, in ascending order of edge."""


@dataclass(frozen=True)
class Path:
    """The operations that run, and the weights that scale their outputs.

    `weights` is (T, E, K), cell kinds x edges x operations, or None for plain outputs, as in the derived network.
    """

    chosen: Choices
    weights: Tensor | None = None


def select(topology: Topology, scores: NDArray[np.floating], *, allow_none: bool = False) -> Choices:
    """Discretise: per edge the operation of the highest score, per node the `kept` edges of the highest such score.

    The rule of sampling (with perturbed scores) and of derivation alike, so that what is searched is what is derived.
    `scores` is (T, E, K). Ties go to the lowest index. What an edge cannot have is passed over, as is NAS-Bench-201's
    `none` unless `allow_none`.
    """
    scores = possible(topology, scores, allow_none=allow_none)
    best = scores.argmax(axis=2)
    value = scores.max(axis=2)
    chosen: list[tuple[Choice, ...]] = []
    for kind in range(len(topology.kinds)):
        kept: list[Choice] = []
        for edges in topology.edges_by_node:
            ranked = sorted(edges, key=lambda edge: -value[kind, edge])[: topology.kept]
            kept.extend((edge, int(best[kind, edge])) for edge in sorted(ranked))
        chosen.append(tuple(kept))
    return tuple(chosen)


def best_operations(topology: Topology, scores: NDArray[np.floating], *, allow_none: bool = False) -> Choices:
    """The operation of the highest score (T, E, K) on each of all edges; ties and `none` as in `select`."""
    best = possible(topology, scores, allow_none=allow_none).argmax(axis=2)
    return tuple(tuple(enumerate(map(int, row))) for row in best)


def possible(topology: Topology, scores: NDArray[np.floating], *, allow_none: bool) -> NDArray[np.floating]:
    """Scores (T, E, K) with -inf for what may not be chosen: what an edge cannot have, and `none` unless allowed."""
    without_none = "none" in topology.operations and not allow_none
    if not (without_none or topology.barred):
        return scores
    scores = scores.copy()
    if without_none:
        scores[:, :, topology.operations.index("none")] = -np.inf
    for edge, operation in topology.barred:
        scores[:, edge, operation] = -np.inf
    return scores


def everything(topology: Topology) -> Choices:
    """Every operation that each edge may have, as a supernet without sampling runs them."""
    cell = tuple((edge, k) for edge in range(len(topology.edges)) for k in topology.possible(edge))
    return (cell,) * len(topology.kinds)


def indicator(choices: Choices, shape: tuple[int, ...]) -> Tensor:
    """One for each operation that is chosen, else zero: (T, E, K) float32 on the CPU."""
    marked = torch.zeros(shape)
    for kind, chosen in enumerate(choices):
        for edge, operation in chosen:
            marked[kind, edge, operation] = 1.0
    return marked


def to_genotype(topology: Topology, chosen: Choices) -> Genotype:
    """The genotype of a discrete choice (one operation per kept edge)."""
    cells = tuple(
        tuple(Edge(*topology.edges[edge], topology.operations[operation]) for edge, operation in cell)
        for cell in chosen
    )
    return Genotype(topology.name, cells)


def from_genotype(genotype: Genotype) -> Choices:
    """The choice that a genotype stands for."""
    topology = genotype.topology
    index = {edge: position for position, edge in enumerate(topology.edges)}
    return tuple(
        tuple((index[edge.node, edge.source], topology.operations.index(edge.operation)) for edge in sorted(cell))
        for cell in genotype.cells
    )
