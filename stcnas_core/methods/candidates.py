"""Methods that end in a choice: cells are drawn after the last epoch, and the best with inherited weights is kept."""

from collections.abc import Callable

import torch
from torch import Tensor

from stcnas_core.config import SearchConfig
from stcnas_core.methods.base import Judge, Method, Sample, plain
from stcnas_core.path import Choices
from stcnas_core.randomness import stream
from stcnas_core.topology import Topology


class CandidateMethod(Method):
    """Draws `candidates` cells and judges each by the validation accuracy of the supernet's weights.

    Each is judged on the first `candidate_batches` batches of the validation half, and the best `finalists` of them,
    where there are several, then on all of it. Ties go to the cell that was drawn first. Until the choice, `derived`
    is what `undecided` says.
    """

    finalists = 1
    """Cells that are judged on the whole validation half after a first round on a part of it."""

    def __init__(self, config: SearchConfig, topology: Topology, device: str) -> None:
        super().__init__(config, topology, device)
        effective = config.effective()
        self.candidates, self.candidate_batches = effective["candidates"], effective["candidate_batches"]
        # The operation of each edge, -1 where the cell has no such edge, and everywhere until the choice.
        self.choice = torch.full((len(topology.kinds), len(topology.edges)), -1)

    def buffers(self) -> dict[str, Tensor]:
        """The chosen cell."""
        return {"choice": self.choice}

    def candidate(self, generator: torch.Generator) -> Choices:
        """One of the cells that are judged."""
        raise NotImplementedError

    def undecided(self) -> Choices:
        """The cell that stands in for the result until the choice."""
        raise NotImplementedError

    def choose(self, accuracy: Judge) -> None:
        """Keep the best of the candidates; a cell that is drawn twice is judged once."""
        cells = distinct(self.candidate, self.candidates, stream(self.config.seed, "candidates"))
        if self.candidate_batches > 0:
            cells = _best(cells, accuracy, self.candidate_batches)[: self.finalists]
        cell = cells[0] if len(cells) == 1 else _best(cells, accuracy, 0)[0]
        for kind, choices in enumerate(cell):
            for edge, operation in choices:
                self.choice[kind, edge] = operation

    def derived(self) -> Choices:
        """The chosen cell."""
        if bool((self.choice < 0).all()):
            return self.undecided()
        return tuple(tuple((edge, k) for edge, k in enumerate(row) if k >= 0) for row in self.choice.tolist())

    def evaluated(self) -> Sample:
        """The cell itself, as it was judged."""
        return plain(self.derived())


def distinct(draw: Callable[[torch.Generator], Choices], count: int, draws: torch.Generator) -> list[Choices]:
    """The cells of so many draws, each once, in the order in which they were drawn."""
    return list(dict.fromkeys(draw(draws) for _ in range(count)))


def _best(cells: list[Choices], accuracy: Judge, batches: int) -> list[Choices]:
    return sorted(cells, key=lambda cell: -accuracy(plain(cell), batches, 0))
