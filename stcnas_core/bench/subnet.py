"""The yardstick: derived networks in plain PyTorch, trained with two full passes where a search has a step."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stcnas_core.bench import plain
from stcnas_core.bench.measure import saved_activations
from stcnas_core.bench.setting import Setting
from stcnas_core.genotype import Genotype
from stcnas_core.path import select, to_genotype
from stcnas_core.published_cells import PUBLISHED_CELLS
from stcnas_core.topology import TOPOLOGIES

FIXED = {
    "darts": PUBLISHED_CELLS["DARTS_V2"].text,
    "nasbench201": "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|nor_conv_3x3~0|nor_conv_3x3~1|nor_conv_3x3~2|",
}
"""The fixed network of each space: DARTS_V2, and the cell of 3x3 convolutions alone."""


class Subnet:
    """A derived network in plain PyTorch; a call trains it with two full passes, as a bilevel step has two."""

    def __init__(self, setting: Setting, genotype: Genotype) -> None:
        self.setting = setting
        self.model = plain.network(
            genotype, channels=setting.channels, cells=setting.cells, classes=setting.classes
        ).to(setting.device)
        config = setting.config("stc")
        self.clip = config.grad_clip
        self.optimizer = torch.optim.SGD(
            self.model.parameters(), lr=config.lr, momentum=config.momentum, weight_decay=config.weight_decay
        )
        self.batches = [(x.contiguous(), y) for x, y in setting.batches(2)]

    def __call__(self) -> None:
        for x, y in self.batches:
            self.optimizer.zero_grad()
            self.loss(x, y).backward()
            nn.utils.clip_grad_norm_(self.model.parameters(), self.clip)
            self.optimizer.step()

    def loss(self, x: Tensor, y: Tensor) -> Tensor:
        """Mean cross entropy."""
        with torch.autocast(self.setting.device, torch.bfloat16, enabled=self.setting.precision == "bf16"):
            logits = self.model(x)
        return F.cross_entropy(logits.float(), y)

    def saved_bytes(self) -> int:
        """What autograd keeps for the backward pass."""
        with saved_activations(self.model) as saved:
            loss = self.loss(*self.batches[0])
        del loss
        return saved()


def drawn_at_random(setting: Setting, generator: np.random.Generator) -> Genotype:
    """A uniformly drawn cell: an operation per edge, edges per node as the target keeps them; never `none`."""
    topology = TOPOLOGIES[setting.space]
    shape = (len(topology.kinds), len(topology.edges), len(topology.operations))
    return to_genotype(topology, select(topology, generator.random(shape)))
