"""The DARTS cell space: stacked normal and reduction cells of two inputs and four nodes (Liu et al., ICLR 2019)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stcnas_core.cell import DropPath
from stcnas_core.errors import InputError
from stcnas_core.genotype import Genotype
from stcnas_core.operations import FactorizedReduce, ReLUConvNorm
from stcnas_core.partial_cell import build_cell
from stcnas_core.path import Choice, Path
from stcnas_core.spaces.network import CellNetwork
from stcnas_core.topology import DARTS, Topology

NORMAL, REDUCE = 0, 1
STEM_MULTIPLIER = 3


class DartsSpace:
    """Networks of the DARTS space; reduction cells stand at a third and two thirds of the depth."""

    def __init__(self, topology: Topology = DARTS) -> None:
        self.topology = topology

    def supernet(
        self, *, channels: int, cells: int, classes: int, stem: str = "cifar", partial: int = 1
    ) -> "DartsNetwork":
        """The search network: every operation on all 14 edges of each cell, batch statistics, no affine norms."""
        return DartsNetwork(
            self.topology,
            None,
            channels=channels,
            cells=cells,
            classes=classes,
            auxiliary=False,
            stem=stem,
            partial=partial,
        )

    def network(
        self,
        genotype: Genotype,
        *,
        channels: int,
        cells: int,
        classes: int,
        auxiliary: bool = False,
        stem: str = "cifar",
    ) -> "DartsNetwork":
        """The target network of a genotype; with `auxiliary`, training returns (logits, auxiliary logits)."""
        return DartsNetwork(
            self.topology, genotype, channels=channels, cells=cells, classes=classes, auxiliary=auxiliary, stem=stem
        )


class RectifiedStem(nn.Sequential):
    """The second part of ImageNet's stem; the ReLU that DARTS puts first in it is shared with the first cell."""

    activated = True


class DartsCell(nn.Module):
    """Preprocessing of the two inputs, then the graph; the output concatenates the four nodes.

    A cell's output is read through a ReLU by whoever comes next but the classifier, so the ReLU is taken here once,
    in place in the concatenation; nodes whose ReLU the cell's operations have taken already lose nothing by it.
    """

    def __init__(
        self,
        topology: Topology,
        choices: tuple[Choice, ...],
        inputs: tuple[int, int],
        channels: int,
        *,
        reduction: bool,
        after_reduction: bool,
        searching: bool,
        partial: int,
    ) -> None:
        super().__init__()
        if after_reduction:
            self.preprocess0 = FactorizedReduce(inputs[0], channels, searching=searching)
        else:
            self.preprocess0 = ReLUConvNorm(inputs[0], channels, 1, searching=searching)
        self.preprocess1 = ReLUConvNorm(inputs[1], channels, 1, searching=searching)
        stride = (lambda source: 2 if source < topology.inputs else 1) if reduction else (lambda source: 1)
        self.cell = build_cell(topology, choices, channels, stride, searching=searching, partial=partial)

    def forward(
        self,
        s0: Tensor,
        s1: Tensor,
        chosen: tuple[Choice, ...],
        scales: list[Tensor | None],
        drop_path: DropPath | None,
        *,
        activated: bool,
    ) -> Tensor:
        """(B, 4 C, H, W) of two activated inputs; before the ReLU with `activated` false."""
        inputs = (self.preprocess0(s0), self.preprocess1(s1))
        states = self.cell(inputs, chosen, scales, drop_path, owned=True, plain_outputs=not activated)
        output = torch.cat(states.outputs(activated=activated), dim=1)
        return F.relu(output, inplace=True) if activated else output


class DartsNetwork(CellNetwork):
    """Stem, cells, global pooling, classifier, and for a derived network the auxiliary head at two thirds."""

    def __init__(
        self,
        topology: Topology,
        genotype: Genotype | None,
        *,
        channels: int,
        cells: int,
        classes: int,
        auxiliary: bool,
        stem: str,
        partial: int = 1,
    ) -> None:
        super().__init__(topology, genotype)
        track = not self.searching
        if stem == "cifar":
            width = STEM_MULTIPLIER * channels
            self.stem0 = nn.Sequential(
                nn.Conv2d(3, width, 3, padding=1, bias=False), nn.BatchNorm2d(width, track_running_stats=track)
            )
            self.stem1 = None
        elif stem == "imagenet":
            width = channels
            half = channels // 2
            self.stem0 = nn.Sequential(
                nn.Conv2d(3, half, 3, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(half, track_running_stats=track),
                nn.ReLU(),
                nn.Conv2d(half, channels, 3, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(channels, track_running_stats=track),
            )
            self.stem1 = RectifiedStem(
                nn.Conv2d(channels, channels, 3, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(channels, track_running_stats=track),
            )
        else:
            raise InputError(f"unknown stem {stem!r}; known: cifar, imagenet")

        outer, inner, width_now = width, width, channels
        reductions = {cells // 3, 2 * cells // 3}
        after_reduction = stem == "imagenet"
        auxiliary_width = 0
        for position in range(cells):
            reduction = position in reductions
            kind = REDUCE if reduction else NORMAL
            width_now = width_now * 2 if reduction else width_now
            self.add_cell(
                kind,
                DartsCell(
                    topology,
                    self.choices[kind],
                    (outer, inner),
                    width_now,
                    reduction=reduction,
                    after_reduction=after_reduction,
                    searching=self.searching,
                    partial=partial,
                ),
            )
            after_reduction = reduction
            outer, inner = inner, width_now * topology.nodes
            if position == 2 * cells // 3:
                auxiliary_width = inner
        self.auxiliary_at = 2 * cells // 3
        self.auxiliary = _auxiliary_head(auxiliary_width, classes, stem) if auxiliary else None
        self.classifier = nn.Linear(inner, classes)

    def forward(
        self, images: Tensor, path: Path | None = None, drop_path: DropPath | None = None
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Logits (B, classes) of images (B, 3, H, W); with an auxiliary head and in training, those of both heads."""
        chosen, scales = self.resolve(path)
        s0 = F.relu(self.stem0(images), inplace=True)
        s1 = s0 if self.stem1 is None else F.relu(self.stem1(s0), inplace=True)
        side = None
        last = len(self.cells) - 1
        for position, (kind, cell) in enumerate(zip(self.kinds, self.cells, strict=True)):
            # The auxiliary head begins with a ReLU too, so what it reads may be activated.
            s0, s1 = s1, cell(s0, s1, chosen[kind], scales[kind], drop_path, activated=position < last)
            if position == self.auxiliary_at and self.auxiliary is not None and self.training:
                side = self.auxiliary(s1)
        logits = self.classifier(s1.mean(dim=(2, 3)))
        return logits if side is None else (logits, side)


def _auxiliary_head(channels: int, classes: int, stem: str) -> nn.Sequential:
    """DARTS's auxiliary head; which maps fit is in `stems`: 8x8 after the CIFAR stem, 7x7 after ImageNet's."""
    return nn.Sequential(
        nn.ReLU(),
        nn.AvgPool2d(5, stride=3 if stem == "cifar" else 2, padding=0, count_include_pad=False),
        nn.Conv2d(channels, 128, 1, bias=False),
        nn.BatchNorm2d(128),
        nn.ReLU(inplace=True),
        nn.Conv2d(128, 768, 2, bias=False),
        *([nn.BatchNorm2d(768)] if stem == "cifar" else []),
        nn.ReLU(inplace=True),
        nn.Flatten(),
        nn.Linear(768, classes),
    )
