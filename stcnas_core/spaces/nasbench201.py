"""The NAS-Bench-201 cell space: three stages of N equal cells between residual blocks that halve the image."""

import torch.nn.functional as F
from torch import Tensor, nn

from stcnas_core.cell import DropPath
from stcnas_core.errors import InputError
from stcnas_core.genotype import Genotype
from stcnas_core.operations import ReLUConvNorm
from stcnas_core.partial_cell import build_cell
from stcnas_core.path import Path
from stcnas_core.spaces.network import CellNetwork
from stcnas_core.topology import NASBENCH201, Topology

STAGES = 3


class NasBench201Space:
    """Networks of the NAS-Bench-201 space; `cells` is N, the number of cells per stage."""

    def __init__(self, topology: Topology = NASBENCH201) -> None:
        self.topology = topology

    def supernet(
        self, *, channels: int, cells: int, classes: int, stem: str = "cifar", partial: int = 1
    ) -> "NasBench201Network":
        """The search network: every operation on all six edges of each cell, batch statistics, no affine norms."""
        return NasBench201Network(
            self.topology, None, channels=channels, cells=cells, classes=classes, stem=stem, partial=partial
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
    ) -> "NasBench201Network":
        """The network of a genotype; raises InputError for an auxiliary head, which the benchmark does not have."""
        if auxiliary:
            raise InputError("nasbench201 networks have no auxiliary head")
        return NasBench201Network(self.topology, genotype, channels=channels, cells=cells, classes=classes, stem=stem)


class ResidualReduction(nn.Module):
    """The benchmark's residual block of stride 2 between two stages."""

    def __init__(self, c_in: int, c_out: int, *, searching: bool) -> None:
        super().__init__()
        self.first = ReLUConvNorm(c_in, c_out, 3, searching=searching)
        self.first.conv.stride = (2, 2)
        self.second = ReLUConvNorm(c_out, c_out, 3, searching=searching)
        self.shortcut = nn.Sequential(nn.AvgPool2d(2, stride=2), nn.Conv2d(c_in, c_out, 1, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        return self.shortcut(x) + self.second(F.relu(self.first(F.relu(x)), inplace=True))


class NasBench201Network(CellNetwork):
    """Stem, three stages of cells, norm, global pooling, classifier."""

    def __init__(
        self,
        topology: Topology,
        genotype: Genotype | None,
        *,
        channels: int,
        cells: int,
        classes: int,
        stem: str,
        partial: int = 1,
    ) -> None:
        super().__init__(topology, genotype)
        if stem != "cifar":
            raise InputError(f"nasbench201 has the stem 'cifar' alone, not {stem!r}")
        track = not self.searching
        self.stem = nn.Sequential(
            nn.Conv2d(3, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels, track_running_stats=track)
        )
        self.reductions = nn.ModuleList()
        self.per_stage = cells
        width = channels
        for stage in range(STAGES):
            if stage:
                self.reductions.append(ResidualReduction(width, 2 * width, searching=self.searching))
                width *= 2
            for _ in range(cells):
                cell = build_cell(
                    topology, self.choices[0], width, lambda source: 1, searching=self.searching, partial=partial
                )
                self.add_cell(0, cell)
        self.norm = nn.BatchNorm2d(width, track_running_stats=track)
        self.rectify = nn.ReLU(inplace=True)
        self.classifier = nn.Linear(width, classes)

    def forward(self, images: Tensor, path: Path | None = None, drop_path: DropPath | None = None) -> Tensor:
        """Logits (B, classes) of images (B, 3, H, W)."""
        chosen, scales = self.resolve(path)
        x = self.stem(images)
        for position, cell in enumerate(self.cells):
            if position and position % self.per_stage == 0:
                x = self.reductions[position // self.per_stage - 1](x)
            x = cell((x,), chosen[0], scales[0], drop_path, plain_outputs=False).plain(self.topology.nodes)
        x = self.rectify(self.norm(x))
        return self.classifier(x.mean(dim=(2, 3)))
