"""The protocol between a search method and the training loop.

Shapes: T cell kinds, E edges, K candidate operations.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from stcnas_core.config import SearchConfig
from stcnas_core.genotype import Genotype
from stcnas_core.host_copy import HostCopy
from stcnas_core.path import Choices, Path, select, to_genotype
from stcnas_core.randomness import stream
from stcnas_core.topology import Topology

Batch = tuple[Tensor, Tensor]
"""Images (B, 3, H, W) and labels (B,)."""


class Sample(NamedTuple):
    """What one iteration trains: the operations that run, and the discrete sub-cell alpha_s that was drawn.

    `plain` runs them unscaled, as a derived network does; `noise` (..., T, E, K) is what a method drew and weighs with,
    `decisions` are those of a controller in the order in which it took them.
    """

    runs: Choices
    cell: Choices
    plain: bool = False
    noise: Tensor | None = None
    decisions: tuple[int, ...] = ()


def plain(cell: Choices) -> Sample:
    """A cell as it would be derived: nothing else runs, unscaled."""
    return Sample(cell, cell, plain=True)


Judge = Callable[[Sample, int, int], float]
"""Percent right of a sample on so many batches of the validation half, 0 for all of them, behind the first so many.

After the last batch comes the first again.
"""


class Level(Protocol):
    """What a method may ask of the supernet and its weights when it takes gradients of its own (`bilevel.py`)."""

    @property
    def optimizer(self) -> torch.optim.SGD:
        """The weights'."""
        ...

    def ran(self, sample: Sample) -> list[nn.Parameter]:
        """The weights that a sample's path runs through."""
        ...

    def held(self, sample: Sample) -> AbstractContextManager[None]:
        """Within the block nothing is kept for the gradients of those weights."""
        ...

    def loss(self, path: Path, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Mean cross entropy, and the logits (B, classes)."""
        ...

    def first_order(self, sample: Sample, x: Tensor, y: Tensor) -> tuple[Sequence[Tensor], tuple[Tensor, ...]]:
        """Gradients of the alphas with the weights as they are, and what was measured."""
        ...


class Method:
    """Owns the architecture parameters `alpha` (T, E, K), and says which path runs and what else is minimised."""

    single_level = False
    """Whether alphas and weights move together, by the gradients of one pass on a training batch."""
    partial = 1
    """Each operation of the supernet runs on one in so many channels."""
    drift = False
    """Whether weights that did not run go on by momentum and decay."""
    penalty_weight: float | None = None
    """Coefficient of `penalty` in the alphas' objective; None where the method adds nothing."""

    def __init__(self, config: SearchConfig, topology: Topology, device: str) -> None:
        self.config, self.topology, self.device = config, topology, device
        self.alpha_start: float = config.value("alpha_start")
        shape = (len(topology.kinds), len(topology.edges), len(topology.operations))
        self.alpha = nn.Parameter(self.initial(shape).to(device))
        self.barred: Tensor | None = None
        """Mask (E, K) of what an edge cannot have; None where there is nothing of the kind."""
        if topology.barred:
            mask = torch.zeros(shape[1:], dtype=torch.bool)
            for entry in topology.barred:
                mask[entry] = True
            self.barred = mask.to(device)
        self._scores = HostCopy(device)

    @property
    def samples_per_iteration(self) -> int:
        """1 where both steps of an iteration run one sample, 2 where each draws its own."""
        return 1

    def parameters(self) -> dict[str, nn.Parameter]:
        """What the alphas' optimizer moves, by the names under which it is saved; with none, only weights move."""
        return {"alpha": self.alpha}

    def buffers(self) -> dict[str, Tensor]:
        """What else the next epoch or the result depends on, by the names under which it is saved, to be restored."""
        return {}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Put back parameters and buffers as they were saved."""
        with torch.no_grad():
            for name, value in (self.parameters() | self.buffers()).items():
                value.copy_(state[name])

    def finite(self) -> bool:
        """Whether every architecture parameter is finite."""
        return all(bool(parameter.isfinite().all()) for parameter in self.parameters().values())

    def anneal(self, progress: float) -> None:
        """Set what changes over the epochs that move alphas; `progress` is 0 in the first and 1 in the last."""

    def begin(self, epoch: int) -> None:
        """Called before the first step of an epoch."""

    def end(self, epoch: int) -> None:
        """Called after the last step of an epoch, before what was searched is evaluated."""

    def judge(self, epoch: int, accuracy: Judge) -> None:
        """Called after each epoch that moves alphas: a method that asks the trained weights meanwhile does it here."""

    @property
    def cells(self) -> int:
        """Cells of the supernet in the present stage, as the space counts them."""
        return self.config.cells

    def advance(self) -> None:
        """Decide what the next of several stages starts with; its supernet is built after this."""

    def prepare(self, model: nn.Module) -> None:
        """Called with each new supernet."""

    def initial(self, shape: tuple[int, int, int]) -> Tensor:
        """Alphas before the first step."""
        return torch.full(shape, self.alpha_start)

    def logits(self) -> Tensor:
        """Alpha with -inf for what an edge cannot have: its weight is then zero in any weighting, without gradient."""
        return self.alpha if self.barred is None else self.alpha.masked_fill(self.barred, -torch.inf)

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

    def alpha_gradients(
        self, level: Level, sample: Sample, train: Batch, valid: Batch
    ) -> tuple[Sequence[Tensor], tuple[Tensor, ...]]:
        """Gradients of `parameters` that a step of the alphas takes, and what was measured; first order unless said."""
        return level.first_order(sample, *valid)

    def weight_path(self, level: Level, sample: Sample, x: Tensor, y: Tensor) -> Path:
        """What a step of the weights runs for a sample, its weights held."""
        with torch.no_grad():
            return self.path(sample)

    def project(self) -> None:
        """Put alpha back into its feasible set after a step."""

    def evaluated(self) -> Sample:
        """The operations and weights that the method itself would be judged by before derivation."""
        raise NotImplementedError

    def choose(self, accuracy: Judge) -> None:
        """Called once after the last epoch: a method that picks its cell by inherited weights does it here."""

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
        return plain(cell)

    def _gaussian(self, shape: tuple[int, int, int]) -> Tensor:
        return torch.randn(shape, generator=stream(self.config.seed, "alpha"))
