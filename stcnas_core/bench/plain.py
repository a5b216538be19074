"""Derived networks as the field writes them: a second opinion on the product's own, and a yardstick for its cost.

Textbook PyTorch: every operation begins with a ReLU of its own, nothing is shared, nothing is in place, memory is
contiguous. With the same weights they compute what `Space.network` computes (a test says so).
"""

import functools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stcnas_core.genotype import Genotype
from stcnas_core.topology import DARTS


def network(genotype: Genotype, *, channels: int, cells: int, classes: int) -> nn.Module:
    """The plain network of a genotype; called as `network(images)`."""
    build = PlainDarts if genotype.space == "darts" else PlainNasBench201
    return build(genotype, channels, cells, classes)


def relu_conv_norm(c_in: int, c_out: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """ReLU, convolution, batch norm."""
    conv = nn.Conv2d(c_in, c_out, kernel, stride, padding=kernel // 2, bias=False)
    return nn.Sequential(nn.ReLU(), conv, nn.BatchNorm2d(c_out))


def separable_half(channels: int, kernel: int, stride: int, dilation: int = 1) -> nn.Sequential:
    """ReLU, depthwise convolution, pointwise convolution, batch norm."""
    padding = dilation * (kernel - 1) // 2
    return nn.Sequential(
        nn.ReLU(),
        nn.Conv2d(channels, channels, kernel, stride, padding, dilation, groups=channels, bias=False),
        nn.Conv2d(channels, channels, 1, bias=False),
        nn.BatchNorm2d(channels),
    )


class FactorizedReduce(nn.Module):
    """DARTS's halving of the image by two strided convolutions, the second one shifted by a pixel."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.relu = nn.ReLU()
        self.even = nn.Conv2d(c_in, c_out // 2, 1, stride=2, bias=False)
        self.odd = nn.Conv2d(c_in, c_out - c_out // 2, 1, stride=2, bias=False)
        self.norm = nn.BatchNorm2d(c_out)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(x)
        return self.norm(torch.cat([self.even(x), self.odd(x[:, :, 1:, 1:])], dim=1))


class Zero(nn.Module):
    """NAS-Bench-201's `none`."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mul(0.0)


def operation(name: str, channels: int, stride: int) -> nn.Module:
    """The operation called `name`."""
    builders = {
        "none": Zero,
        "max_pool_3x3": lambda: nn.MaxPool2d(3, stride, padding=1),
        "avg_pool_3x3": lambda: nn.AvgPool2d(3, stride, padding=1, count_include_pad=False),
        "skip_connect": lambda: nn.Identity() if stride == 1 else FactorizedReduce(channels, channels),
        "sep_conv_3x3": lambda: nn.Sequential(separable_half(channels, 3, stride), separable_half(channels, 3, 1)),
        "sep_conv_5x5": lambda: nn.Sequential(separable_half(channels, 5, stride), separable_half(channels, 5, 1)),
        "dil_conv_3x3": lambda: separable_half(channels, 3, stride, dilation=2),
        "dil_conv_5x5": lambda: separable_half(channels, 5, stride, dilation=2),
        "nor_conv_1x1": lambda: relu_conv_norm(channels, channels, 1),
        "nor_conv_3x3": lambda: relu_conv_norm(channels, channels, 3),
    }
    return builders[name]()


class PlainCell(nn.Module):
    """A genotype's cell: every node is the sum of its operations' outputs."""

    def __init__(self, genotype: Genotype, kind: str, channels: int, *, reduction: bool) -> None:
        super().__init__()
        self.topology, self.edges = genotype.topology, genotype.cell(kind)
        self.operations = nn.ModuleList(
            operation(edge.operation, channels, 2 if reduction and edge.source < self.topology.inputs else 1)
            for edge in self.edges
        )

    def forward(self, *inputs: Tensor) -> list[Tensor]:
        states = list(inputs)
        for node in range(self.topology.inputs, self.topology.inputs + self.topology.nodes):
            entering = [(e, op) for e, op in zip(self.edges, self.operations, strict=True) if e.node == node]
            outputs = [op(states[edge.source]) for edge, op in entering]
            states.append(functools.reduce(torch.add, outputs))
        return states[self.topology.inputs :]


class PlainDartsCell(nn.Module):
    """Preprocessing, the cell, and the concatenation of its nodes."""

    def __init__(
        self, genotype: Genotype, widths: tuple[int, int], channels: int, reduction: tuple[bool, bool]
    ) -> None:
        super().__init__()
        before, now = reduction
        self.preprocess0 = (
            FactorizedReduce(widths[0], channels) if before else relu_conv_norm(widths[0], channels, kernel=1)
        )
        self.preprocess1 = relu_conv_norm(widths[1], channels, kernel=1)
        self.cell = PlainCell(genotype, "reduce" if now else "normal", channels, reduction=now)

    def forward(self, s0: Tensor, s1: Tensor) -> Tensor:
        return torch.cat(self.cell(self.preprocess0(s0), self.preprocess1(s1)), dim=1)


class PlainDarts(nn.Module):
    """DARTS's CIFAR network without auxiliary head and drop path."""

    def __init__(self, genotype: Genotype, channels: int, cells: int, classes: int) -> None:
        super().__init__()
        self.cells = nn.ModuleList()
        outer = inner = 3 * channels
        self.stem = nn.Sequential(nn.Conv2d(3, inner, 3, padding=1, bias=False), nn.BatchNorm2d(inner))
        before = False
        for position in range(cells):
            now = position in {cells // 3, 2 * cells // 3}
            channels *= 2 if now else 1
            self.cells.append(PlainDartsCell(genotype, (outer, inner), channels, (before, now)))
            outer, inner, before = inner, DARTS.nodes * channels, now
        self.classifier = nn.Linear(inner, classes)

    def forward(self, images: Tensor) -> Tensor:
        s0 = s1 = self.stem(images)
        for cell in self.cells:
            s0, s1 = s1, cell(s0, s1)
        return self.classifier(F.adaptive_avg_pool2d(s1, 1).flatten(1))


class ResidualBlock(nn.Module):
    """NAS-Bench-201's residual block of stride 2."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.first = relu_conv_norm(c_in, c_out, 3, stride=2)
        self.second = relu_conv_norm(c_out, c_out, 3)
        self.shortcut = nn.Sequential(nn.AvgPool2d(2, stride=2), nn.Conv2d(c_in, c_out, 1, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        return self.shortcut(x) + self.second(self.first(x))


class NodeCell(PlainCell):
    """NAS-Bench-201's cell, which puts out its last node."""

    def forward(self, *inputs: Tensor) -> Tensor:  # type: ignore[override]
        return super().forward(*inputs)[-1]


class PlainNasBench201(nn.Module):
    """Three stages of `cells` cells with residual blocks between them."""

    def __init__(self, genotype: Genotype, channels: int, cells: int, classes: int) -> None:
        super().__init__()
        self.stages = nn.ModuleList()
        self.stem = nn.Sequential(nn.Conv2d(3, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels))
        self.reductions = nn.ModuleList([nn.Identity()])
        for stage in range(3):
            if stage:
                self.reductions.append(ResidualBlock(channels, 2 * channels))
                channels *= 2
            stacked = (NodeCell(genotype, "normal", channels, reduction=False) for _ in range(cells))
            self.stages.append(nn.Sequential(*stacked))
        self.last = nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU())
        self.classifier = nn.Linear(channels, classes)

    def forward(self, images: Tensor) -> Tensor:
        x = self.stem(images)
        for reduction, stage in zip(self.reductions, self.stages, strict=True):
            x = stage(reduction(x))
        return self.classifier(F.adaptive_avg_pool2d(self.last(x), 1).flatten(1))
