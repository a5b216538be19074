"""DATA, differentiable architecture approximation (Chang et al., NeurIPS 2019): the ensemble Gumbel-softmax.

An edge runs a set of operations: the union, an element-wise maximum of one-hot codes, of M Gumbel-softmax samples of
its categorical. What is searched with is thus a binary code, as what is derived is, and several operations per edge can
be learned; gradients pass from the codes to the probabilities as in the straight-through Gumbel-softmax, which is the
case M = 1. The paper's M are 4 and 7. As in the authors' published program an edge is the mean of the operations in its
code, alphas move on the validation half and weights on the training half, in turn, and the temperature falls from 5 to
1.
"""

import itertools
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stcnas_core.methods.base import Batch, Level, Sample
from stcnas_core.methods.gumbel import GumbelMethod, gumbel
from stcnas_core.path import Choices, everything


class Data(GumbelMethod):
    """Binary codes over all edges; the derived cell keeps one operation per edge of the target, as for every method."""

    @property
    def samples_per_iteration(self) -> int:
        """Each step draws its own code."""
        return 2

    @torch.no_grad()
    def sample(self, noise: float, generator: torch.Generator) -> Sample:
        """The operations of a code, alone, and the noise (M, T, E, K) that it was drawn with."""
        drawn = gumbel((self.config.ensemble, *self.alpha.shape), generator).to(self.device)
        code = self.one_hot(self.relaxed(drawn)).amax(dim=0)
        return Sample(chosen(code.cpu().numpy() > 0), self.derived(), noise=drawn)

    def alpha_gradients(
        self, level: Level, sample: Sample, train: Batch, valid: Batch
    ) -> tuple[Sequence[Tensor], tuple[Tensor, ...]]:
        """Everything runs, weighted by the code: an operation outside it has a gradient too."""
        return level.first_order(sample._replace(runs=everything(self.topology)), *valid)

    def weigh(self, sample: Sample) -> Tensor:
        """The code (T, E, K) over the number of its operations on an edge, with the gradient of the relaxed samples.

        An entry's gradient of the code is the mean over the samples that attain the maximum.
        """
        if sample.noise is None:
            code = torch.zeros(tuple(self.alpha.shape))
            for kind, choices in enumerate(sample.runs):
                code[kind, [edge for edge, _ in choices], [k for _, k in choices]] = 1.0
            return (code / code.sum(dim=2, keepdim=True)).to(self.device)
        soft = self.relaxed(sample.noise)
        hard = self.one_hot(soft)
        code = hard.amax(dim=0)
        attains = (hard == code).to(soft.dtype)
        surrogate = (soft * attains).sum(dim=0) / attains.sum(dim=0)
        code = code - surrogate.detach() + surrogate
        return code / code.sum(dim=2, keepdim=True)

    def one_hot(self, soft: Tensor) -> Tensor:
        """1 at the largest of each edge's entries (..., E, K), `none` passed over unless it may be sampled."""
        return torch.zeros_like(soft).scatter(-1, self._possible(soft.detach()).argmax(dim=-1, keepdim=True), 1.0)

    def evaluated(self) -> Sample:
        """The most probable code of each edge."""
        probabilities = self._possible(self.weights().detach()).clamp(min=0.0).cpu().double().numpy()
        mask = np.zeros(probabilities.shape, dtype=bool)
        for index in np.ndindex(probabilities.shape[:2]):
            edge = probabilities[index]
            mask[index][list(most_probable_code(edge / edge.sum(), self.config.ensemble))] = True
        return Sample(chosen(mask), self.derived())

    def _possible(self, scores: Tensor) -> Tensor:
        """Scores (..., E, K) with -1 for what an edge cannot have and a `none` that may not be sampled; others >= 0."""
        if self.barred is not None:
            scores = scores.masked_fill(self.barred, -1.0)
        operations = self.topology.operations
        if "none" not in operations or self.config.sample_none:
            return scores
        forbidden = torch.tensor([operation == "none" for operation in operations], device=scores.device)
        return scores.masked_fill(forbidden, -1.0)


def chosen(mask: NDArray[np.bool_]) -> Choices:
    """The operations that a mask (T, E, K) marks."""
    return tuple(tuple((int(edge), int(k)) for edge, k in zip(*kind.nonzero(), strict=True)) for kind in mask)


def most_probable_code(probabilities: NDArray[np.floating], samples: int) -> tuple[int, ...]:
    """The set of operations that so many draws from a categorical (K,) most probably hit, neither more nor fewer.

    Among sets of one size that of the largest probabilities is the likeliest, so that K sets are compared; the chance
    to hit all of a set and nothing else is, by inclusion and exclusion, a signed sum of (sum of a subset)^M.
    """
    order = np.argsort(-probabilities, kind="stable")
    best, likeliest = (int(order[0]),), -1.0
    for size in range(1, min(samples, len(order)) + 1):
        code = tuple(map(int, order[:size]))
        chance = sum(
            (-1) ** (size - count) * sum(float(probabilities[k]) for k in subset) ** samples
            for count in range(1, size + 1)
            for subset in itertools.combinations(code, count)
        )
        if chance > likeliest:
            best, likeliest = code, chance
    return best
