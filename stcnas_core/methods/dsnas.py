"""DSNAS (Hu et al., CVPR 2020): alphas and weights by one pass of one sampled path, and no retraining at the end.

Each batch runs a path alone, an operation an edge drawn by the softmax probabilities p, with outputs multiplied by a
dummy 1. From one backward pass, on training images, weights and alphas move together: the weights by their own
gradients, the alphas by

    dL/d1 times grad log p(operation)

edge by edge, SNAS's gradient in the limit of a discrete sample. The dummy's derivative says how a little more of the
operation's output would change the loss; it is the reward, and no other operation has to run. The result is the
derived network with the weights that it has by then (`derived_accuracy`, on a half that no step has seen): since paths
are trained as they are derived, the paper retrains nothing. A sweep of it has no `retrain` section, or one to compare.

Progressive early stopping, always on here: an edge whose two largest probabilities are 0.3 apart is decided for good;
it always runs the larger, and its alphas rest. The threshold is that of a published reimplementation, alphas by Adam
with rate 1e-3 follow the authors' program. The paper searches ShuffleNetV2 blocks, of another kind than those here.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stcnas_core.config import SearchConfig
from stcnas_core.methods.base import Sample, plain
from stcnas_core.methods.darts import Darts
from stcnas_core.methods.gumbel import gumbel
from stcnas_core.path import Choices, best_operations, possible
from stcnas_core.topology import Topology

DECIDED = 0.3
"""An edge is decided once its largest probability is above the second by so much."""


class Dsnas(Darts):
    """One level: the discrete sample trains itself and the distribution that it was drawn from."""

    single_level = True

    def __init__(self, config: SearchConfig, topology: Topology, device: str) -> None:
        super().__init__(config, topology, device)
        self._before: tuple[Tensor, Tensor] | None = None

    def sample(self, noise: float, generator: torch.Generator) -> Sample:
        """An operation on every edge by the Gumbel-max trick, the largest alone on those that are decided."""
        scores = self.scores()
        decided = self.decided(scores)
        # The smallest normal number, since a probability may have become 0.
        logarithms = np.log(np.maximum(scores, np.finfo(np.float32).tiny))
        drawn = gumbel(tuple(self.alpha.shape), generator).numpy()
        cell = self._best(logarithms + np.where(decided[:, :, None], 0.0, drawn))
        self._before = torch.from_numpy(decided[:, :, None]).to(self.device), self.alpha.detach().clone()
        return Sample(cell, cell)

    def weigh(self, sample: Sample) -> Tensor:
        """1 for the operations that run, whose gradient is that of the logarithm of their probability; else 0."""
        runs = torch.zeros(tuple(self.alpha.shape), dtype=torch.bool)
        for kind, choices in enumerate(sample.runs):
            for choice in choices:
                runs[kind, *choice] = True
        logarithms = self.logits().log_softmax(dim=2)
        ones = 1.0 + logarithms - logarithms.detach()
        return torch.where(runs.to(self.device), ones, torch.zeros_like(ones))

    def warming(self, generator: torch.Generator) -> Sample:
        """A uniformly drawn path."""
        return self.uniform(generator)

    @torch.no_grad()
    def project(self) -> None:
        """The alphas of decided edges rest."""
        if self._before is not None:
            decided, before = self._before
            self.alpha.copy_(torch.where(decided, before, self.alpha))

    def decided(self, probabilities: NDArray[np.floating]) -> NDArray[np.bool_]:
        """Which edges (T, E) the probabilities (T, E, K) decide, of operations that may be derived.

        The alphas of a decided edge rest, so that it stays decided.
        """
        usable = np.sort(possible(self.topology, probabilities, allow_none=self.config.sample_none), axis=2)
        return usable[:, :, -1] - usable[:, :, -2] >= DECIDED

    def evaluated(self) -> Sample:
        """The most probable path."""
        return plain(self._best(self.scores()))

    def _best(self, scores: np.ndarray) -> Choices:
        return best_operations(self.topology, scores, allow_none=self.config.sample_none)
