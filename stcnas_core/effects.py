"""Main effects of operations: what each adds to the accuracy of cells, whatever else is in them.

A supernet judges single cells badly: its error for one cell hardly shrinks with more images, since it comes from the
shared weights. The error of an average over many cells that have an operation in common does. So cells are taken as the
runs of a factorial experiment, whose factors are the edges, and a model without interactions is fitted to them.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from stcnas_core.path import Choices, indicator

PENALTY = 1.0
"""Ridge penalty on squared effects: as if each operation had been seen once more, with no effect."""


class MainEffects:
    """The ridge fit of accuracy by the sum of a cell's effects, over groups of cells that were judged by equal weights.

    Accuracies count by their distance from their group's mean, in its standard deviations: what differs between groups
    is how far the weights were trained, and says nothing about cells. `gram` (N, N) and `moment` (N,), N = T E K, are
    all that has to be kept of what was judged.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape, size = shape, torch.Size(shape).numel()
        self.gram = torch.zeros(size, size, dtype=torch.float64)
        self.moment = torch.zeros(size, dtype=torch.float64)

    def add(self, cells: Sequence[Choices], accuracies: Sequence[float]) -> None:
        """Take up cells that the same weights have judged; equal accuracies, as of a single cell, say nothing."""
        flat = torch.stack([indicator(cell, self.shape) for cell in cells]).flatten(1).double()
        y = torch.tensor(accuracies, dtype=torch.float64)
        distance = y - y.mean()
        spread = distance.square().mean().sqrt()
        self.gram += flat.T @ flat
        if spread > 0:
            self.moment += flat.T @ (distance / spread)

    def fit(self) -> Tensor:
        """Effects (T, E, K) in standard deviations of a group; -inf for an operation that no cell had."""
        seen = self.gram.diagonal() > 0
        effects = torch.linalg.solve(self.gram + PENALTY * torch.eye(len(seen), dtype=torch.float64), self.moment)
        return torch.where(seen, effects, -torch.inf).reshape(self.shape)

    @property
    def empty(self) -> bool:
        """Whether no cell has been taken up."""
        return not bool(self.gram.any())
