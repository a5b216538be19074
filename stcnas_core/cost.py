"""What a network costs: parameters and multiply-adds."""

import copy
from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


@dataclass(frozen=True)
class Cost:
    """Parameters, and multiply-adds of one image (convolutions and linear layers; norms and pooling not counted)."""

    params: int
    macs: int


def count(module: nn.Module, size: tuple[int, int, int]) -> Cost:
    """Count a derived network's cost for one image of `size` (channels, height, width), in evaluation mode.

    An auxiliary head that exists counts as parameters, but does not run: build the network without one to quote it.
    Nothing is computed: the network is copied to the meta device, where tensors have shapes and no contents.
    """
    shadow = copy.deepcopy(module).to("meta").eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        shadow(torch.empty(1, *size, device="meta"))
    return Cost(sum(parameter.numel() for parameter in module.parameters()), counter.get_total_flops() // 2)
