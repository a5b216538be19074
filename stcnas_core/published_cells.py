"""Cells that others published, to be retrained and counted like our own, each with its source.

Here are the cells that the authors themselves printed or released as text and that lie in the DARTS space: four
intermediate nodes of two edges each, its seven operations. Cells known only from a drawing, or outside the space, are
named in ELSEWHERE with the reason; the accuracies that their papers print stay literature values.
"""

import difflib
from dataclasses import dataclass

from stcnas_core.errors import InputError
from stcnas_core.genotype import Genotype


@dataclass(frozen=True)
class PublishedCell:
    """A cell, and where it was published."""

    name: str
    source: str
    """The paper, and the authors' repository with the name that the cell has there."""
    text: str
    """DARTS tuple text."""

    @property
    def genotype(self) -> Genotype:
        """The cell."""
        return Genotype.parse(self.text)


def _cell(name: str, source: str, normal: str, reduce: str) -> PublishedCell:
    """From the pairs of both cells as `operation source`, in the order of the original."""

    def pairs(written: str) -> list[tuple[str, int]]:
        words = written.split()
        return [(operation, int(at)) for operation, at in zip(words[::2], words[1::2], strict=True)]

    concat = "range(2, 6)"
    text = f"Genotype(normal={pairs(normal)}, normal_concat={concat}, reduce={pairs(reduce)}, reduce_concat={concat})"
    return PublishedCell(name, source, text)


PUBLISHED_CELLS = {
    cell.name: cell
    for cell in (
        _cell(
            "DARTS_V1",
            "DARTS, first order (Liu et al., ICLR 2019); github.com/quark0/darts, DARTS_V1",
            "sep_conv_3x3 1 sep_conv_3x3 0 skip_connect 0 sep_conv_3x3 1 "
            "skip_connect 0 sep_conv_3x3 1 sep_conv_3x3 0 skip_connect 2",
            "max_pool_3x3 0 max_pool_3x3 1 skip_connect 2 max_pool_3x3 0 "
            "max_pool_3x3 0 skip_connect 2 skip_connect 2 avg_pool_3x3 0",
        ),
        _cell(
            "DARTS_V2",
            "DARTS, second order (Liu et al., ICLR 2019); github.com/quark0/darts, DARTS_V2",
            "sep_conv_3x3 0 sep_conv_3x3 1 sep_conv_3x3 0 sep_conv_3x3 1 "
            "sep_conv_3x3 1 skip_connect 0 skip_connect 0 dil_conv_3x3 2",
            "max_pool_3x3 0 max_pool_3x3 1 skip_connect 2 max_pool_3x3 1 "
            "max_pool_3x3 0 skip_connect 2 skip_connect 2 max_pool_3x3 1",
        ),
        _cell(
            "GDAS_V1",
            "GDAS (Dong and Yang, CVPR 2019); github.com/D-X-Y/AutoDL-Projects, GDAS_V1",
            "skip_connect 0 skip_connect 1 skip_connect 0 sep_conv_5x5 2 "
            "sep_conv_3x3 3 skip_connect 0 sep_conv_5x5 4 sep_conv_3x3 3",
            "sep_conv_5x5 0 sep_conv_3x3 1 sep_conv_5x5 2 sep_conv_5x5 1 "
            "dil_conv_5x5 2 sep_conv_3x3 1 sep_conv_5x5 0 sep_conv_5x5 1",
        ),
        _cell(
            "PDARTS",
            "P-DARTS on CIFAR-10 (Chen et al., ICCV 2019); github.com/chenxin061/pdarts, PDARTS",
            "skip_connect 0 dil_conv_3x3 1 skip_connect 0 sep_conv_3x3 1 "
            "sep_conv_3x3 1 sep_conv_3x3 3 sep_conv_3x3 0 dil_conv_5x5 4",
            "avg_pool_3x3 0 sep_conv_5x5 1 sep_conv_3x3 0 dil_conv_5x5 2 "
            "max_pool_3x3 0 dil_conv_3x3 1 dil_conv_3x3 1 dil_conv_5x5 3",
        ),
        _cell(
            "PC_DARTS_CIFAR",
            "PC-DARTS on CIFAR-10 (Xu et al., ICLR 2020); github.com/yuhuixu1993/PC-DARTS, PC_DARTS_cifar",
            "sep_conv_3x3 1 skip_connect 0 sep_conv_3x3 0 dil_conv_3x3 1 "
            "sep_conv_5x5 0 sep_conv_3x3 1 avg_pool_3x3 0 dil_conv_3x3 1",
            "sep_conv_5x5 1 max_pool_3x3 0 sep_conv_5x5 1 sep_conv_5x5 2 "
            "sep_conv_3x3 0 sep_conv_3x3 3 sep_conv_3x3 1 sep_conv_3x3 2",
        ),
        _cell(
            "PC_DARTS_IMAGENET",
            "PC-DARTS on ImageNet (Xu et al., ICLR 2020); github.com/yuhuixu1993/PC-DARTS, PC_DARTS_image",
            "skip_connect 1 sep_conv_3x3 0 sep_conv_3x3 0 skip_connect 1 "
            "sep_conv_3x3 1 sep_conv_3x3 3 sep_conv_3x3 1 dil_conv_5x5 4",
            "sep_conv_3x3 0 skip_connect 1 dil_conv_5x5 2 max_pool_3x3 1 "
            "sep_conv_3x3 2 sep_conv_3x3 1 sep_conv_5x5 0 sep_conv_3x3 3",
        ),
        _cell(
            "SGAS_CRI1",
            "SGAS, criterion 1, best of ten (Li et al., CVPR 2020); github.com/lightaime/sgas, Cri1_CIFAR_Best",
            "sep_conv_3x3 0 dil_conv_3x3 1 sep_conv_3x3 0 sep_conv_3x3 1 "
            "sep_conv_5x5 1 sep_conv_5x5 3 skip_connect 0 dil_conv_5x5 2",
            "max_pool_3x3 0 dil_conv_5x5 1 sep_conv_3x3 0 skip_connect 2 "
            "sep_conv_3x3 1 skip_connect 2 max_pool_3x3 0 max_pool_3x3 1",
        ),
        _cell(
            "SGAS_CRI2",
            "SGAS, criterion 2, best of ten (Li et al., CVPR 2020); github.com/lightaime/sgas, Cri2_CIFAR_Best",
            "sep_conv_3x3 0 sep_conv_3x3 1 sep_conv_3x3 0 sep_conv_3x3 2 "
            "max_pool_3x3 0 sep_conv_3x3 3 sep_conv_3x3 2 sep_conv_3x3 3",
            "sep_conv_3x3 0 max_pool_3x3 1 dil_conv_3x3 0 max_pool_3x3 1 "
            "max_pool_3x3 0 sep_conv_3x3 2 max_pool_3x3 0 sep_conv_5x5 2",
        ),
        _cell(
            "FAIRDARTS_D",
            "FairDARTS, the one of its seven cells with two edges a node throughout (Chu et al., ECCV 2020); "
            "github.com/xiaomi-automl/FairDARTS, FairDARTS_d",
            "sep_conv_3x3 0 sep_conv_5x5 1 dil_conv_3x3 1 max_pool_3x3 0 "
            "dil_conv_3x3 0 dil_conv_3x3 1 sep_conv_3x3 0 dil_conv_5x5 1",
            "max_pool_3x3 0 sep_conv_5x5 1 avg_pool_3x3 0 dil_conv_5x5 2 "
            "dil_conv_3x3 3 avg_pool_3x3 0 avg_pool_3x3 0 skip_connect 3",
        ),
    )
}
"""By name."""

