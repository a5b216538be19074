"""Every second pixel of an image, and back, with gradients that are filled once.

Written out because autograd's slicing fills a gradient of the full size with zeros for each slice.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def even_pixels(x: Tensor) -> Tensor:
    """The pixels of even row and column: (B, C, H, W) to (B, C, ceil(H/2), ceil(W/2)); differentiable."""
    return _EvenPixels.apply(x)


def alternate_pixels(x: Tensor) -> tuple[Tensor, Tensor]:
    """The pixels of even row and column, and those of odd row and column; differentiable."""
    return _AlternatePixels.apply(x)


def layout(x: Tensor) -> torch.memory_format:
    """The memory format that x is in, channels-last or contiguous."""
    return torch.channels_last if x.is_contiguous(memory_format=torch.channels_last) else torch.contiguous_format


def spread(x: Tensor, shape: torch.Size) -> Tensor:
    """The reverse of `even_pixels`: x at the even pixels of zeros of `shape`."""
    out = torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=layout(x)).zero_()
    out[:, :, ::2, ::2] = x
    return out


def quarters(x: Tensor) -> Tensor:
    """The four images of every second pixel, as a batch: (B, C, H, W) to (4 B, C, H/2, W/2), channels-last."""
    batch, channels, height, width = x.shape
    pairs = x.permute(0, 2, 3, 1).reshape(batch, height // 2, 2, width // 2, 2, channels)
    images = pairs.permute(2, 4, 0, 1, 3, 5).reshape(4 * batch, height // 2, width // 2, channels)
    return images.permute(0, 3, 1, 2)


class _EvenPixels(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.shape = x.shape
        return x[:, :, ::2, ::2].contiguous(memory_format=layout(x))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:  # type: ignore[override]
        return spread(gradients[0], ctx.shape)


class _AlternatePixels(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> tuple[Tensor, Tensor]:
        ctx.shape = x.shape
        return (
            x[:, :, ::2, ::2].contiguous(memory_format=layout(x)),
            x[:, :, 1::2, 1::2].contiguous(memory_format=layout(x)),
        )

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:  # type: ignore[override]
        even, odd = gradients
        out = spread(even, ctx.shape)
        out[:, :, 1::2, 1::2] = odd
        return out
