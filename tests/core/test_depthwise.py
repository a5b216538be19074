"""Hand-written gradients equal autograd's own, and keep less."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from stcnas_core.bench.measure import saved_activations
from stcnas_core.depthwise import depthwise
from stcnas_core.pixels import alternate_pixels, even_pixels, quarters
from stcnas_core.pooling import average_pool, max_pool


def images(channels: int, height: int, width: int) -> Tensor:
    torch.manual_seed(height + width)
    x = torch.randn(3, channels, height, width, dtype=torch.float64)
    return x.to(memory_format=torch.channels_last).requires_grad_()


@pytest.mark.parametrize("side", [(8, 8), (7, 8), (9, 5), (4, 4), (2, 2)])
@pytest.mark.parametrize("kernel", [3, 5, 7])
@pytest.mark.parametrize(("stride", "dilation"), [(1, 1), (2, 1), (1, 2), (2, 2)])
def test_depthwise_is_the_grouped_convolution(side: tuple[int, int], kernel: int, stride: int, dilation: int) -> None:
    x, weight = images(4, *side), torch.randn(4, 1, kernel, kernel, dtype=torch.float64, requires_grad=True)
    ours = depthwise(x, weight, stride, dilation)
    theirs = F.conv2d(x, weight, None, stride, dilation * (kernel - 1) // 2, dilation, 4)
    torch.testing.assert_close(ours, theirs)
    gradient = torch.randn_like(theirs)
    for one, other in zip(
        torch.autograd.grad(ours, [x, weight], gradient),
        torch.autograd.grad(theirs, [x, weight], gradient),
        strict=True,
    ):
        torch.testing.assert_close(one, other)


def test_depthwise_keeps_no_input_where_the_weight_needs_no_gradient() -> None:
    x = images(4, 8, 8)
    with saved_activations(torch.nn.Module()) as saved:
        out = depthwise(x, torch.randn(4, 1, 3, 3, dtype=torch.float64))
    assert saved() == 4 * 9 * 8  # the weight
    (gradient,) = torch.autograd.grad(out.sum(), [x])
    assert gradient.abs().sum() > 0


@pytest.mark.parametrize("side", [(8, 8), (7, 8), (5, 3), (1, 1)])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("mode", ["avg", "max"])
def test_pooling_is_pytorchs_times_a_scale(side: tuple[int, int], stride: int, mode: str) -> None:
    x = images(4, *side)
    if mode == "avg":
        pool, plain = average_pool, F.avg_pool2d(x, 3, stride, 1, count_include_pad=False)
    else:
        pool, plain = max_pool, F.max_pool2d(x, 3, stride, 1)
    torch.testing.assert_close(pool(x, stride), plain)
    gradient = torch.randn_like(plain)
    torch.testing.assert_close(
        torch.autograd.grad(pool(x, stride), [x], gradient),
        torch.autograd.grad(plain, [x], gradient, retain_graph=True),
    )
    scale = torch.tensor(0.37, dtype=torch.float64, requires_grad=True)
    for one, other in zip(
        torch.autograd.grad(pool(x, stride, scale), [x, scale], gradient),
        torch.autograd.grad(plain * scale, [x, scale], gradient),
        strict=True,
    ):
        torch.testing.assert_close(one, other)


def test_maxima_of_large_images_are_pytorchs() -> None:
    x = torch.randn(1, 1, 200, 200, requires_grad=True)  # more pixels than an int16 counts
    plain = F.max_pool2d(x, 3, 1, 1)
    assert torch.equal(max_pool(x, 1), plain)
    assert torch.equal(*(torch.autograd.grad(y.square().sum(), [x])[0] for y in (max_pool(x, 1), plain)))


def test_pixels_come_back_where_they_were() -> None:
    x = images(2, 6, 4)
    assert torch.equal(even_pixels(x), x[:, :, ::2, ::2])
    even, odd = alternate_pixels(x)
    (gradient,) = torch.autograd.grad(even.sum() + 2 * odd.sum(), [x])
    expected = torch.zeros_like(x)
    expected[:, :, ::2, ::2], expected[:, :, 1::2, 1::2] = 1, 2
    assert torch.equal(gradient, expected)
    assert torch.equal(torch.autograd.grad(even_pixels(x).sum(), [x])[0], expected == 1)
    parts = quarters(x.detach()).unflatten(0, (2, 2, 3))
    for row in range(2):
        for column in range(2):
            assert torch.equal(parts[row, column], x[:, :, row::2, column::2])
