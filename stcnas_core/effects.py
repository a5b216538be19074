"""Main effects of operations: what each adds to the accuracy of cells, whatever else is in them.

A supernet judges single cells badly: its error for one cell hardly shrinks with more images, since it comes from the
shared weights. The error of an average over many cells that have an operation in common does. So cells are taken as the
runs of a factorial experiment, whose factors are the edges, and a model without interactions is fitted to them.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from stcnas_core.path import Choices

PENALTY = 1.0
"""Ridge penalty on squared effects: as if each operation had been seen once more, with no effect."""


def main_effects(
    shape: tuple[int, int, int], cells: Sequence[Choices], accuracies: Sequence[float]
) -> NDArray[np.float64]:
    """Effects (T, E, K), in the unit of `accuracies` around their mean; -inf for an operation that is in no cell.

    The ridge fit of accuracy by the sum of a cell's effects.
    """
    design = np.zeros((len(cells), *shape))
    for row, cell in enumerate(cells):
        for kind, choices in enumerate(cell):
            for edge, operation in choices:
                design[row, kind, edge, operation] = 1.0
    flat, y = design.reshape(len(cells), -1), np.asarray(accuracies, dtype=np.float64)
    effects = np.linalg.solve(flat.T @ flat + PENALTY * np.eye(flat.shape[1]), flat.T @ (y - y.mean()))
    return np.where(design.any(axis=0), effects.reshape(shape), -np.inf)
