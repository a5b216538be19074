"""SNAS (Xie et al., ICLR 2019): every operation on every edge, weighted by a relaxed sample of a categorical.

Weights and alphas move together, by the gradients of one pass on training images; the validation half is evaluated
only. The paper names the temperatures 1 and 0.03, but not the path between them: here linear over the epochs.
"""

import torch
from torch import Tensor

from stcnas_core.methods.base import Sample
from stcnas_core.methods.gumbel import GumbelMethod
from stcnas_core.path import everything


class Snas(GumbelMethod):
    """Gumbel-softmax weights over all operations; the temperature sharpens them into one operation per edge."""

    single_level = True

    def sample(self, noise: float, generator: torch.Generator) -> Sample:
        """Everything, with one draw of Gumbel noise for the whole batch."""
        drawn = self.gumbel(generator).to(self.device)
        return Sample(everything(self.topology), self.derived(), noise=drawn)

    def weigh(self, sample: Sample) -> Tensor:
        """The relaxed sample; the probabilities where nothing was drawn."""
        return self.weights() if sample.noise is None else self.relaxed(sample.noise)

    def warming(self, generator: torch.Generator) -> Sample:
        """Everything, weighted by the probabilities."""
        return self.evaluated()

    def evaluated(self) -> Sample:
        """The whole supernet, weighted by the probabilities: the mean of what is sampled."""
        return Sample(everything(self.topology), self.derived())
