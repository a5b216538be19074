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
from stcnas_core.host_copy import HostCopy
from stcnas_core.path import Choices, Path, select, to_genotype
from stcnas_core.randomness import stream
from stcnas_core.topology import Topology


class Sample(NamedTuple):
    """What one iteration trains: the operations that run, and the discrete sub-cell alpha_s that was drawn.

    `plain` runs them unscaled, as a derived network does; `noise` (T, E, K) is what a method drew and weighs with.
    """

    runs: Choices
    cell: Choices
    plain: bool = False
    noise: Tensor | None = None


class Method:
    """Owns the architecture parameters `alpha` (T, E, K), and says which path runs and what else is minimised."""

    single_level = False
    """Whether alphas and weights move together, by the gradients of one pass on a training batch."""
    partial = 1
    """Each operation of the supernet runs on one in so many channels."""

    def __init__(self, config: SearchConfig, topology: Topology, device: str) -> None:
        self.config, self.topology, self.device = config, topology, device
        defaults = METHOD_DEFAULTS[config.method]
        self.alpha_start = _default(config.alpha_start, defaults["alpha_start"])
        self.alpha_weight_decay = _default(config.alpha_weight_decay, defaults["alpha_weight_decay"])
        shape = (len(topology.kinds), len(topology.edges), len(topology.operations))
        self.alpha = nn.Parameter(self.initial(shape).to(device))
        self._scores = HostCopy(device)

    @property
    def samples_per_iteration(self) -> int:
        """1 where both steps of an iteration run one sample, 2 where each draws its own."""
        return 1

    def parameters(self) -> dict[str, nn.Parameter]:
        """What the alphas' optimizer moves, by the names under which it is saved."""
        return {"alpha": self.alpha}

    def finite(self) -> bool:
        """Whether every architecture parameter is finite."""
        return all(bool(parameter.isfinite().all()) for parameter in self.parameters().values())

    def anneal(self, progress: float) -> None:
        """Set what changes over the epochs of the search; `progress` is 0 in the first and 1 in the last."""

    def initial(self, shape: tuple[int, int, int]) -> Tensor:
        """Alphas before the first step."""
        return torch.full(shape, self.alpha_start)

    def weights(self) -> Tensor:
        """Weights (T, E, K) of the operations as a function of alpha, differentiable."""
        raise NotImplementedError

    def weigh(self, sample: Sample) -> Tensor:
        """Weights (T, E, K) with which a sample's operations run, differentiable."""
        return self.weights()

    def path(self, sample: Sample) -> Path:
        """What the supernet runs for a sample."""
        return Path(sample.runs, None if sample.plain else self.weigh(sample))

    def ranking(self) -> Tensor:
        """What derivation ranks operations and edges by (T, E, K), without noise, on the device."""
        return self.weights().detach()

    def scores(self) -> NDArray[np.float32]:
        """`ranking` on the host."""
        return self._scores.read(self.alpha, self.ranking)

    def moved(self) -> None:
        """Called after each step of the alphas: the scores start on their way to the host."""
        self._scores.start(self.alpha, self.ranking)

    def sample(self, noise: float, generator: torch.Generator) -> Sample:
        """What the next training step runs."""
        raise NotImplementedError

    def penalty(self, cell: Choices) -> Tensor | None:
        """What is added to the alphas' objective, before its coefficient; None where the method adds nothing."""
        return None

    def project(self) -> None:
        """Put alpha back into its feasible set after a step."""

    def evaluated(self) -> Sample:
        """The operations and weights that the method itself would be judged by before derivation."""
        raise NotImplementedError

    def derived(self) -> Choices:
        """The discrete cell: argmax per edge, best edges per node."""
        return select(self.topology, self.scores(), allow_none=self.config.sample_none)

    def genotype(self) -> Genotype:
        """The derived cell as a genotype."""
        return to_genotype(self.topology, self.derived())

    def warming(self, generator: torch.Generator) -> Sample:
        """What trains the weights before alphas move: uniformly drawn cells, as the target's are."""
        return self.uniform(generator)

    def uniform(self, generator: torch.Generator) -> Sample:
        """A uniformly drawn cell of the target's size, unscaled."""
        scores = torch.rand(tuple(self.alpha.shape), generator=generator).numpy()
        cell = select(self.topology, scores, allow_none=self.config.sample_none)
        return Sample(cell, cell, plain=True)

    def _gaussian(self, shape: tuple[int, int, int]) -> Tensor:
        return torch.randn(shape, generator=stream(self.config.seed, "alpha"))


def _default(value: float | None, default: float) -> float:
    return default if value is None else value
