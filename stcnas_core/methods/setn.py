"""SETN, the self-evaluated template network (Dong and Yang, ICCV 2019).

The template's weights are trained by uniformly drawn candidates, so that none of them is trained more because it
converges sooner (the paper's Matthew effect). The evaluator's softmax probabilities learn on validation images, by the
loss of the template that runs everything weighted by them. At the end candidates are drawn by these probabilities, and
the one of the best validation accuracy is the result.

A block of the paper chooses two inputs and their operations. So does a node of the DARTS space here: its probabilities
are over (input, operation) pairs, and a candidate's two edges are drawn from them one after the other without
replacement. In NAS-Bench-201 every edge has a distribution over its operations. The number of candidates, 100, is that
of the authors' NATS-Bench (TPAMI 2021), where each is judged on one batch; here on the whole validation half.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from stcnas_core.methods.base import Batch, Level, Sample
from stcnas_core.methods.candidates import CandidateMethod
from stcnas_core.methods.gumbel import gumbel
from stcnas_core.path import Choices, everything, select


class Setn(CandidateMethod):
    """Uniform samples train the weights, the weighted template trains the probabilities."""

    def initial(self, shape: tuple[int, int, int]) -> Tensor:
        """DARTS's start: Gaussian noise of deviation 1e-3 around `alpha_start`."""
        return self.alpha_start + 1e-3 * self._gaussian(shape)

    def weights(self) -> Tensor:
        """Probabilities: softmax over what a node, where it keeps a few edges, else an edge, chooses from."""
        if self.topology.kept is None:
            return self.logits().softmax(dim=2)
        nodes = [self.alpha[:, list(edges)] for edges in self.topology.edges_by_node]
        return torch.cat([node.flatten(1).softmax(dim=1).view_as(node) for node in nodes], dim=1)

    def sample(self, noise: float, generator: torch.Generator) -> Sample:
        """What trains the weights: a uniformly drawn candidate, alone and unscaled."""
        return self.uniform(generator)

    def alpha_gradients(
        self, level: Level, sample: Sample, train: Batch, valid: Batch
    ) -> tuple[Sequence[Tensor], tuple[Tensor, ...]]:
        """Those of the template: everything, weighted by the probabilities."""
        return level.first_order(Sample(everything(self.topology), sample.cell), *valid)

    def candidate(self, generator: torch.Generator) -> Choices:
        """A candidate drawn by the probabilities, by the Gumbel-max trick: top-k of a node is without replacement."""
        # The smallest normal number, since a probability may have become 0.
        logarithms = np.log(np.maximum(self.scores(), np.finfo(np.float32).tiny))
        perturbed = logarithms + gumbel(tuple(self.alpha.shape), generator).numpy()
        return select(self.topology, perturbed, allow_none=self.config.sample_none)

    def undecided(self) -> Choices:
        """The most probable operation per edge, and the most probable edges per node."""
        return select(self.topology, self.scores(), allow_none=self.config.sample_none)
