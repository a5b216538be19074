"""Which images train weights and which train architecture parameters, and which are the first of a large set."""

import numpy as np
import torch
from torch import Tensor

from stcnas_core.randomness import stream


def draw_halves(labels: np.ndarray, seed: int, share: float | None) -> tuple[Tensor, Tensor, torch.Generator]:
    """Two disjoint sets of indices (int64) of equal size, in random order, and the stream that drew them.

    With `share` None they are the halves of all images, whatever their class. Else each has that share of every class's
    images, rounded up or down at random so that the mean is exact (section 4.2: two samples of 10 % of each class).
    """
    generator = stream(seed, "halves")
    count = len(labels)
    order = torch.randperm(count, generator=generator)
    if share is None:
        half = count // 2
        return order[:half], order[half : 2 * half], generator
    # Within a class of n images, in the order drawn, the r-th lies at (r + u) / n with one u in [0, 1) for the class.
    drawn = labels[order.numpy()]
    by_class = np.argsort(drawn, kind="stable")
    counts = np.bincount(drawn)
    rank = np.arange(count) - np.repeat(np.cumsum(counts) - counts, counts)
    offset = torch.rand(len(counts), generator=generator, dtype=torch.float64).numpy()
    at = np.empty(count)
    at[by_class] = (rank + np.repeat(offset, counts)) / np.repeat(counts, counts)
    first, second = (order[torch.from_numpy(part)] for part in (at < share, (at >= share) & (at < 2 * share)))
    size = min(len(first), len(second))
    return first[:size], second[:size], generator


def first_by_turns(labels: np.ndarray, limit: int | None) -> np.ndarray:
    """Ascending indices of the first `limit` images (all when None), taken from the classes by turns."""
    if limit is None or limit >= len(labels):
        return np.arange(len(labels))
    by_class = np.argsort(labels, kind="stable")
    counts = np.bincount(labels)
    turn = np.empty_like(by_class)
    turn[by_class] = np.arange(len(labels)) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.sort(np.lexsort((labels, turn))[:limit])
