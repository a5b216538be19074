"""DARTS, first order (Liu et al., ICLR 2019): every operation on every edge, weighted by a softmax over the edge."""

import torch
from torch import Tensor

from stcnas_core.methods.base import Method, Sample
from stcnas_core.path import everything


class Darts(Method):
    """The whole supernet runs in every step; the derived cell is a discretisation after the fact."""

    def initial(self, shape: tuple[int, int, int]) -> Tensor:
        """DARTS's start: Gaussian noise of deviation 1e-3 around `alpha_start`."""
        return self.alpha_start + 1e-3 * self._gaussian(shape)

    def weights(self) -> Tensor:
        """Softmax over the operations of an edge."""
        return self.logits().softmax(dim=2)

    def sample(self, noise: float, generator: torch.Generator) -> Sample:
        """Everything: nothing is drawn."""
        return self.evaluated()

    def warming(self, generator: torch.Generator) -> Sample:
        """Everything, weighted, as after the warm-up."""
        return self.evaluated()

    def evaluated(self) -> Sample:
        """The whole supernet."""
        return Sample(everything(self.topology), self.derived())
