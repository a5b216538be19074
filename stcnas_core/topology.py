"""The graphs that a search space is made of: nodes, edges and candidate operations, without any tensor."""

from dataclasses import dataclass
from functools import cache, cached_property


@dataclass(frozen=True)
class Topology:
    """A graph: `inputs` given nodes, then `nodes` computed ones, each fed by all of its predecessors or by the last.

    Node numbers follow the papers: in DARTS 0 and 1 are the two previous cells and 2..5 the intermediate nodes;
    in NAS-Bench-201 0 is the cell's input and 1..3 are computed; in a chain of layers 0 is what enters the first of
    them and i what layer i returns. Edges are ordered by node, then by source.
    """

    name: str
    kinds: tuple[str, ...]
    """Cell kinds with architecture parameters of their own."""
    operations: tuple[str, ...]
    inputs: int
    nodes: int
    kept: int | None
    """Incoming edges that a derived cell keeps per node; None keeps every edge."""
    chained: bool = False
    """Whether a node is fed by the node before it alone, as layers are, and not by all before it."""
    barred: frozenset[tuple[int, int]] = frozenset()
    """What no network can have: pairs of an edge and an operation, by their indices."""

    @cached_property
    def edges(self) -> tuple[tuple[int, int], ...]:
        """All (node, source) pairs, in the order of the rows of alpha."""
        computed = range(self.inputs, self.inputs + self.nodes)
        return tuple((node, source) for node in computed for source in range(node - 1 if self.chained else 0, node))

    @cached_property
    def edges_by_node(self) -> tuple[tuple[int, ...], ...]:
        """Indices into `edges` of the edges that enter each computed node."""
        groups: list[list[int]] = [[] for _ in range(self.nodes)]
        for index, (node, _) in enumerate(self.edges):
            groups[node - self.inputs].append(index)
        return tuple(map(tuple, groups))

    def possible(self, edge: int) -> tuple[int, ...]:
        """Indices of the operations that an edge may have."""
        return tuple(k for k in range(len(self.operations)) if (edge, k) not in self.barred)


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
"""The cell spaces: one graph each, whatever the network's depth."""

LAYERWISE = "layerwise"
SPACES = (*TOPOLOGIES, LAYERWISE)
LAYERWISE_STAGES = 5
"""Stages of equally many layers; a last one of a single layer follows (ProxylessNAS's 4, 4, 4, 4, 4, 1)."""
MOST_BLOCKS = 100
"""Layers of a stage, so that the text of a network stays readable for `Genotype.parse`."""


@cache
def layerwise(blocks: int) -> Topology:
    """A chain of `LAYERWISE_STAGES` stages of so many layers, and one more: each layer chooses for itself.

    The first layer of a stage changes the number of channels, so that there is nothing to skip.
    """
    operations = (
        *(f"mbconv_{kernel}x{kernel}_e{expansion}" for kernel in (3, 5, 7) for expansion in (3, 6)),
        "skip_connect",
    )
    layers = LAYERWISE_STAGES * blocks + 1
    return Topology(
        name=LAYERWISE,
        kinds=("network",),
        operations=operations,
        inputs=1,
        nodes=layers,
        kept=None,
        chained=True,
        barred=frozenset((edge, operations.index("skip_connect")) for edge in range(0, layers, blocks)),
    )


def blocks_of(layers: int) -> int | None:
    """How many layers the stages of a network of so many layers have; None where it is no number of a network."""
    blocks, rest = divmod(layers - 1, LAYERWISE_STAGES)
    return blocks if rest == 0 and 1 <= blocks <= MOST_BLOCKS else None


def topology_of(space: str, cells: int) -> Topology:
    """The graph that is searched in a space, by the `cells` of a configuration where its size depends on them."""
    return layerwise(cells) if space == LAYERWISE else TOPOLOGIES[space]
