"""GDAS (Dong and Yang, CVPR 2019): one sampled operation on each of all edges, straight-through gradients."""

import numpy as np
import torch
from torch import Tensor

from stcnas_core.methods.base import Sample, plain
from stcnas_core.methods.gumbel import GumbelMethod
from stcnas_core.path import Choices, best_operations


class Gdas(GumbelMethod):
    """The hard Gumbel-softmax: a one-hot forward, the gradient of the softmax backward; all edges run."""

    @property
    def samples_per_iteration(self) -> int:
        """Each pass draws its own sub-network."""
        return 2

    def sample(self, noise: float, generator: torch.Generator) -> Sample:
        """argmax of the perturbed log-probabilities on every edge."""
        drawn = self.gumbel(generator)
        # The smallest normal number, since a probability may have become 0.
        logarithms = np.log(np.maximum(self.scores(), np.finfo(np.float32).tiny))
        cell = self._best(logarithms + drawn.numpy())
        return Sample(cell, cell, noise=drawn.to(self.device))

    def weigh(self, sample: Sample) -> Tensor:
        """1 for what was sampled, with the gradient of the relaxed sample."""
        if sample.noise is None:
            return self.weights()
        soft = self.relaxed(sample.noise)
        kinds, edges, operations = zip(
            *((t, edge, k) for t, cell in enumerate(sample.runs) for edge, k in cell), strict=True
        )
        hard = torch.zeros(tuple(self.alpha.shape))
        hard[kinds, edges, operations] = 1.0
        return hard.to(self.device) - soft.detach() + soft

    def evaluated(self) -> Sample:
        """The most probable operation on every edge."""
        return plain(self._best(self.scores()))

    def _best(self, scores: np.ndarray) -> Choices:
        return best_operations(self.topology, scores, allow_none=self.config.sample_none)