ELSEWHERE = {
    "NASNET_A": "five intermediate nodes, and a reduction cell with sep_conv_7x7 (Zoph et al., CVPR 2018)",
    "AMOEBANET_A": "five intermediate nodes, sep_conv_7x7 and conv_7x1_1x7, and nodes that are outputs or not by cell "
    "(Real et al., AAAI 2019)",
    "PNAS": "five intermediate nodes, and sep_conv_7x7 (Liu et al., ECCV 2018)",
    "ENAS": "five intermediate nodes, which may take one input twice (Pham et al., ICML 2018)",
    "SNAS": "its authors published it as a drawing alone, and transcriptions of that differ in the reduction cell (Xie "
    "et al., ICLR 2019)",
    "FAIRDARTS_A": "nodes with fewer than two edges, by its threshold (Chu et al., ECCV 2020); so have B, C, E, F, G",
}
"""Cells that papers compare with and that are not here, by name, with the reason."""


def named(text: str) -> Genotype:
    """The cell that a published name or a genotype in any of its forms stands for.

    Raises InputError for a cell that is left out, with the reason, and GenotypeError for what is neither.
    """
    if text in PUBLISHED_CELLS:
        return PUBLISHED_CELLS[text].genotype
    if text in ELSEWHERE:
        raise InputError(f"{text} is no cell of the DARTS space, or not known with certainty: {ELSEWHERE[text]}")
    if text.isidentifier() and len(text) <= 60:
        close = difflib.get_close_matches(text.upper(), PUBLISHED_CELLS, n=1)
        hint = f"did you mean {close[0]}?" if close else f"known: {', '.join(PUBLISHED_CELLS)}"
        raise InputError(f"there is no published cell {text}; {hint}")
    return Genotype.parse(text)


def name_of(genotype: Genotype) -> str | None:
    """The name under which a cell was published; None for any other."""
    return next((cell.name for cell in PUBLISHED_CELLS.values() if cell.genotype == genotype), None)
