"""What stands before the cells, as far as it decides which images fit; free of torch."""

from dataclasses import dataclass
from typing import Literal

StemName = Literal["cifar", "imagenet"]


@dataclass(frozen=True)
class Stem:
    """How often a stem halves the image, and the stride of the pooling in the auxiliary head that goes with it."""

    halvings: int
    auxiliary_stride: int


STEMS: dict[str, Stem] = {"cifar": Stem(0, 3), "imagenet": Stem(3, 2)}

_CELLS_HALVE = 2
"""Times that the cells halve the image; the layer-wise space does so once more, where a single pixel stays one."""
_POOLED, _LEFT = 5, 2
"""The auxiliary head pools windows of 5x5 and needs 2x2 of them."""


def smallest_side(stem: str) -> int:
    """The side in pixels of the smallest images that networks with that stem can halve as often as they do."""
    return 2 ** (STEMS[stem].halvings + _CELLS_HALVE)


def halves_evenly(stem: str, side: int) -> bool:
    """Whether the DARTS space's reductions, which take alternate pixels, meet even sides alone."""
    # The first of them works on what ImageNet's stem leaves before its last halving.
    before = max(0, STEMS[stem].halvings - 1)
    return -(-side // 2**before) % 2 ** (STEMS[stem].halvings - before + _CELLS_HALVE) == 0


def has_auxiliary(stem: str, side: int) -> bool:
    """Whether the auxiliary head of the DARTS space fits images of that side."""
    left = -(-side // 2 ** (STEMS[stem].halvings + _CELLS_HALVE))
    return halves_evenly(stem, side) and (left - _POOLED) // STEMS[stem].auxiliary_stride + 1 == _LEFT


def auxiliary_sides(stem: str) -> str:
    """The sides that `has_auxiliary` allows, as messages name them: 32, 36, 40 pixels with CIFAR's stem."""
    halvings = STEMS[stem].halvings + _CELLS_HALVE
    sides = [side for side in range(0, 2 ** (halvings + 4), 2**halvings) if has_auxiliary(stem, side)]
    return f"{', '.join(map(str, sides))} pixels"
