"""ProxylessNAS by gradients (Cai et al., ICLR 2019): binary gates let one path through, two an edge are compared.

Weights are trained by a single path: an operation an edge, drawn by the softmax probabilities. A step of the alphas
(section 3.2.1) draws two operations an edge without replacement, by the same probabilities, and treats the others as if
there were none: the two share the whole probability, a gate drawn by it lets one of them through, and alpha moves along

    dL/dalpha_i = sum over the two of dL/dg_j p_j (delta_ij - p_i),

which needs the outputs of both, and of them alone. After the step both alphas are shifted by one number such that the
two keep the share of an edge's probability that they had: the probabilities of the operations that were not drawn stay.

The paper trains the weights for a while and then the alphas; here they take turns by the iteration, as in every method
of this product. Its term for the latency on a device is left out, since there is no device to measure, and so is its
alternative by REINFORCE. Alphas by Adam with rate 1e-3 and betas (0, 0.999), and 40 epochs of weights alone before 120
of both are the authors' published program's.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from stcnas_core.config import SearchConfig
from stcnas_core.methods.base import Batch, Level, Sample, plain
from stcnas_core.methods.darts import Darts
from stcnas_core.methods.gumbel import gumbel
from stcnas_core.path import Choices, Path, best_operations, possible
from stcnas_core.topology import Topology


class ProxylessNas(Darts):
    """Softmax probabilities, one sampled path for the weights, two binary-gated paths an edge for the alphas.

    Of a sample `cell` is the path, `runs` holds the two that are compared, and `noise` (T, E, K) draws the gates.
    """

    def __init__(self, config: SearchConfig, topology: Topology, device: str) -> None:
        super().__init__(config, topology, device)
        self._compared: tuple[Tensor, Tensor] | None = None

    @property
    def samples_per_iteration(self) -> int:
        """Both steps draw their own paths."""
        return 2

    def sample(self, noise: float, generator: torch.Generator) -> Sample:
        """The Gumbel-max trick: of perturbed log-probabilities the largest is a path, and the two largest are two."""
        shape = tuple(self.alpha.shape)
        # The smallest normal number, since a probability may have become 0.
        logarithms = np.log(np.maximum(self.scores(), np.finfo(np.float32).tiny))
        perturbed = logarithms + gumbel(shape, generator).numpy()
        usable = possible(self.topology, perturbed, allow_none=self.config.sample_none)
        two = np.sort(np.argsort(-usable, axis=2, kind="stable")[:, :, :2], axis=2)
        runs = tuple(tuple((edge, int(k)) for edge, row in enumerate(kind) for k in row) for kind in two)
        return Sample(runs, self._best(perturbed), noise=gumbel(shape, generator).to(self.device))

    def weigh(self, sample: Sample) -> Tensor:
        """Binary gates (T, E, K) with the gradient of the probabilities that the two paths of an edge share."""
        if sample.noise is None:
            return self.weights()
        logits = self.alpha.masked_fill(~self._drawn(sample.runs), -torch.inf)
        shared = logits.softmax(dim=2)
        active = (logits.detach() + sample.noise).argmax(dim=2, keepdim=True)
        gates = torch.zeros_like(shared).scatter_(2, active, 1.0)
        return gates - shared.detach() + shared

    def weight_path(self, level: Level, sample: Sample, x: Tensor, y: Tensor) -> Path:
        """The single path."""
        return Path(sample.cell)

    def warming(self, generator: torch.Generator) -> Sample:
        """A uniformly drawn path: alphas are all but equal before they move."""
        return self.uniform(generator)

    def alpha_gradients(
        self, level: Level, sample: Sample, train: Batch, valid: Batch
    ) -> tuple[Sequence[Tensor], tuple[Tensor, ...]]:
        """Those of the two paths; what is compared is kept until the alphas have moved."""
        self._compared = self._drawn(sample.runs), self.alpha.detach().clone()
        return level.first_order(sample, *valid)

    @torch.no_grad()
    def project(self) -> None:
        """Shift the two alphas of each edge so that the sum of their exponentials is what it was before the step."""
        if self._compared is None:
            return
        drawn, before = self._compared
        self._compared = None
        old, new = (
            alpha.masked_fill(~drawn, -torch.inf).logsumexp(dim=2, keepdim=True) for alpha in (before, self.alpha)
        )
        self.alpha.copy_(torch.where(drawn, self.alpha - (new - old), self.alpha))

    def evaluated(self) -> Sample:
        """The most probable path."""
        return plain(self._best(self.scores()))

    def _best(self, scores: np.ndarray) -> Choices:
        return best_operations(self.topology, scores, allow_none=self.config.sample_none)

    def _drawn(self, runs: Choices) -> Tensor:
        """Mask (T, E, K) of some operations."""
        mask = torch.zeros(tuple(self.alpha.shape), dtype=torch.bool)
        for kind, choices in enumerate(runs):
            for choice in choices:
                mask[kind, *choice] = True
        return mask.to(self.device)
