"""Candidate operations of both spaces, in the field's names.

Every operation is called as `operation(x, scale)`: `scale` is the scalar weight of the operation (Eq. 4) or None.
Where an operation ends in a batch norm, the weight enters as that norm's gain, which is the same number as scaling the
output and saves keeping the output for the backward pass.

`activated` operations expect max(x, 0): the ReLU that DARTS puts first in them is shared by all operations that read
the same node, so the cell applies it once.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stcnas_core.depthwise import depthwise
from stcnas_core.pixels import alternate_pixels
from stcnas_core.pooling import average_pool, max_pool


class BatchNorm(nn.BatchNorm2d):
    """Batch norm whose gain may be an architecture weight.

    With `searching` it has no affine parameters and always uses the batch's statistics (DARTS's search), since running
    averages over changing sub-networks describe none of them; otherwise it is the ordinary affine layer.
    """

    def __init__(self, channels: int, *, searching: bool) -> None:
        super().__init__(channels, affine=not searching, track_running_stats=not searching)

    def forward(self, input: Tensor, scale: Tensor | None = None) -> Tensor:
        if scale is None:
            return super().forward(input)
        # Contiguous, because PyTorch's channels-last backward reads a gain of stride 0 past its end.
        gain = scale.expand(self.num_features).contiguous()
        return F.batch_norm(input, None, None, gain, None, True, 0.0, self.eps)


class Convolution(nn.Module):
    """[depthwise] convolution, pointwise convolution, batch norm: DARTS's dil_conv and half of its sep_conv."""

    activated = True

    def __init__(self, c_in: int, c_out: int, kernel: int, stride: int, dilation: int, *, searching: bool) -> None:
        super().__init__()
        padding = dilation * (kernel - 1) // 2
        self.depthwise = nn.Conv2d(c_in, c_in, kernel, stride, padding, dilation, groups=c_in, bias=False)
        self.pointwise = nn.Conv2d(c_in, c_out, 1, bias=False)
        self.norm = BatchNorm(c_out, searching=searching)

    def forward(self, x: Tensor, scale: Tensor | None = None) -> Tensor:
        x = depthwise(x, self.depthwise.weight, self.depthwise.stride[0], self.depthwise.dilation[0])
        return self.norm(self.pointwise(x), scale)


class SeparableConvolution(nn.Module):
    """Two depthwise-separable convolutions in a row, the first one strided: DARTS's sep_conv."""

    activated = True

    def __init__(self, channels: int, kernel: int, stride: int, *, searching: bool) -> None:
        super().__init__()
        self.first = Convolution(channels, channels, kernel, stride, 1, searching=searching)
        self.second = Convolution(channels, channels, kernel, 1, 1, searching=searching)

    def forward(self, x: Tensor, scale: Tensor | None = None) -> Tensor:
        return self.second(F.relu(self.first(x), inplace=True), scale)


class ReLUConvNorm(nn.Module):
    """Convolution and batch norm after a (shared) ReLU: NAS-Bench-201's nor_conv, DARTS's preprocessing."""

    activated = True

    def __init__(self, c_in: int, c_out: int, kernel: int, *, searching: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(c_in, c_out, kernel, padding=kernel // 2, bias=False)
        self.norm = BatchNorm(c_out, searching=searching)

    def forward(self, x: Tensor, scale: Tensor | None = None) -> Tensor:
        return self.norm(self.conv(x), scale)


class FactorizedReduce(nn.Module):
    """Halves the image by two strided 1x1 convolutions on alternate pixels: DARTS's skip_connect at stride 2."""

    activated = True

    def __init__(self, c_in: int, c_out: int, *, searching: bool) -> None:
        super().__init__()
        self.even = nn.Conv2d(c_in, c_out // 2, 1, bias=False)
        self.odd = nn.Conv2d(c_in, c_out - c_out // 2, 1, bias=False)
        self.norm = BatchNorm(c_out, searching=searching)

    def forward(self, x: Tensor, scale: Tensor | None = None) -> Tensor:
        even, odd = alternate_pixels(x)
        return self.norm(torch.cat([self.even(even), self.odd(odd)], dim=1), scale)


class Identity(nn.Module):
    """skip_connect at stride 1."""

    activated = False

    def forward(self, x: Tensor, scale: Tensor | None = None) -> Tensor:
        return x if scale is None else x * scale


class Pool(nn.Module):
    """3x3 average (over real pixels) or maximum pooling, without a norm, in supernet and derived network alike."""

    activated = False

    def __init__(self, mode: str, stride: int) -> None:
        super().__init__()
        self.mode, self.stride = mode, stride

    def forward(self, x: Tensor, scale: Tensor | None = None) -> Tensor:
        pool = average_pool if self.mode == "avg" else max_pool
        return pool(x, self.stride, scale)


def build(name: str, channels: int, stride: int, *, searching: bool) -> nn.Module:
    """The operation called `name` on `channels` channels; raises KeyError for a name that no space has."""
    s = searching
    builders = {
        "max_pool_3x3": lambda: Pool("max", stride),
        "avg_pool_3x3": lambda: Pool("avg", stride),
        "skip_connect": lambda: Identity() if stride == 1 else FactorizedReduce(channels, channels, searching=s),
        "sep_conv_3x3": lambda: SeparableConvolution(channels, 3, stride, searching=s),
        "sep_conv_5x5": lambda: SeparableConvolution(channels, 5, stride, searching=s),
        "dil_conv_3x3": lambda: Convolution(channels, channels, 3, stride, 2, searching=s),
        "dil_conv_5x5": lambda: Convolution(channels, channels, 5, stride, 2, searching=s),
        "nor_conv_1x1": lambda: ReLUConvNorm(channels, channels, 1, searching=s),
        "nor_conv_3x3": lambda: ReLUConvNorm(channels, channels, 3, searching=s),
    }
    return builders[name]()
