"""Depthwise convolutions whose backward pass is put together from the cases that oneDNN is fast at.

Its forward pass is always fast, its backward pass not: at 16 x 16 x 32 x 32 in channels-last memory on one core, the
weight gradient takes 0.12 ms for a 3x3 kernel and 1.9 ms for 5x5, and dilation costs 6 to 40 times (see
docs/performance.md). So here the gradient of the input is a forward convolution with the kernel turned by 180 degrees,
a kernel of width 5 is two of width 3, dilation by 2 is four undilated images, and a stride of 2 with dilation by 2 only
ever sees even pixels.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from stcnas_core.pixels import even_pixels, quarters, spread


def depthwise(x: Tensor, weight: Tensor, stride: int = 1, dilation: int = 1) -> Tensor:
    """Convolve each channel of x (B, C, H, W) with its own square kernel of odd side, weight (C, 1, k, k).

    Padded such that stride 1 keeps the size. Differentiable once on a CPU.
    """
    if x.device.type != "cpu" or torch.is_autocast_enabled("cpu"):
        return F.conv2d(x, weight, None, stride, _padding(weight, dilation), dilation, weight.shape[0])
    if stride == 2 and dilation == 2 and _padding(weight, dilation) % 2 == 0:
        x, stride, dilation = even_pixels(x), 1, 1
    return _Depthwise.apply(x, weight, stride, dilation)


def _padding(weight: Tensor, dilation: int) -> int:
    return dilation * (weight.shape[2] - 1) // 2


class _Depthwise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: int, dilation: int) -> Tensor:
        ctx.stride, ctx.dilation, ctx.shape = stride, dilation, x.shape
        ctx.save_for_backward(x if ctx.needs_input_grad[1] else None, weight)
        return F.conv2d(x, weight, None, stride, _padding(weight, dilation), dilation, weight.shape[0])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:  # type: ignore[override]
        (gradient,) = gradients
        x, weight = ctx.saved_tensors
        to_x = (
            input_gradient(gradient, weight, ctx.shape, ctx.stride, ctx.dilation) if ctx.needs_input_grad[0] else None
        )
        to_weight = None if x is None else weight_gradient(gradient, x, weight, ctx.stride, ctx.dilation)
        return to_x, to_weight, None, None


def input_gradient(gradient: Tensor, weight: Tensor, shape: torch.Size, stride: int, dilation: int) -> Tensor:
    """Gradient of the input (of `shape`): a convolution of the output's gradient, with zeros between where strided."""
    if stride == 2:
        gradient = spread(gradient, shape)
    turned = weight.flip(2, 3)
    return F.conv2d(gradient, turned, None, 1, _padding(weight, dilation), dilation, weight.shape[0])


def weight_gradient(gradient: Tensor, x: Tensor, weight: Tensor, stride: int, dilation: int) -> Tensor:
    """Gradient of the kernels (C, 1, k, k)."""
    if dilation == 2 and stride == 1 and x.shape[2] % 2 == 0 and x.shape[3] % 2 == 0:
        gradient, x, dilation = quarters(gradient), quarters(x), 1
    padding = _padding(weight, dilation)
    if weight.shape[3] != 5 or dilation != 1:
        return _plain_weight_gradient(gradient, x, weight, stride, [padding, padding], dilation)
    left, right = (
        _plain_weight_gradient(gradient, F.pad(x, sides), weight[:, :, :, :3], stride, [padding, 0], 1)
        for sides in ((2, 0), (0, 2))
    )
    return torch.cat([left, right[:, :, :, 1:]], dim=3)  # both hold the middle column


def _plain_weight_gradient(
    gradient: Tensor, x: Tensor, weight: Tensor, stride: int, padding: list[int], dilation: int
) -> Tensor:
    return torch.ops.aten.convolution_backward(
        gradient,
        x,
        weight,
        None,
        [stride, stride],
        padding,
        [dilation, dilation],
        False,
        [0, 0],
        weight.shape[0],
        [False, True, False],
    )[1]
