"""STC-NAS (Sun et al., Neurocomputing 497, 2022): sample a sub-cell of the target's size and train it alone.

Ablations of Table 8 and Figs. 6 and 7 are options of the configuration.
"""

import torch
from torch import Tensor

from stcnas_core.config import SearchConfig
from stcnas_core.effects import MainEffects
from stcnas_core.methods.base import Judge, Method, Sample, plain
from stcnas_core.methods.candidates import distinct
from stcnas_core.path import Choices, everything, indicator, select
from stcnas_core.randomness import stream
from stcnas_core.schedules import Ramp
from stcnas_core.topology import Topology


class Stc(Method):
    """ReLU weights, Kronecker-delta sampling with annealed noise, Jensen-Shannon loss, projection onto [0, 1]."""

    def __init__(self, config: SearchConfig, topology: Topology, device: str) -> None:
        super().__init__(config, topology, device)
        self.drift = config.unsampled == "drift"
        index = groups(topology, config.js_scope)
        self.groups, self.group_count = index.to(device), int(index.max()) + 1
        self.js_lambda = Ramp.parse(config.js_lambda)
        self.effects = MainEffects(tuple(self.alpha.shape))
        """What derivation ranks by where that is not alpha, of all cells that were judged so far."""
        self.anneal(0.0)

    def anneal(self, progress: float) -> None:
        """Lambda of Eq. 10 moves over the epochs."""
        if self.config.discretization_consistency and self.config.js_lambda != "0":
            self.penalty_weight = self.js_lambda.at(progress)

    def weights(self) -> Tensor:
        """ReLU(alpha) (Eq. 3), or the softmax and sigmoid of Fig. 6."""
        if self.config.weighting == "relu":
            return self.logits().relu()
        return self.logits().softmax(dim=2) if self.config.weighting == "softmax" else self.logits().sigmoid()

    @property
    def samples_per_iteration(self) -> int:
        """One sub-cell for both steps (Eq. 10), or two, as the configuration says."""
        return 2 if self.config.samples_per_iteration == "two" else 1

    def ranking(self) -> Tensor:
        """Alpha itself, as in the argmax of Eq. 5, for operations within an edge and for edges within a node."""
        return self.alpha.detach()

    def sample(self, noise: float, generator: torch.Generator) -> Sample:
        """A perturbed sub-cell, which runs alone; without cell consistency everything runs beside it."""
        cell = self.perturbed(noise, generator)
        return Sample(cell if self.config.cell_consistency else everything(self.topology), cell)

    def perturbed(self, noise: float, generator: torch.Generator) -> Choices:
        """argmax of alpha + eps per edge and the best edges per node, eps uniform in a range of `noise` (Eq. 5)."""
        epsilon = torch.rand(tuple(self.alpha.shape), generator=generator).numpy()
        if self.config.noise_form == "two_sided":
            epsilon = 2.0 * epsilon - 1.0
        return select(self.topology, self.scores() + noise * epsilon, allow_none=self.config.sample_none)

    def penalty(self, cell: Choices) -> Tensor | None:
        """JS(alpha_s || alpha) of Eq. 9, the mean over the scope's distributions, in nats: between 0 and ln 2."""
        if self.penalty_weight is None:
            return None
        mask = indicator(cell, tuple(self.alpha.shape)).to(self.device)
        weights = self.weights()
        if self.config.js_gradient == "sampled":
            weights = torch.where(mask > 0, weights, weights.detach())
        return jensen_shannon(weights * mask, weights, self.groups, self.group_count)

    def project(self) -> None:
        """The nearest point of [0, 1] (Eqs. 6-8), where weights are ReLUs; softmax and sigmoid are bounded already."""
        if self.config.discretization_consistency and self.config.weighting == "relu":
            with torch.no_grad():
                self.alpha.clamp_(0.0, 1.0)

    def buffers(self) -> dict[str, Tensor]:
        """What the effects are fitted to, where derivation asks for them."""
        if self.config.value("derive_by") == "alpha":
            return {}
        return {"gram": self.effects.gram, "moment": self.effects.moment}

    def judge(self, epoch: int, accuracy: Judge) -> None:
        """Judge uniformly drawn cells by the weights as they are, for the effects of their operations.

        Each is judged on the next images of the validation half: those that all cells shared would favour the same
        operations in every cell, which no number of cells averages out.
        """
        if self.config.value("derive_by") == "alpha":
            return
        count: int = self.config.value("candidates")
        batches: int = self.config.value("candidate_batches")
        cells = distinct(lambda draws: self.uniform(draws).cell, count, stream(self.config.seed, "candidates", epoch))
        first = epoch * count
        judged = [accuracy(plain(cell), batches, (first + turn) * batches) for turn, cell in enumerate(cells)]
        self.effects.add(cells, judged)

    def derived(self) -> Choices:
        """By alpha, or once there are any by the effects: argmax per edge, best edges per node."""
        if self.effects.empty:
            return super().derived()
        return select(self.topology, self.effects.fit().numpy(), allow_none=self.config.sample_none)

    def evaluated(self) -> Sample:
        """The derived sub-network, weighted if derived by alpha; the whole supernet without cell consistency."""
        cell = self.derived()
        if not self.effects.empty:
            return plain(cell)
        return Sample(cell if self.config.cell_consistency else everything(self.topology), cell)


def groups(topology: Topology, scope: str) -> Tensor:
    """Index (E,) of the distribution that an edge's entries belong to: one per node, per edge, or per cell."""
    edges = len(topology.edges)
    if scope == "edge":
        return torch.arange(edges)
    if scope == "cell":
        return torch.zeros(edges, dtype=torch.long)
    index = torch.zeros(edges, dtype=torch.long)
    for group, members in enumerate(topology.edges_by_node):
        index[list(members)] = group
    return index


def jensen_shannon(p: Tensor, q: Tensor, groups: Tensor, count: int) -> Tensor:
    """Mean Jensen-Shannon divergence (Eq. 9) of two families of non-negative entries (T, E, K), in nats.

    Entries are normalised within their cell kind and group, `groups` (E,) out of `count`; 0 log 0 is 0. A group in
    which either family is zero throughout has no distribution: it counts as 0 and gives no gradient.
    """
    kinds, _, operations = p.shape
    index = groups[None, :, None].expand(kinds, -1, operations).reshape(kinds, -1)

    def total(x: Tensor) -> Tensor:
        return x.new_zeros(kinds, count).scatter_add(1, index, x.reshape(kinds, -1))

    sums_p, sums_q = total(p), total(q)
    defined = (sums_p > 0) & (sums_q > 0)
    one = torch.ones_like(sums_p)

    def normalise(x: Tensor, sums: Tensor) -> Tensor:
        return x.reshape(kinds, -1) / torch.where(defined, sums, one).gather(1, index)

    p, q = normalise(p, sums_p), normalise(q, sums_q)
    middle = (p + q) / 2
    divergence = total((_x_log_ratio(p, middle) + _x_log_ratio(q, middle)) / 2)
    return torch.where(defined, divergence, torch.zeros_like(divergence)).mean()


def _x_log_ratio(x: Tensor, y: Tensor) -> Tensor:
    """x log(x / y) with 0 log 0 = 0, and finite gradients there."""
    positive = x > 0
    safe_x, safe_y = torch.where(positive, x, torch.ones_like(x)), torch.where(positive, y, torch.ones_like(y))
    return torch.where(positive, x * (safe_x.log() - safe_y.log()), torch.zeros_like(x))
