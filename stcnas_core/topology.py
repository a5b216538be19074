"""The graphs that a search space is made of: nodes, edges and candidate operations, without any tensor."""

from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True)
class Topology:
    """A cell's graph: `inputs` given nodes, then `nodes` computed ones, each fed by all of its predecessors.

    Node numbers follow the papers: in DARTS 0 and 1 are the two previous cells and 2..5 the intermediate nodes;
    in NAS-Bench-201 0 is the cell's input and 1..3 are computed. Edges are ordered by node, then by source.
    """

    name: str
    kinds: tuple[str, ...]
    """Cell kinds with architecture parameters of their own."""
    operations: tuple[str, ...]
    inputs: int
    nodes: int
    kept: int | None
    """Incoming edges that a derived cell keeps per node; None keeps every edge."""

    @cached_property
    def edges(self) -> tuple[tuple[int, int], ...]:
        """All (node, source) pairs, in the order of the rows of alpha."""
        return tuple((node, source) for node in range(self.inputs, self.inputs + self.nodes) for source in range(node))

    @cached_property
    def edges_by_node(self) -> tuple[tuple[int, ...], ...]:
        """Indices into `edges` of the edges that enter each computed node."""
        groups: list[tuple[int, ...]] = []
        start = 0
        for node in range(self.inputs, self.inputs + self.nodes):
            groups.append(tuple(range(start, start + node)))
            start += node
        return tuple(groups)


DARTS = Topology(
    name="darts",
    kinds=("normal", "reduce"),
    operations=(
        "max_pool_3x3",
        "avg_pool_3x3",
        "skip_connect",
        "sep_conv_3x3",
        "sep_conv_5x5",
        "dil_conv_3x3",
        "dil_conv_5x5",
    ),
    inputs=2,
    nodes=4,
    kept=2,
)
"""The DARTS cell space: 14 edges, 8 of them kept, in the operation order of the paper's Figs. 3 and 9."""

NASBENCH201 = Topology(
    name="nasbench201",
    kinds=("normal",),
    operations=("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3"),
    inputs=1,
    nodes=3,
    kept=None,
)
"""The NAS-Bench-201 cell space: 6 edges, all kept, 15,625 cells."""

TOPOLOGIES = {topology.name: topology for topology in (DARTS, NASBENCH201)}
