import itertools
import random

from hypothesis import given, settings
from hypothesis import strategies as st
from ledger_fixture import draw_genotype

from analysis.cells import describe, draw_cell
from analysis.chain import rows_of
from analysis.layout import LABEL, NODE, Place, layered
from analysis.svg import Sheet
from stcnas_core.genotype import Genotype
from stcnas_core.topology import DARTS, NASBENCH201, layerwise


def _graph(seed):
    edges = draw_genotype(DARTS, random.Random(seed)).cell("normal")
    graph = [(str(edge.source), str(edge.node), True) for edge in edges]
    return [str(node) for node in range(7)], graph + [(str(node), "6", False) for node in range(2, 6)]


@settings(max_examples=40)
@given(st.integers(0, 10**6))
def test_nothing_shares_a_place_and_edges_run_from_source_to_target(seed):
    nodes, edges = _graph(seed)
    layout = layered(nodes, edges)
    places: dict[Place, str] = {layout.nodes[node]: f"node {node}" for node in nodes}
    assert len(places) == len(nodes)
    for (source, target, labelled), route in zip(edges, layout.routes, strict=True):
        assert route.places[0] == layout.nodes[source]
        assert route.places[-1] == layout.nodes[target]
        assert [place.layer for place in route.places] == list(range(route.places[0].layer, route.places[-1].layer + 1))
        assert (route.label is not None) == labelled
        if route.label is not None:
            assert route.places[route.label].kind == LABEL
            assert route.places[route.label].layer % 2 == 1
        for place in route.places[1:-1]:
            assert place not in places
            places[place] = f"edge {source}-{target}"
    by_layer: dict[int, list[Place]] = {}
    for place in places:
        by_layer.setdefault(place.layer, []).append(place)
    for layer in by_layer.values():
        for upper, lower in itertools.pairwise(sorted(layer, key=lambda place: place.row)):
            least = {NODE: 0.5, LABEL: 0.4}.get(upper.kind, 0.25) + {NODE: 0.5, LABEL: 0.4}.get(lower.kind, 0.25)
            assert lower.row - upper.row >= least - 1e-6


def test_same_cell_same_layout():
    assert layered(*_graph(5)) == layered(*_graph(5))


def test_a_plain_chain_is_straight():
    layout = layered(["a", "b", "c"], [("a", "b", True), ("b", "c", True)])
    assert {place.row for route in layout.routes for place in route.places} == {0.0}


def test_drawing_names_every_operation_and_node():
    genotype = draw_genotype(NASBENCH201, random.Random(3))
    drawing = draw_cell(genotype, "normal", Sheet())
    for edge in genotype.cell("normal"):
        assert f">{edge.operation}</text>" in drawing.markup
    assert drawing.markup.count("stroke-dasharray") == 0  # lives in the sheet's classes
    assert ' id="' not in drawing.markup
    assert describe(genotype, "normal").count("takes") == 6


def test_a_layer_wise_network_is_a_row_a_stage_and_names_every_layer():
    topology, dice = layerwise(8), random.Random(1)
    chosen = [topology.operations[dice.choice(topology.possible(edge))] for edge in range(41)]
    genotype = Genotype.parse(f"Layers({', '.join(chosen)})")
    rows = rows_of(genotype)
    assert [name for name, _ in rows if name] == [f"stage {stage}" for stage in range(1, 7)]
    assert [len(row) for _, row in rows] == [6, 2] * 5 + [1]
    assert [operation for _, row in rows for operation in row] == chosen
    drawing = draw_cell(genotype, "network", Sheet())
    for operation in topology.operations:
        assert drawing.markup.count(f">{operation}</text>") == chosen.count(operation) > 0
    assert ' id="' not in drawing.markup
    assert drawing.width < 820
    assert describe(genotype, "network").startswith(f"stage 1: {chosen[0]}, ")


def test_none_edges_are_dashed():
    dashed, solid = Sheet(), Sheet()
    draw_cell(Genotype.parse("|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"), "normal", dashed)
    draw_cell(
        Genotype.parse(
            "|skip_connect~0|+|skip_connect~0|skip_connect~1|+|skip_connect~0|skip_connect~1|skip_connect~2|"
        ),
        "normal",
        solid,
    )
    assert "stroke-dasharray" in dashed.css()
    assert "stroke-dasharray" not in solid.css()
