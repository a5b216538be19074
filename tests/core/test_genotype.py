"""Genotypes are read strictly, written faithfully, and never evaluated."""

import contextlib
import json

import pytest
from cells import ALL_CONV3X3, DARTS_V2, LAYERS, MIXED_201, genotypes
from hypothesis import given
from hypothesis import strategies as st

from stcnas_core.genotype import Edge, Genotype, GenotypeError
from stcnas_core.topology import DARTS, NASBENCH201, layerwise

ANY = st.sampled_from([DARTS, NASBENCH201, layerwise(1), layerwise(3)]).flatmap(genotypes)


@given(ANY)
def test_text_and_json_are_read_back(genotype: Genotype) -> None:
    assert Genotype.parse(genotype.to_text()).cells == genotype.cells
    assert Genotype.parse(genotype.to_json()).cells == genotype.cells
    assert Genotype.parse(genotype.canonical_text()) == genotype


@given(genotypes(DARTS), genotypes(DARTS))
def test_equal_means_the_same_network_whatever_the_order_within_a_node(one: Genotype, other: Genotype) -> None:
    swapped = Genotype("darts", tuple(tuple(cell[i ^ 1] for i in range(8)) for cell in one.cells))
    assert swapped == one
    assert hash(swapped) == hash(one)
    assert swapped.canonical_text() == one.canonical_text()
    assert (one == other) == (one.canonical_text() == other.canonical_text())


@given(st.text(max_size=200))
def test_arbitrary_text_gives_a_genotype_error_or_a_genotype(text: str) -> None:
    with contextlib.suppress(GenotypeError):
        assert isinstance(Genotype.parse(text), Genotype)


@given(st.sampled_from([DARTS_V2, ALL_CONV3X3, LAYERS]), st.integers(0, 400), st.text(max_size=3), st.integers(0, 4))
def test_a_damaged_genotype_is_refused_or_still_valid(text: str, at: int, insert: str, drop: int) -> None:
    damaged = text[:at] + insert + text[at + drop :]
    try:
        genotype = Genotype.parse(damaged)
    except GenotypeError:
        return
    assert Genotype.parse(genotype.to_text()) == genotype


def test_the_published_darts_v2_is_read_in_its_published_form() -> None:
    published = DARTS_V2.replace("range(2, 6)", "[2, 3, 4, 5]")
    genotype = Genotype.parse(published)
    assert genotype.to_text() == DARTS_V2
    assert genotype.cell("normal")[5] == Edge(4, 1, "sep_conv_3x3")
    assert genotype.count("skip_connect") == {"normal": 2, "reduce": 3}


def test_nasbench201_string_names_nodes_and_sources() -> None:
    genotype = Genotype.parse(MIXED_201)
    assert genotype.cell("normal")[1:3] == (Edge(2, 0, "none"), Edge(2, 1, "nor_conv_1x1"))
    assert genotype.to_text() == MIXED_201


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is no genotype"),
        ("import os", "is no genotype"),
        ("Genotype(normal=__import__('os').system('true'))", r"column 17: expected '\['"),
        (DARTS_V2.replace("sep_conv_3x3', 0", "none', 0", 1), "unknown operation 'none'"),
        (DARTS_V2.replace("('sep_conv_3x3', 1)", "('sep_conv_3x3', 0)", 1), "takes the same input twice"),
        (DARTS_V2.replace("('sep_conv_3x3', 1)", "('sep_conv_3x3', 2)", 1), "no edge leads from node 2 to node 2"),
        (DARTS_V2.replace("range(2, 6)", "range(1, 6)", 1), "normal_concat must be"),
        (DARTS_V2 + " + 1", "and the end"),
        (DARTS_V2.replace("('skip_connect', 0), ('dil", "('dil", 1), "8 pairs in the normal cell"),
        (ALL_CONV3X3.replace("nor_conv_3x3~2", "sep_conv_3x3~2"), "unknown operation 'sep_conv_3x3'"),
        (ALL_CONV3X3[:-1], "node 3"),
        (ALL_CONV3X3.rpartition("+")[0], "expected 3 nodes"),
        (ALL_CONV3X3.replace("|nor_conv_3x3~1|+", "|+"), "node 2 must have 2 incoming edges, not 1"),
        ('{"space": "darts"}', "expected the keys"),
        ('{"space": "mars", "normal": []}', "'space' must be one of"),
        ('{"space": "nasbench201", "normal": [["none", 0, true]]}', r"expected \[operation, source, node\]"),
        ('{"space": "darts", "space": "darts"}', "occurs twice"),
        ("{" * 5000, "JSON genotype"),
        (LAYERS.replace("mbconv_3x3_e3, skip", "skip_connect, skip"), "layer 1 is the first of its stage"),
        (LAYERS.replace("mbconv_5x5_e6", "skip_connect"), "layer 3 is the first of its stage, it cannot be skip"),
        (LAYERS.replace(", mbconv_7x7_e6)", ")"), "5 N \\+ 1 layers, N from 1 to 100 for each stage, not 10"),
        (LAYERS.replace("_e6", "_e4", 1), "unknown operation 'mbconv_5x5_e4'"),
        (LAYERS.replace(", skip", "; skip", 1), "layer 1: expected an operation, got 'mbconv_3x3_e3; skip"),
        (LAYERS + "x", r"expected 'Layers\(' and '\)' at the end"),
        ("Layers()", "layer 1: expected an operation, got ''"),
        ('{"space": "layerwise", "network": []}', "not 0"),
        ('{"space": "layerwise", "normal": []}', "expected the keys space, network"),
        ("Genotype(" + "(" * 20_000, "the longest read is 10,000"),
    ],
)
def test_what_is_wrong_is_named(text: str, says: str) -> None:
    with pytest.raises(GenotypeError, match=says):
        Genotype.parse(text)


def test_layers_are_read_in_their_order() -> None:
    genotype = Genotype.parse(LAYERS.replace(", ", " ,\n"))
    assert genotype.to_text() == genotype.canonical_text() == LAYERS
    assert genotype.cell("network")[4] == Edge(5, 4, "mbconv_7x7_e3")
    assert genotype.topology is layerwise(2)
    assert genotype.count("skip_connect") == {"network": 2}
    assert genotype.skip_connects == 2


def test_json_is_plain_data() -> None:
    data = json.loads(Genotype.parse(MIXED_201).to_json())
    assert data["space"] == "nasbench201"
    assert data["normal"][0] == ["avg_pool_3x3", 0, 1]
