"""Whether a supernet's weights rank cells: accuracies of uniformly drawn cells that inherit them, untrained beyond."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from stcnas_core.bilevel import Bilevel
from stcnas_core.genotype import Genotype
from stcnas_core.methods.base import Method, plain
from stcnas_core.path import from_genotype, to_genotype


def draw(method: Method, count: int, generator: torch.Generator) -> list[Genotype]:
    """Distinct cells, each set of `count` as likely as any other; `none` is in them only where it may be derived."""
    cells: dict[Genotype, None] = {}
    while len(cells) < count:
        cells.setdefault(to_genotype(method.topology, method.uniform(generator).cell))
    return list(cells)


@torch.no_grad()
def accuracies(bilevel: Bilevel, cells: Sequence[Genotype], batches: Iterable[tuple[Tensor, Tensor]]) -> list[float]:
    """Percent of the images right, by cell, each with plain weights as derived, norms with each batch's statistics.

    Every batch (x, y) is seen by all cells before the next is made. Nothing of the search is changed.
    """
    paths = [bilevel.method.path(plain(from_genotype(cell))) for cell in cells]
    right = torch.zeros(len(paths), dtype=torch.int64, device=bilevel.device)
    images = 0
    for x, y in batches:
        images += len(y)
        right += torch.stack([(bilevel.loss(path, x, y)[1].argmax(dim=1) == y).sum() for path in paths])
    return (right.double() * 100 / images).tolist()
