"""Gumbel noise and the softmax that it perturbs (the concrete distribution), shared by SNAS, GDAS and DATA."""

import torch
from torch import Tensor

from stcnas_core.methods.base import Method
from stcnas_core.schedules import Ramp


def gumbel(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Standard Gumbel noise, drawn on the host."""
    uniform = torch.rand(shape, generator=generator)
    return -(-uniform.clamp(1e-20, 1 - 1e-7).log()).log()


class GumbelMethod(Method):
    """A method whose alphas are the log-odds of categorical distributions, one per edge, that it samples from."""

    def __init__(self, *args, **options) -> None:
        super().__init__(*args, **options)
        self.ramp = Ramp.parse(self.config.effective()["temperature"])
        self.temperature = self.ramp.start

    def initial(self, shape: tuple[int, int, int]) -> Tensor:
        """DARTS's start: Gaussian noise of deviation 1e-3 around `alpha_start`."""
        return self.alpha_start + 1e-3 * self._gaussian(shape)

    def anneal(self, progress: float) -> None:
        """The temperature falls over the epochs."""
        self.temperature = self.ramp.at(progress)

    def weights(self) -> Tensor:
        """Probabilities of an edge's operations."""
        return self.logits().softmax(dim=2)

    def gumbel(self, generator: torch.Generator) -> Tensor:
        """Standard Gumbel noise (T, E, K), drawn on the host."""
        return gumbel(tuple(self.alpha.shape), generator)

    def relaxed(self, noise: Tensor) -> Tensor:
        """Softmax of the perturbed log-probabilities at the current temperature (..., T, E, K), differentiable."""
        return ((self.logits().log_softmax(dim=2) + noise) / self.temperature).softmax(dim=-1)
