"""SDARTS-ADV (Chen and Hsieh, ICML 2020): the weights are trained under the worst small change of the architecture.

Before each step of the weights, projected gradient ascent on the same training batch looks for the change of the
operations' weights, within +-epsilon of each, that raises the loss most: seven steps of 2 epsilon / 7 along the
gradient's sign from a random start, each followed by a return to the box and to the weights that a softmax can have.
epsilon grows linearly from 0.03 to 0.3 over the epochs. The alphas' own step is DARTS's.
"""

import torch
from torch import Tensor

from stcnas_core.config import SearchConfig
from stcnas_core.methods.base import Level, Sample
from stcnas_core.methods.darts import Darts
from stcnas_core.path import Path
from stcnas_core.schedules import Ramp
from stcnas_core.topology import Topology


class SdartsAdv(Darts):
    """DARTS whose weights are trained on adversarially perturbed architecture weights."""

    def __init__(self, config: SearchConfig, topology: Topology, device: str) -> None:
        super().__init__(config, topology, device)
        self.ramp = Ramp.parse(config.perturbation)
        self.anneal(0.0)

    def anneal(self, progress: float) -> None:
        """The perturbation grows over the epochs."""
        self.epsilon = self.ramp.at(progress)

    def sample(self, noise: float, generator: torch.Generator) -> Sample:
        """Everything; what is drawn is where the search for the perturbation starts, in (-1, 1)."""
        start = 2.0 * torch.rand(tuple(self.alpha.shape), generator=generator) - 1.0
        return self.evaluated()._replace(noise=start.to(self.device))

    def weight_path(self, level: Level, sample: Sample, x: Tensor, y: Tensor) -> Path:
        """Everything, with the weights of operations that are worst on this batch; plain DARTS's in the warm-up."""
        path = super().weight_path(level, sample, x, y)
        if sample.noise is None or path.weights is None or self.epsilon == 0:
            return path
        lowest, highest = path.weights - self.epsilon, path.weights + self.epsilon
        worst = self._feasible(path.weights + self.epsilon * sample.noise)
        length = 2.0 * self.epsilon / self.config.perturbation_steps
        with level.held(sample):
            for _ in range(self.config.perturbation_steps):
                worst.requires_grad_()
                loss, _ = level.loss(Path(path.chosen, worst), x, y)
                (gradient,) = torch.autograd.grad(loss, [worst])
                moved = worst.detach() + length * gradient.sign()
                worst = self._feasible(torch.clamp(moved, lowest, highest))
        return Path(path.chosen, worst)

    def _feasible(self, weights: Tensor) -> Tensor:
        """Onto the simplex of what each edge can have."""
        return onto_simplex(weights if self.barred is None else weights.masked_fill(self.barred, 0.0))


def onto_simplex(weights: Tensor) -> Tensor:
    """Weights (T, E, K) clamped to [0, 1] and divided by their sum over an edge; the largest is 1 where all are 0."""
    clamped = weights.clamp(0.0, 1.0)
    sums = clamped.sum(dim=2, keepdim=True)
    largest = torch.zeros_like(weights).scatter_(2, weights.argmax(dim=2, keepdim=True), 1.0)
    return torch.where(sums > 0, clamped / torch.where(sums > 0, sums, 1.0), largest)
