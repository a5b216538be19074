"""SGAS (Li et al., CVPR 2020): the supernet is decided edge by edge while it trains, the surest edge first.

The first 9 of 50 epochs decide nothing; then, every 5 epochs, the undecided edge of the highest score in each kind of
cell gets its best operation for good. From then on it runs that alone, unweighted, and the edges that its node has no
place for any more are pruned. The score is the product of the measures below, each scaled to [0, 1] over the edges.
With p the softmax over an edge's operations, the zero operation among them, and q that of the others alone:

- edge importance: 1 - p(zero);
- selection certainty: 1 - H(q) / log of the number of operations;
- selection stability (criterion 2): the mean over the last 4 epochs of the histogram intersection sum min(q, q then).

The DARTS space as searched here has no zero operation: there SGAS has one of its own, an alpha per edge that competes
in the softmax and runs nothing. No edge is decided for a zero operation. The batch does not grow as edges are decided,
so that SGAS takes as many steps as the others.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from stcnas_core.config import SearchConfig
from stcnas_core.methods.base import Sample
from stcnas_core.methods.darts import Darts
from stcnas_core.path import Choices
from stcnas_core.topology import Topology

FIRST, EVERY, OF = 10, 5, 50
"""Of 50 epochs the tenth ends with the first decision, and every fifth after it with another."""
HISTORY = 4
UNDECIDED, PRUNED = -1, -2


class Sgas(Darts):
    """DARTS on what is undecided; `fate` (T, E) holds the operation of each edge, UNDECIDED or PRUNED."""

    def __init__(self, config: SearchConfig, topology: Topology, device: str) -> None:
        super().__init__(config, topology, device)
        kinds, edges, operations = self.alpha.shape
        self.none = topology.operations.index("none") if "none" in topology.operations else None
        self.zero = nn.Parameter(torch.zeros(kinds, edges, 1, device=device))
        self.fate = torch.full((kinds, edges), UNDECIDED)
        self.settled = {name: value.detach().clone() for name, value in self.parameters().items()}
        self.history = torch.zeros(HISTORY, kinds, edges, operations - (self.none is not None))
        self.epochs_seen = torch.zeros((), dtype=torch.long)
        self._follow()

    def parameters(self) -> dict[str, nn.Parameter]:
        """Alphas (T, E, K), and the zero operation's (T, E, 1) where the space has none."""
        return {"alpha": self.alpha} if self.none is not None else {"alpha": self.alpha, "zero": self.zero}

    def buffers(self) -> dict[str, Tensor]:
        """What was decided, with which alphas, and the choices of the last epochs."""
        settled = {f"settled_{name}": value for name, value in self.settled.items()}
        return {"fate": self.fate, **settled, "history": self.history, "epochs_seen": self.epochs_seen}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Put back parameters and buffers as they were saved."""
        super().restore(state)
        self._follow()

    def _follow(self) -> None:
        """What follows from `fate`: the operations that run, and the weights that are fixed."""
        fixed = torch.zeros(tuple(self.alpha.shape))
        runs = []
        for kind, fates in enumerate(self.fate.tolist()):
            runs.append([])
            for edge, fate in enumerate(fates):
                runs[kind] += [(edge, k) for k in self.topology.possible(edge) if fate in (UNDECIDED, k)]
                if fate >= 0:
                    fixed[kind, edge, fate] = 1.0
        self.runs: Choices = tuple(map(tuple, runs))
        self.decided = (self.fate != UNDECIDED)[:, :, None].to(self.device)
        self.fixed = fixed.to(self.device)

    def probabilities(self) -> Tensor:
        """Softmax over the operations of an edge and the zero operation: (T, E, K), or (T, E, K + 1), it being last."""
        logits = self.logits() if self.none is not None else torch.cat([self.logits(), self.zero], dim=2)
        return logits.softmax(dim=2)

    def weights(self) -> Tensor:
        """The probabilities; one for what was decided, zero for the rest of such an edge."""
        return torch.where(self.decided, self.fixed, self.probabilities()[:, :, : self.alpha.shape[2]])

    def evaluated(self) -> Sample:
        """All that is not ruled out."""
        return Sample(self.runs, self.derived())

    def project(self) -> None:
        """The alphas of decided edges rest."""
        with torch.no_grad():
            for name, value in self.parameters().items():
                value.copy_(torch.where(self.decided, self.settled[name], value))

    def end(self, epoch: int) -> None:
        """Take the decisions that are due after this epoch."""
        warmup = self.config.value("warmup_epochs")
        if epoch < warmup:
            return
        scores, choices = self.scores_of_edges()
        due = decisions_due(epoch + 1 - warmup, self.config.epochs - warmup)
        for kind in range(len(self.fate)):
            while (self.fate[kind] >= 0).sum() < due and (self.fate[kind] == UNDECIDED).any():
                edge = int(torch.where(self.fate[kind] == UNDECIDED, scores[kind], -1.0).argmax())
                self._decide(kind, edge, int(choices[kind, edge]))
        self._follow()
        for name, value in self.parameters().items():
            self.settled[name].copy_(value.detach())
        self.moved()

    def _decide(self, kind: int, edge: int, operation: int) -> None:
        self.fate[kind, edge] = operation
        kept = self.topology.kept
        members = next(list(edges) for edges in self.topology.edges_by_node if edge in edges)
        if kept is not None and (self.fate[kind, members] >= 0).sum() >= kept:
            for other in members:
                if self.fate[kind, other] == UNDECIDED:
                    self.fate[kind, other] = PRUNED

    def scores_of_edges(self) -> tuple[Tensor, Tensor]:
        """The score (T, E) of every edge and its best operation (T, E), on the host; the choices join the history."""
        p = self.probabilities().detach().cpu()
        zero = p.shape[2] - 1 if self.none is None else self.none
        others = [k for k in range(p.shape[2]) if k != zero]
        importance = 1.0 - p[:, :, zero]
        q = p[:, :, others] / p[:, :, others].sum(dim=2, keepdim=True)
        certainty = 1.0 - torch.special.entr(q).sum(dim=2) / torch.log(torch.tensor(float(len(others))))
        score = min_max(importance) * min_max(certainty)
        seen = min(int(self.epochs_seen), HISTORY)
        if self.config.edge_criterion == "stability" and seen:
            score = score * min_max(torch.minimum(self.history[:seen], q).sum(dim=3).mean(dim=0))
        self.history.copy_(torch.cat([q[None], self.history[:-1]]))
        self.epochs_seen += 1
        return score, torch.tensor(others)[q.argmax(dim=2)]


def decisions_due(done: int, epochs: int) -> int:
    """How many edges of each kind of cell are to be decided after `done` of `epochs` epochs."""
    past = OF * done - FIRST * epochs
    return 0 if past < 0 else past // (EVERY * epochs) + 1


def min_max(values: Tensor) -> Tensor:
    """Values (T, E) scaled to [0, 1] over the edges of each kind of cell; all 1 where they are equal."""
    lowest, highest = values.amin(dim=1, keepdim=True), values.amax(dim=1, keepdim=True)
    spread = highest - lowest
    return torch.where(spread > 0, (values - lowest) / torch.where(spread > 0, spread, 1.0), 1.0)
