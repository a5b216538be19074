"""The layer-wise space of ProxylessNAS (Cai et al., ICLR 2019): a chain of MobileNetV2 blocks, each chosen by itself.

A layer is an inverted bottleneck (Sandler et al., CVPR 2018) with a depthwise kernel of side 3, 5 or 7 and an expansion
of 3 or 6, or, within a stage, a skip: with the skip a stage decides how deep it is. `cells` is the number of layers of
each of the first five stages, 4 in the paper; a last stage has one. `channels` is the width after the fixed first
block, 16 in the paper, and all other widths keep their proportion to it: 32 for the stem; 24, 40, 80, 96, 192 and 320
for the stages; 1280 before the classifier.

Strides are ImageNet's with that stem (2, then 2, 2, 2, 1, 2, 1, a 32nd of the image in all). With the stem of small
images neither the stem nor the first stage halves them, so that 32 x 32 pixels end as 4 x 4 (a choice of this product:
the paper searches another space on CIFAR-10).

The shortcut around a block belongs to the operation here: a skip is the identity, where the paper has an operation
that returns zero beside a shortcut of its own. For weights that sum to one it is the same function, and the skip has
a gradient where weights are independent (STC).
"""

from torch import Tensor, nn

from stcnas_core.cell import Cell, DropPath
from stcnas_core.depthwise import depthwise
from stcnas_core.errors import InputError
from stcnas_core.genotype import Genotype
from stcnas_core.operations import BatchNorm, Identity
from stcnas_core.path import Path
from stcnas_core.spaces.network import CellNetwork
from stcnas_core.topology import LAYERWISE_STAGES, Topology, blocks_of, layerwise

BASE = 16
STEM, STAGES, HEAD = 32, (24, 40, 80, 96, 192, 320), 1280
"""Widths at `channels` = 16."""
STRIDES = {"cifar": (1, (1, 2, 2, 1, 2, 1)), "imagenet": (2, (2, 2, 2, 1, 2, 1))}
"""Of the stem and of the first layer of each stage."""


class LayerwiseSpace:
    """Networks of the layer-wise space; `cells` is the number of layers of a stage."""

    def __init__(self, cells: int = 4) -> None:
        self.topology = layerwise(cells)

    def supernet(
        self, *, channels: int, cells: int, classes: int, stem: str = "cifar", partial: int = 1
    ) -> "LayerwiseNetwork":
        """The search network: every operation in every layer, batch statistics, no affine norms in the layers."""
        if partial != 1:
            raise InputError("layerwise networks have no partial channels")
        return LayerwiseNetwork(layerwise(cells), None, channels=channels, classes=classes, stem=stem)

    def network(
        self,
        genotype: Genotype,
        *,
        channels: int,
        cells: int,
        classes: int,
        auxiliary: bool = False,
        stem: str = "cifar",
    ) -> "LayerwiseNetwork":
        """The network of a genotype, which says itself how deep it is; raises InputError for an auxiliary head."""
        if auxiliary:
            raise InputError("layerwise networks have no auxiliary head")
        return LayerwiseNetwork(genotype.topology, genotype, channels=channels, classes=classes, stem=stem)


class InvertedBottleneck(nn.Module):
    """1x1 convolution to `expansion` times the channels, depthwise convolution, 1x1 convolution; ReLU6 between them.

    Where the shape stays the same, the input is added. An expansion of 1 has no first convolution.
    """

    activated = False

    def __init__(self, c_in: int, c_out: int, kernel: int, expansion: int, stride: int, *, searching: bool) -> None:
        super().__init__()
        inner = c_in * expansion
        if expansion == 1:
            self.expand = None
        else:
            self.expand = nn.Conv2d(c_in, inner, 1, bias=False)
            self.expand_norm = BatchNorm(inner, searching=searching)
        self.depthwise = nn.Conv2d(inner, inner, kernel, stride, kernel // 2, groups=inner, bias=False)
        self.depthwise_norm = BatchNorm(inner, searching=searching)
        self.project = nn.Conv2d(inner, c_out, 1, bias=False)
        self.norm = BatchNorm(c_out, searching=searching)
        self.rectify = nn.ReLU6(inplace=True)
        self.shortcut = stride == 1 and c_in == c_out

    def forward(self, x: Tensor, scale: Tensor | None = None) -> Tensor:
        inner = x if self.expand is None else self.rectify(self.expand_norm(self.expand(x)))
        inner = depthwise(inner, self.depthwise.weight, self.depthwise.stride[0])
        out = self.norm(self.project(self.rectify(self.depthwise_norm(inner))), scale)
        if not self.shortcut:
            return out
        return out.add_(x if scale is None else x * scale)


class LayerwiseNetwork(CellNetwork):
    """Stem, a fixed first block, the layers as one chain, a 1x1 convolution, global pooling, classifier."""

    def __init__(
        self, topology: Topology, genotype: Genotype | None, *, channels: int, classes: int, stem: str
    ) -> None:
        super().__init__(topology, genotype)
        if stem not in STRIDES:
            raise InputError(f"unknown stem {stem!r}; known: {', '.join(STRIDES)}")
        first_stride, strides = STRIDES[stem]
        width, head = (scaled(base, channels) for base in (STEM, HEAD))
        self.stem = _norm_relu6(nn.Conv2d(3, width, 3, first_stride, 1, bias=False), searching=self.searching)
        self.first = InvertedBottleneck(width, channels, 3, 1, 1, searching=self.searching)
        shapes = layer_shapes(topology, channels, strides)
        self.add_cell(0, Cell(topology, self.choices[0], lambda edge, name: self._layer(name, *shapes[edge])))
        self.head = _norm_relu6(nn.Conv2d(shapes[-1][1], head, 1, bias=False), searching=self.searching)
        self.classifier = nn.Linear(head, classes)

    def _layer(self, name: str, c_in: int, c_out: int, stride: int) -> nn.Module:
        if name == "skip_connect":
            return Identity()
        side, _, expansion = name.removeprefix("mbconv_").partition("_e")
        return InvertedBottleneck(c_in, c_out, int(side[0]), int(expansion), stride, searching=self.searching)

    def forward(self, images: Tensor, path: Path | None = None, drop_path: DropPath | None = None) -> Tensor:
        """Logits (B, classes) of images (B, 3, H, W); nothing is dropped."""
        chosen, scales = self.resolve(path)
        x = self.first(self.stem(images))
        x = self.cells[0]((x,), chosen[0], scales[0]).plain(self.topology.nodes)
        return self.classifier(self.head(x).mean(dim=(2, 3)))


def scaled(base: int, channels: int) -> int:
    """A width of the paper for a first block of `channels` channels, rounded down."""
    return base * channels // BASE


def layer_shapes(topology: Topology, channels: int, strides: tuple[int, ...]) -> list[tuple[int, int, int]]:
    """Channels in and out and stride of every layer; the first of a stage changes them."""
    blocks = blocks_of(topology.nodes)
    assert blocks is not None
    shapes: list[tuple[int, int, int]] = []
    width = channels
    for base, stride, layers in zip(STAGES, strides, [blocks] * LAYERWISE_STAGES + [1], strict=True):
        out = scaled(base, channels)
        shapes += [(width, out, stride), *[(out, out, 1)] * (layers - 1)]
        width = out
    return shapes


def _norm_relu6(convolution: nn.Conv2d, *, searching: bool) -> nn.Sequential:
    norm = nn.BatchNorm2d(convolution.out_channels, track_running_stats=not searching)
    return nn.Sequential(convolution, norm, nn.ReLU6(inplace=True))
