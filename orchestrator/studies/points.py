"""What is left of a study's space: the points that no suggestion has been, gone through without a sampler.

A sampler draws from a space without knowing its end. Whether a study can be asked for more, drivers and whoever only
reads it have to answer alike, so it is answered here, for both.
"""

import hashlib
import itertools
import math
import random
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from orchestrator.plan import Plan
from orchestrator.settings import identity, suggested
from orchestrator.spec import Sweep
from orchestrator.studies.suggestions import Suggestion
from orchestrator.sweep_file.space import Optuna, Parameter, Range
from stcnas_core.errors import InputError

DRAWS = 20
"""Times that a sampler is asked for a point that is new, before others are taken."""

ENUMERATED = 10_000
"""Points up to which all of a space are gone through; of more, so many are drawn."""

Point = Mapping[str, Any]


def left(optuna: Optuna, number: int, free: Callable[[Point], bool]) -> Point | None:
    """A point for the suggestion of that number, at random; None where the space has none that is `free`."""
    dice = random.Random(seed_of(optuna, number, DRAWS))
    return next((point for point in _points(optuna.space, dice) if free(point)), None)


def exhausted(plan: Plan) -> bool:
    """Whether every point of a study's space that can run has been suggested."""
    assert plan.sweep.optuna is not None
    known = {identity(suggested(plan.sweep, one).config) for one in plan.suggestions}
    return left(plan.sweep.optuna, next_number(plan), lambda point: is_new(plan.sweep, point, known)) is None


def is_new(sweep: Sweep, point: Point, known: set[str]) -> bool:
    """Whether a point can run, and is another search than those of the identities that are `known`."""
    try:
        return identity(suggested(sweep, Suggestion(0, point)).config) not in known
    except InputError:
        return False


def next_number(plan: Plan) -> int:
    """The number of the next suggestion."""
    return max((one.number for one in plan.suggestions), default=0) + 1


def seed_of(optuna: Optuna, number: int, attempt: int) -> int:
    """Seed of what is drawn for the suggestion of that number, the first time it is drawn (0) or a later one."""
    return int.from_bytes(hashlib.sha256(f"{optuna.seed} {number} {attempt}".encode()).digest()[:4])


def _points(space: Mapping[str, Parameter], dice: random.Random) -> Iterator[dict[str, Any]]:
    """All points of a small space in a random order, as many random points of another."""
    values = [kind.values for kind in space.values()]
    if all(known is not None for known in values) and math.prod(len(known or ()) for known in values) <= ENUMERATED:
        points = list(itertools.product(*(known or () for known in values)))
        dice.shuffle(points)
        yield from (dict(zip(space, point, strict=True)) for point in points)
        return
    for _ in range(ENUMERATED):
        yield {name: _uniform(kind, dice) for name, kind in space.items()}


def _uniform(kind: Parameter, dice: random.Random) -> Any:
    if not isinstance(kind, Range) or kind.values is not None:
        return dice.choice(kind.values or ())
    if kind.log:
        return kind.nearest(math.exp(dice.uniform(math.log(kind.low), math.log(kind.high))))
    return kind.nearest(dice.uniform(kind.low, kind.high))
