"""The protocol between a search method and the training loop.

Shapes: T cell kinds, E edges, K candidate operations.
"""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from stcnas_core.config import METHOD_DEFAULTS, SearchConfig
from stcnas_core.genotype import Genotype
from stcnas_core.path import Choices, select, to_genotype
from stcnas_core.randomness import stream
from stcnas_core.topology import Topology


class Sample(NamedTuple):
    """What one iteration trains: the operations that run, and the discrete sub-cell alpha_s that was drawn."""

    runs: Choices
    cell: Choices


class Method:
    """Owns the architecture parameters `alpha` (T, E, K), and says which path runs and what else is minimised."""

    def __init__(self, config: SearchConfig, topology: Topology, device: str) -> None:
        self.config, self.topology, self.device = config, topology, device
        defaults = METHOD_DEFAULTS[config.method]
        self.alpha_start = _default(config.alpha_start, defaults["alpha_start"])
        self.alpha_weight_decay = _default(config.alpha_weight_decay, defaults["alpha_weight_decay"])
        shape = (len(topology.kinds), len(topology.edges), len(topology.operations))
        self.alpha = nn.Parameter(self.initial(shape).to(device))

    def initial(self, shape: tuple[int, int, int]) -> Tensor:
        """Alphas before the first step."""
        return torch.full(shape, self.alpha_start)

    def weights(self) -> Tensor:
        """Weights (T, E, K) of the operations as a function of alpha, differentiable."""
        raise NotImplementedError

    def scores(self) -> NDArray[np.float32]:
        """What derivation ranks operations and edges by (T, E, K), without noise."""
        return self.weights().detach().cpu().numpy()

    def sample(self, noise: float, generator: torch.Generator) -> Sample:
        """What the next training step runs."""
        raise NotImplementedError

    def penalty(self, cell: Choices) -> Tensor | None:
        """What is added to the alphas' objective, before its coefficient; None where the method adds nothing."""
        return None

    def project(self) -> None:
        """Put alpha back into its feasible set after a step."""

    def evaluated(self) -> Choices:
        """The operations that the method itself would be judged by before derivation."""
        raise NotImplementedError

    def derived(self) -> Choices:
        """The discrete cell: argmax per edge, best edges per node."""
        return select(self.topology, self.scores(), allow_none=self.config.sample_none)

    def genotype(self) -> Genotype:
        """The derived cell as a genotype."""
        return to_genotype(self.topology, self.derived())

    def uniform(self, generator: torch.Generator) -> Sample:
        """A uniformly drawn cell of the target's size, which trains weights before alphas move (warm-up)."""
        scores = torch.rand(tuple(self.alpha.shape), generator=generator).numpy()
        cell = select(self.topology, scores, allow_none=self.config.sample_none)
        return Sample(cell, cell)

    def _gaussian(self, shape: tuple[int, int, int]) -> Tensor:
        return torch.randn(shape, generator=stream(self.config.seed, "alpha"))


def _default(value: float | None, default: float) -> float:
    return default if value is None else value
