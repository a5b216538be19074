"""RSPS, random search with parameter sharing (Li and Talwalkar, UAI 2019).

Shared weights are trained on the training half by a uniformly drawn cell per step (section 3). Then uniformly drawn
cells are judged with them on held-out images, and the best one is the result. The paper judges 1,000 to 11,000 cells
(Table 6); the defaults are its DARTS-like setting as its published program has it: 1,000 cells on ten batches each, and
the best ten of them on the whole validation half. The paper's better settings train longer (150 epochs), clip at 1, and
draw 5,000 cells. It may draw the zero operation, this product only with `sample_none`.
"""

import torch
from torch import nn

from stcnas_core.methods.base import Sample
from stcnas_core.methods.candidates import CandidateMethod
from stcnas_core.path import Choices
from stcnas_core.randomness import stream


class Rsps(CandidateMethod):
    """No architecture parameters: uniform sampling trains the weights, and the choice is the search."""

    finalists = 10

    def parameters(self) -> dict[str, nn.Parameter]:
        """None: nothing but weights is learned."""
        return {}

    def sample(self, noise: float, generator: torch.Generator) -> Sample:
        """A uniformly drawn cell, alone and unscaled."""
        return self.uniform(generator)

    def candidate(self, generator: torch.Generator) -> Choices:
        """A uniformly drawn cell."""
        return self.uniform(generator).cell

    def undecided(self) -> Choices:
        """The first candidate: before they are judged it is as good as any."""
        return self.candidate(stream(self.config.seed, "candidates"))
