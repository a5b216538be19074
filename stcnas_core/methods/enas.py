"""ENAS (Pham et al., ICML 2018): an LSTM controller draws cells, and learns by policy gradient which ones are good.

The controller decides a cell step by step, each decision fed into the next step: for a node of the DARTS space its two
inputs, by attention over the nodes before it, then their two operations; in NAS-Bench-201 the operation of every edge.
The reduction cell follows the normal cell in one sequence. Weights are trained by cells that the controller draws; the
controller by REINFORCE, the reward being the cell's accuracy on a validation batch plus its entropy, with a moving
average as the baseline. At the end cells are drawn, and the one of the highest accuracy on one validation batch is the
result.

From the paper: 100 hidden units, parameters uniform in [-0.1, 0.1], logits 2.5 tanh(x / 5), Adam (its rate is 3.5e-4).
From the authors' published program for cells: entropy weight 1e-4, baseline decay 0.99. The paper trains weights for an
epoch and then the controller; here they take turns by the iteration, as in every method of this product, so that all
see as many batches. The inputs of a node are distinct, as in the space.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from stcnas_core.config import SearchConfig
from stcnas_core.methods.base import Batch, Level, Sample
from stcnas_core.methods.candidates import CandidateMethod
from stcnas_core.path import Choice, Choices
from stcnas_core.randomness import initialisation, stream
from stcnas_core.topology import Topology

HIDDEN = 100
TANH_CONSTANT, TEMPERATURE = 2.5, 5.0
BASELINE_DECAY = 0.99

Pick = Callable[[Tensor], int]
"""Takes a decision: the index of one of some logits (n,)."""


class Walk:
    """What the controller decided, with the log-probability of it and the entropy of the decisions, in nats."""

    def __init__(self, pick: Pick) -> None:
        self.pick = pick
        self.decisions: list[int] = []
        self.log_probability, self.entropy = torch.zeros(()), torch.zeros(())

    def decide(self, logits: Tensor) -> int:
        """Take one decision among logits (n,); -inf is no choice."""
        index = self.pick(logits)
        self.decisions.append(index)
        self.log_probability = self.log_probability + logits.log_softmax(dim=0)[index]
        self.entropy = self.entropy + torch.special.entr(logits.detach().softmax(dim=0)).sum()
        return index


class Controller(nn.Module):
    """The LSTM and its two classifiers, on the host: its steps are too small to be worth a device's while."""

    def __init__(self, topology: Topology, *, allow_none: bool) -> None:
        super().__init__()
        self.topology = topology
        self.lstm = nn.LSTMCell(HIDDEN, HIDDEN)
        self.start = nn.Parameter(torch.empty(1, HIDDEN))
        self.embeddings = nn.Parameter(torch.empty(len(topology.operations), 1, HIDDEN))
        self.operations = nn.Linear(HIDDEN, len(topology.operations))
        if topology.kept is not None:
            self.key, self.query = (nn.Linear(HIDDEN, HIDDEN, bias=False) for _ in range(2))
            self.score = nn.Linear(HIDDEN, 1, bias=False)
        none = [operation == "none" and not allow_none for operation in topology.operations]
        edges = range(len(topology.edges))
        forbidden = [[barred or (edge, k) in topology.barred for k, barred in enumerate(none)] for edge in edges]
        self.register_buffer("forbidden", torch.tensor(forbidden), persistent=False)

    def forward(self, walk: Walk) -> Choices:
        """Decide a cell of each kind; `walk` takes the decisions and keeps account of them."""
        self.state: tuple[Tensor, Tensor] | None = None
        inside = self._edges if self.topology.kept is None else self._nodes
        return tuple(tuple(sorted(inside(walk))) for _ in self.topology.kinds)

    def _edges(self, walk: Walk) -> list[Choice]:
        """An operation for every edge."""
        choices, x = [], self.start
        for edge in range(len(self.topology.edges)):
            operation = self._operation(walk, x, edge)
            choices.append((edge, operation))
            x = self.embeddings[operation]
        return choices

    def _nodes(self, walk: Walk) -> list[Choice]:
        """For every node the inputs that it keeps, then an operation for each of them."""
        # A node is known by the LSTM's state after it was decided, the given ones by those after empty steps.
        anchors = [self._step(self.start) for _ in range(self.topology.inputs)]
        choices: list[Choice] = []
        for edges in self.topology.edges_by_node:
            kept: list[int] = []
            x = self.start
            for _ in range(self.topology.kept or 0):
                hidden = self._step(x)
                attention = torch.tanh(self.key(torch.cat(anchors)) + self.query(hidden))
                taken = torch.tensor([source in kept for source in range(len(anchors))])
                kept.append(walk.decide(_squashed(self.score(attention).flatten()).masked_fill(taken, -torch.inf)))
                x = anchors[kept[-1]]
            for source in kept:
                operation = self._operation(walk, x, edges[source])
                choices.append((edges[source], operation))
                x = self.embeddings[operation]
            anchors.append(self._step(x))
        return choices

    def _operation(self, walk: Walk, x: Tensor, edge: int) -> int:
        logits = _squashed(self.operations(self._step(x)).flatten())
        return walk.decide(logits.masked_fill(self.forbidden[edge], -torch.inf))  # type: ignore[index]

    def _step(self, x: Tensor) -> Tensor:
        hidden, memory = self.lstm(x, self.state)
        self.state = hidden, memory
        return hidden


