"""NASP (Yao et al., AAAI 2020): the alphas are continuous, what runs is their projection onto discrete cells.

An iteration is one of proximal gradient descent. The discrete cell is prox_C1(alpha), C1 the cells with one operation
an edge. The gradient of the validation loss is taken at that cell, with respect to every entry of it, so that this pass
runs all operations, those outside the cell with weight zero. It moves the continuous alphas, which prox_C2 clamps to
[0, 1]. The weights' step then runs the operations of the newly projected cell alone.

As in the authors' own program a discrete cell keeps as many edges a node as a derived one, and runs with weights of
one, and the model-complexity term is off. Equal alphas would give every edge its first operation, hence the noise
around the start of 1/2.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from stcnas_core.methods.base import Batch, Level, Method, Sample, plain
from stcnas_core.path import everything, indicator


class Nasp(Method):
    """Proximal iterations between discrete cells and continuous alphas in [0, 1]."""

    @property
    def samples_per_iteration(self) -> int:
        """The weights' step runs the cell that the alphas' step leads to."""
        return 2

    def initial(self, shape: tuple[int, int, int]) -> Tensor:
        """Gaussian noise of deviation 1e-3 around `alpha_start`."""
        return self.alpha_start + 1e-3 * self._gaussian(shape)

    def weights(self) -> Tensor:
        """The continuous alphas."""
        return self.alpha

    def weigh(self, sample: Sample) -> Tensor:
        """prox_C1(alpha): one for the operations of the cell, else zero; its gradient is handed on to alpha."""
        cell = indicator(sample.cell, tuple(self.alpha.shape))
        return self.alpha + (cell.to(self.device) - self.alpha).detach()

    def sample(self, noise: float, generator: torch.Generator) -> Sample:
        """The discrete cell, alone: nothing is drawn."""
        return self.evaluated()

    def alpha_gradients(
        self, level: Level, sample: Sample, train: Batch, valid: Batch
    ) -> tuple[Sequence[Tensor], tuple[Tensor, ...]]:
        """The gradient at the discrete cell, with respect to what is in it and what is not."""
        return level.first_order(Sample(everything(self.topology), sample.cell), *valid)

    def project(self) -> None:
        """prox_C2: the nearest point of [0, 1]."""
        with torch.no_grad():
            self.alpha.clamp_(0.0, 1.0)

    def evaluated(self) -> Sample:
        """The discrete cell, which is the derived one."""
        return plain(self.derived())
