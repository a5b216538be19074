"""Cells that several tests build networks from, and a strategy that draws any cell of a space."""

from hypothesis import strategies as st

from stcnas_core.genotype import Edge, Genotype
from stcnas_core.topology import Topology

DARTS_V2 = (
    "Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('sep_conv_3x3', 1), "
    "('sep_conv_3x3', 1), ('skip_connect', 0), ('skip_connect', 0), ('dil_conv_3x3', 2)], normal_concat=range(2, 6), "
    "reduce=[('max_pool_3x3', 0), ('max_pool_3x3', 1), ('skip_connect', 2), ('max_pool_3x3', 1), "
    "('max_pool_3x3', 0), ('skip_connect', 2), ('skip_connect', 2), ('max_pool_3x3', 1)], reduce_concat=range(2, 6))"
)
ALL_CONV3X3 = "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|nor_conv_3x3~0|nor_conv_3x3~1|nor_conv_3x3~2|"
MIXED_201 = "|avg_pool_3x3~0|+|none~0|nor_conv_1x1~1|+|skip_connect~0|nor_conv_3x3~1|nor_conv_1x1~2|"

LAYERS = (
    "Layers(mbconv_3x3_e3, skip_connect, mbconv_5x5_e6, mbconv_3x3_e6, mbconv_7x7_e3, skip_connect, mbconv_3x3_e6, "
    "mbconv_7x7_e6, mbconv_5x5_e3, mbconv_5x5_e3, mbconv_7x7_e6)"
)


@st.composite
def genotypes(draw: st.DrawFn, topology: Topology) -> Genotype:
    """Any genotype of a space, its edges in any order within a node."""
    cells = []
    for _ in topology.kinds:
        edges = []
        for incoming in topology.edges_by_node:
            kept = incoming if topology.kept is None else draw(st.permutations(incoming))[: topology.kept]
            for edge in kept:
                operation = draw(st.sampled_from(topology.possible(edge)))
                edges.append(Edge(*topology.edges[edge], topology.operations[operation]))
        cells.append(tuple(edges))
    return Genotype(topology.name, tuple(cells))
