"""3x3 pooling, optionally scaled, that keeps little for the backward pass.

PyTorch keeps the input, an int64 per output pixel for maxima, and the output where it is scaled by an alpha. Here
maxima keep an int16 per output pixel; the input is kept for alpha's gradient alone, which is <pool(x), g> and thus
<x, pool'(g)>: the cell keeps that input for whatever else reads the node.
"""

from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from stcnas_core.pixels import layout, spread

LARGEST_INDEX = torch.iinfo(torch.int16).max


def average_pool(x: Tensor, stride: int, scale: Tensor | None = None) -> Tensor:
    """Means over 3x3 pixels, of the real ones at the border, times the scalar `scale`.

    On a CPU and in channels-last memory they are depthwise convolutions, which take a quarter of the time.
    """
    if x.device.type != "cpu" or torch.is_autocast_enabled("cpu") or layout(x) != torch.channels_last:
        pooled = F.avg_pool2d(x, 3, stride, padding=1, count_include_pad=False)
        return pooled if scale is None else pooled * scale
    return _AveragePool.apply(x, stride, scale)


def max_pool(x: Tensor, stride: int, scale: Tensor | None = None) -> Tensor:
    """Maxima over 3x3 pixels, times the scalar `scale`."""
    if x.shape[2] * x.shape[3] > LARGEST_INDEX:
        pooled = F.max_pool2d(x, 3, stride, padding=1)
        return pooled if scale is None else pooled * scale
    return _MaxPool.apply(x, stride, scale)


class _AveragePool(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, stride: int, scale: Tensor | None) -> Tensor:
        ctx.shape, ctx.stride = x.shape, stride
        ctx.save_for_backward(x if ctx.needs_input_grad[2] else None, scale)
        shares = _shares(x.shape[2], x.shape[3], stride, x.dtype)
        total = F.conv2d(x, _ones(x), None, stride, 1, groups=x.shape[1])
        return total.mul_(shares if scale is None else shares * scale)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, Tensor | None]:  # type: ignore[override]
        gradient = gradients[0] * _shares(ctx.shape[2], ctx.shape[3], ctx.stride, gradients[0].dtype)
        if ctx.stride == 2:
            gradient = spread(gradient, ctx.shape)
        to_x = F.conv2d(gradient, _ones(gradient), None, 1, 1, groups=ctx.shape[1])
        return _scaled(to_x, *ctx.saved_tensors)


def _scaled(to_x: Tensor, x: Tensor | None, scale: Tensor | None) -> tuple[Tensor, None, Tensor | None]:
    """Gradients of input and scale, from the input's where nothing is scaled."""
    to_scale = None if x is None else (to_x * x).sum()
    return to_x if scale is None else to_x.mul_(scale), None, to_scale


def _ones(x: Tensor) -> Tensor:
    return x.new_ones(1, 1, 3, 3).expand(x.shape[1], 1, 3, 3)


@lru_cache(maxsize=64)
def _shares(height: int, width: int, stride: int, dtype: torch.dtype) -> Tensor:
    """One over the number of real pixels that each window covers (1, 1, H', W')."""
    one = torch.ones(1, 1, height, width, dtype=dtype)
    return 1.0 / F.conv2d(one, torch.ones(1, 1, 3, 3, dtype=dtype), None, stride, 1)


class _MaxPool(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, stride: int, scale: Tensor | None) -> Tensor:
        output, index = F.max_pool2d(x, 3, stride, padding=1, return_indices=True)
        ctx.shape, ctx.stride, ctx.layout = x.shape, stride, layout(x)
        ctx.save_for_backward(index.to(torch.int16), x if ctx.needs_input_grad[2] else None, scale)
        return output if scale is None else output.mul_(scale)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, Tensor | None]:  # type: ignore[override]
        index, *others = ctx.saved_tensors
        (gradient,) = gradients
        # Only its shape and layout are read.
        like = torch.empty(ctx.shape, dtype=gradient.dtype, device=gradient.device, memory_format=ctx.layout)
        stride = [ctx.stride, ctx.stride]
        to_x = torch.ops.aten.max_pool2d_with_indices_backward(
            gradient, like, [3, 3], stride, [1, 1], [1, 1], False, index.long()
        )
        return _scaled(to_x, *others)
