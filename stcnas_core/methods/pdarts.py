"""P-DARTS (Chen et al., ICCV 2019): three searches in a row, each of a deeper supernet with fewer candidates.

DARTS runs in each stage from new weights and new alphas; then the operations with the lowest weights are dropped from
every edge. The paper's supernets have 5, 11 and 17 cells and 8, 5 and 3 operations an edge. Here `cells` is the depth
of the last stage and 5/17 and 11/17 of it those before, and 5/8 and 3/8 of a space's operations are kept, rounded up:
7, 5, 3 in the DARTS space. The same in NAS-Bench-201, where the cells of each of its three parts grow in number (N = 1,
3, 5) and 5, 4, 2 operations are left; the paper knows the DARTS space alone.

Skip connections are regularised twice. In training dropout acts on their outputs: the rate of a stage falls linearly
while weights alone are trained, starts again with the alphas and falls by exp(-0.2) an epoch of the paper's 15. And
the derived normal cell has two of them at most: the weakest lose their place to the next best operation of the edge.

The paper's three times 25 epochs are `epochs: 75`; its `batch_size` of 96 and `lr_min` of 0 are the sweep's.
"""

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from stcnas_core.config import SearchConfig
from stcnas_core.methods.base import Sample
from stcnas_core.methods.darts import Darts
from stcnas_core.path import Choices, select
from stcnas_core.randomness import stream
from stcnas_core.schedules import stage
from stcnas_core.topology import Topology

DEPTHS = (5, 11, 17)
KEPT = (8, 5, 3)
DECAY = 0.2 * 15
SHALLOWEST = {"darts": 3, "nasbench201": 1}
"""Fewer cells of the DARTS space would leave no normal one."""


class PDarts(Darts):
    """DARTS in three stages; `candidates` (T, E, K) are the operations that are left."""

    def __init__(self, config: SearchConfig, topology: Topology, device: str) -> None:
        super().__init__(config, topology, device)
        self.stage = torch.zeros((), dtype=torch.long)
        self.candidates = torch.ones(tuple(self.alpha.shape), dtype=torch.bool)
        self.rate, self.draws = 0.0, stream(config.seed, "dropout", 0, device=device)
        self._follow()

    def buffers(self) -> dict[str, Tensor]:
        """The stage, and the candidates that are left."""
        return {"stage": self.stage, "candidates": self.candidates}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Put back parameters and buffers as they were saved."""
        super().restore(state)
        self._follow()

    def _follow(self) -> None:
        """What follows from `candidates`: the operations that run, and the mask of those that do not."""
        self.dropped = ~self.candidates.to(self.device)
        self.runs: Choices = tuple(tuple(map(tuple, kind.nonzero().tolist())) for kind in self.candidates)

    @property
    def cells(self) -> int:
        """Cells of the present stage's supernet."""
        whole = self.config.cells
        grown = round(whole * DEPTHS[int(self.stage)] / DEPTHS[-1])
        return min(whole, max(grown, SHALLOWEST[self.topology.name]))

    def advance(self) -> None:
        """Drop the weakest candidates of every edge, and forget the alphas."""
        self.stage += 1
        kept = math.ceil(self.alpha.shape[2] * KEPT[int(self.stage)] / KEPT[0])
        order = self.weights().detach().cpu().argsort(dim=2, descending=True, stable=True)
        self.candidates.zero_().scatter_(2, order[:, :, :kept], True)
        self._follow()
        noise = torch.randn(tuple(self.alpha.shape), generator=stream(self.config.seed, "alpha", int(self.stage)))
        with torch.no_grad():
            self.alpha.copy_(self.alpha_start + 1e-3 * noise)
        self.moved()

    def weights(self) -> Tensor:
        """Softmax over the candidates of an edge that are left."""
        return self.alpha.masked_fill(self.dropped, -torch.inf).softmax(dim=2)

    def evaluated(self) -> Sample:
        """The whole supernet of the stage."""
        return Sample(self.runs, self.derived())

    def begin(self, epoch: int) -> None:
        """Set the dropout of an epoch, and its draws."""
        first, epochs = stage(epoch, self.config.epochs, self.config.stages)
        self.rate = self.config.skip_dropout[int(self.stage)] * decay(
            epoch - first, epochs, self.config.value("warmup_epochs")
        )
        self.draws = stream(self.config.seed, "dropout", epoch, device=self.device)

    def prepare(self, model: nn.Module) -> None:
        """Let dropout act on what skip connections return in training."""
        for name, module in model.named_modules():
            if name.rpartition(".")[2].startswith("skip_connect"):
                module.register_forward_hook(self._dropout)

    def _dropout(self, module: nn.Module, arguments: object, output: Tensor) -> Tensor:
        if not module.training or self.rate == 0:
            return output
        keep = 1.0 - self.rate
        return output * torch.empty_like(output).bernoulli_(keep, generator=self.draws).div_(keep)

    def derived(self) -> Choices:
        """DARTS's cell, with the weakest skip connections of the normal one replaced until few enough are left."""
        scores, skip = self.scores(), self.topology.operations.index("skip_connect")
        scores[~self.candidates.numpy()] = -2.0
        others = [
            k
            for k, name in enumerate(self.topology.operations)
            if k != skip and (name != "none" or self.config.sample_none)
        ]
        while True:
            chosen = select(self.topology, scores, allow_none=self.config.sample_none)
            skips = [edge for edge, operation in chosen[0] if operation == skip]
            replaceable = [edge for edge in skips if self.candidates[0, edge, others].any()]
            if len(skips) <= self.config.skip_limit or not replaceable:
                return chosen
            scores[0, min(replaceable, key=lambda edge: scores[0, edge, skip]), skip] = -1.0


def decay(epoch: int, epochs: int, warmup: int) -> float:
    """Share of a stage's dropout rate that is left in `epoch` of so many, the first `warmup` for weights alone."""
    if epoch < warmup:
        return (epochs - epoch - 1) / epochs
    return math.exp(-DECAY * (epoch - warmup) / (epochs - warmup))
