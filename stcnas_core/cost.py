"""What a network costs: parameters and multiply-adds."""

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode


@dataclass(frozen=True)
class Cost:
    """Parameters, and multiply-adds of one image by two conventions."""

    params: int
    macs: int
    """Of convolutions and linear layers; norms and pooling not counted."""
    macs_with_norms: int
    """Those, and two for each value that a batch norm returns and one for each that a ReLU takes; every operation has a
    ReLU of its own, as in DARTS. Tables of the mobile setting print it: P-DARTS's 557, PC-DARTS's 586 and 597 million.
    """


def count(module: nn.Module, size: tuple[int, int, int]) -> Cost:
    """Count a derived network's cost for one image of `size` (channels, height, width), in evaluation mode.

    An auxiliary head that exists counts as parameters, but does not run: build the network without one to quote it.
    Nothing is computed: the network is copied to the meta device, where tensors have shapes and no contents.
    """
    shadow = copy.deepcopy(module).to("meta").eval()
    others = 0

    def add(part: nn.Module, given: tuple[Any, ...], returned: Tensor) -> None:
        nonlocal others
        if isinstance(part, nn.BatchNorm2d):
            others += 2 * returned.numel()
        elif isinstance(part, nn.ReLU | nn.ReLU6) or _rectified(part):
            others += given[0].numel()

    for part in shadow.modules():
        part.register_forward_hook(add)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        shadow(torch.empty(1, *size, device="meta"))
    macs = counter.get_total_flops() // 2
    return Cost(sum(parameter.numel() for parameter in module.parameters()), macs, macs + others)


def _rectified(module: nn.Module) -> bool:
    """Whether a module reads max(x, 0) of its input (see `operations`) itself and not by a part of it."""
    parts = module.children()
    return getattr(module, "activated", False) and not any(getattr(part, "activated", False) for part in parts)