def _squashed(logits: Tensor) -> Tensor:
    return TANH_CONSTANT * torch.tanh(logits / TEMPERATURE)


class Enas(CandidateMethod):
    """The controller is what is learned; there are no alphas."""

    def __init__(self, config: SearchConfig, topology: Topology, device: str) -> None:
        super().__init__(config, topology, device)
        with initialisation(config.seed):
            self.controller = Controller(topology, allow_none=config.sample_none)
        draws = stream(config.seed, "controller")
        for parameter in self.controller.parameters():
            nn.init.uniform_(parameter, -0.1, 0.1, generator=draws)
        # Sums of the rewards so far and of ones, each counting 0.99 of the next; the baseline is their ratio.
        self.average = torch.zeros(2)

    @property
    def samples_per_iteration(self) -> int:
        """The weights' step draws a cell of its own."""
        return 2

    def parameters(self) -> dict[str, nn.Parameter]:
        """Those of the controller."""
        return {f"controller.{name}": parameter for name, parameter in self.controller.named_parameters()}

    def buffers(self) -> dict[str, Tensor]:
        """The chosen cell, and the baseline."""
        return {**super().buffers(), "average": self.average}

    def moved(self) -> None:
        """Nothing to send to the host: the controller is there."""

    @torch.no_grad()
    def sample(self, noise: float, generator: torch.Generator) -> Sample:
        """A cell that the controller draws, alone and unscaled."""
        walk = Walk(lambda logits: int(torch.multinomial(logits.softmax(dim=0), 1, generator=generator)))
        cell = self.controller(walk)
        return Sample(cell, cell, plain=True, decisions=tuple(walk.decisions))

    @torch.no_grad()
    def accuracy(self, level: Level, sample: Sample, x: Tensor, y: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Share of a batch that a cell gets right, on the host, and what was measured."""
        loss, logits = level.loss(self.path(sample), x, y)
        return (logits.argmax(dim=1) == y).float().mean().cpu(), (loss, y, logits)

    def alpha_gradients(
        self, level: Level, sample: Sample, train: Batch, valid: Batch
    ) -> tuple[Sequence[Tensor], tuple[Tensor, ...]]:
        """The policy's gradient, by the accuracy on the validation batch."""
        accuracy, measured = self.accuracy(level, sample, *valid)
        policy = list(self.parameters().values())
        return torch.autograd.grad(self.policy_loss(sample, accuracy), policy), measured

    def policy_loss(self, sample: Sample, accuracy: Tensor) -> Tensor:
        """REINFORCE: minus the log-probability of a cell's decisions, times reward minus baseline.

        `accuracy` is the cell's, in [0, 1]. The baseline takes note of the reward afterwards.
        """
        decisions = iter(sample.decisions)
        walk = Walk(lambda logits: next(decisions))
        self.controller(walk)
        reward = accuracy + self.config.entropy_weight * walk.entropy
        # Without a reward so far there is no baseline to exceed.
        baseline = self.average[0] / self.average[1] if self.average[1] > 0 else reward
        advantage = reward - baseline
        self.average.mul_(BASELINE_DECAY).add_(torch.stack([reward, torch.ones(())]), alpha=1 - BASELINE_DECAY)
        return -walk.log_probability * advantage

    def candidate(self, generator: torch.Generator) -> Choices:
        """A cell that the controller draws."""
        return self.sample(0.0, generator).cell

    @torch.no_grad()
    def undecided(self) -> Choices:
        """The cell of the most probable decision at every step."""
        return self.controller(Walk(lambda logits: int(logits.argmax())))
