"""Values that change over the epochs of a search or a training run."""

import math
import re
from dataclasses import dataclass
from functools import lru_cache

from stcnas_core.errors import InputError

_NUMBER = r"(\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)"
_RAMP = re.compile(rf"\s*{_NUMBER}\s*(?:->\s*{_NUMBER}\s*)?", re.ASCII)


@dataclass(frozen=True)
class Ramp:
    """A value that moves linearly from `start` in the first epoch to `end` in the last (lambda of Eq. 10, Table 7)."""

    start: float
    end: float

    @classmethod
    @lru_cache(maxsize=256)
    def parse(cls, text: str) -> "Ramp":
        """Read `"2"` (static) or `"0->2"` (rising or falling); raises InputError on anything else."""
        match = _RAMP.fullmatch(text) if len(text) <= 100 else None
        if match is None:
            raise InputError(f"{text[:100]!r} is no schedule: write a number such as '2', or a ramp such as '0->2'")
        start = float(match[1])
        end = float(match[2]) if match[2] is not None else start
        if not (math.isfinite(start) and math.isfinite(end)):
            raise InputError(f"{text!r} is no schedule: both ends must be finite")
        return cls(start, end)

    def __str__(self) -> str:
        return _written(self.start) if self.start == self.end else f"{_written(self.start)}->{_written(self.end)}"

    def at(self, progress: float) -> float:
        """The value at `progress`, 0 in the first epoch and 1 in the last."""
        return self.start + (self.end - self.start) * progress


def _written(number: float) -> str:
    """The shortest text that `parse` reads back as the same number."""
    short = f"{number:g}"
    return short if float(short) == number else repr(number)


def progress(epoch: int, epochs: int) -> float:
    """How far `epoch` (from 0) is through `epochs`: 0 in the first, 1 in the last, 0 where there is but one."""
    return min(max(epoch / (epochs - 1), 0.0), 1.0) if epochs > 1 else 0.0


def stage(epoch: int, epochs: int, stages: int) -> tuple[int, int]:
    """The first epoch and the number of epochs of the stage that `epoch` belongs to, of so many about equal ones."""
    starts = [number * epochs // stages for number in range(stages + 1)]
    number = max(number for number in range(stages) if starts[number] <= epoch)
    return starts[number], starts[number + 1] - starts[number]


def cosine(start: float, end: float, epoch: int, epochs: int) -> float:
    """Cosine annealing by epoch from `start` towards `end`, which would be reached in epoch `epochs` (DARTS's form)."""
    return end + 0.5 * (start - end) * (1.0 + math.cos(math.pi * epoch / epochs))
