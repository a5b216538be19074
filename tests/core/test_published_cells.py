"""Published cells: their sizes are the ones that their authors state, and what is left out says why."""

import pytest
import torch
from cells import DARTS_V2, MIXED_201

from stcnas_core import spaces
from stcnas_core.cost import count
from stcnas_core.errors import InputError
from stcnas_core.genotype import Genotype
from stcnas_core.published_cells import ELSEWHERE, PUBLISHED_CELLS, name_of, named

STATED = {
    # Parameters in millions of 20 cells and 36 channels, as the authors state them in papers, tables of results or
    # comments beside the cell, and half of the last digit; FairDARTS counts the auxiliary head's 0.476 M as well.
    "DARTS_V2": (3.3, 0.05),
    "GDAS_V1": (3.36, 0.01),
    "PDARTS": (3.43, 0.005),
    "PC_DARTS_CIFAR": (3.63, 0.005),
    "SGAS_CRI1": (3.80, 0.005),
    "SGAS_CRI2": (4.09, 0.005),
    "FAIRDARTS_D": (3.84 - 0.476, 0.005),
}


@pytest.mark.parametrize("name", STATED)
def test_sizes_are_those_that_were_published(name: str) -> None:
    stated, within = STATED[name]
    with torch.device("meta"):
        network = spaces.get("darts").network(named(name), channels=36, cells=20, classes=10)
    found = sum(parameter.numel() for parameter in network.parameters())
    assert found / 1e6 == pytest.approx(stated, abs=within)


def test_darts_v2_has_its_exact_number_of_parameters() -> None:
    network = spaces.get("darts").network(named("DARTS_V2"), channels=36, cells=20, classes=10)
    found = count(network, (3, 32, 32))
    assert found.params == 3_349_342
    assert round(found.macs / 1e6) == 528
    assert named("DARTS_V2") == Genotype.parse(DARTS_V2)


@pytest.mark.parametrize(("name", "stated"), [("PDARTS", 557), ("PC_DARTS_CIFAR", 586), ("PC_DARTS_IMAGENET", 597)])
def test_multiply_adds_with_norms_are_those_that_were_published_for_imagenet(name: str, stated: int) -> None:
    with torch.device("meta"):
        network = spaces.get("darts").network(named(name), channels=48, cells=14, classes=1000, stem="imagenet")
    found = count(network, (3, 224, 224))
    assert round(found.macs_with_norms / 1e6) == stated
    assert found.macs < 0.98 * found.macs_with_norms


def test_cells_are_distinct_and_known_by_their_names() -> None:
    assert len({cell.genotype for cell in PUBLISHED_CELLS.values()}) == len(PUBLISHED_CELLS)
    for name, cell in PUBLISHED_CELLS.items():
        assert name_of(cell.genotype) == name == cell.name
        assert "github.com/" in cell.source
    assert name_of(Genotype.parse(MIXED_201)) is None
    assert not ELSEWHERE.keys() & PUBLISHED_CELLS.keys()


def test_a_genotype_is_read_in_any_form() -> None:
    assert named(MIXED_201) == Genotype.parse(MIXED_201)
    assert named(PUBLISHED_CELLS["PDARTS"].text) == named("PDARTS")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("NASNET_A", "^NASNET_A is no cell of the DARTS space, .*: five intermediate nodes"),
        ("SNAS", "transcriptions of that differ"),
        ("darts_v2", "there is no published cell darts_v2; did you mean DARTS_V2?"),
        ("XYZ", "there is no published cell XYZ; known: DARTS_V1, DARTS_V2"),
        ("conv 3x3", "is no genotype: it must begin with"),
    ],
)
def test_other_texts_are_refused(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        named(text)
