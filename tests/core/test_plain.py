"""The yardstick computes what the product's derived networks compute."""

import pytest
import torch
from cells import ALL_CONV3X3, DARTS_V2, MIXED_201
from torch import nn

from stcnas_core import spaces
from stcnas_core.bench import plain
from stcnas_core.genotype import Genotype

POOLS_AND_DILATIONS = (
    "Genotype(normal=[('dil_conv_5x5', 0), ('max_pool_3x3', 1), ('avg_pool_3x3', 0), ('sep_conv_5x5', 2), "
    "('dil_conv_3x3', 1), ('skip_connect', 3), ('skip_connect', 0), ('avg_pool_3x3', 4)], normal_concat=range(2, 6), "
    "reduce=[('sep_conv_5x5', 0), ('dil_conv_5x5', 1), ('sep_conv_3x3', 2), ('dil_conv_3x3', 1), "
    "('avg_pool_3x3', 0), ('skip_connect', 1), ('skip_connect', 2), ('max_pool_3x3', 1)], reduce_concat=range(2, 6))"
)


def layers(network: nn.Module) -> list[nn.Module]:
    """Everything with parameters, in order of construction, which is the same in both."""
    return [module for module in network.modules() if isinstance(module, nn.Conv2d | nn.BatchNorm2d | nn.Linear)]


@pytest.mark.parametrize(("text", "cells"), [(DARTS_V2, 5), (POOLS_AND_DILATIONS, 4), (MIXED_201, 2), (ALL_CONV3X3, 1)])
def test_equal_weights_give_equal_outputs_and_gradients(text: str, cells: int) -> None:
    genotype = Genotype.parse(text)
    torch.manual_seed(0)
    ours = spaces.get(genotype.space).network(genotype, channels=4, cells=cells, classes=7).double()
    ours = ours.to(memory_format=torch.channels_last)
    theirs = plain.network(genotype, channels=4, cells=cells, classes=7).double()
    pairs = list(zip(layers(ours), layers(theirs), strict=True))
    for one, other in pairs:
        other.load_state_dict(one.state_dict())
    images = torch.randn(6, 3, 16, 16, dtype=torch.float64)
    logits, expected = ours(images), theirs(images)
    torch.testing.assert_close(logits, expected, rtol=1e-10, atol=1e-10)
    logits.square().sum().backward()
    expected.square().sum().backward()
    for one, other in pairs:
        for parameter, reference in zip(one.parameters(), other.parameters(), strict=True):
            if parameter.grad is None:  # an operation that reads a node which nothing enters
                assert not reference.grad.any()
                continue
            torch.testing.assert_close(parameter.grad, reference.grad, rtol=1e-8, atol=1e-9)
