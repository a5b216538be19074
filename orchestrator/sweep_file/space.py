"""The `optuna` section of a sweep file: what is varied, what it is judged by, which settings get no more seeds."""

import math
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, PlainValidator, ValidationError, field_validator

from orchestrator.benchmark import METRICS
from orchestrator.identity import Stage
from orchestrator.sweep_file.fields import SEARCH_TYPES, STRICT, Given, GridSection, model_of

MOST_SUGGESTIONS = 10_000
MOST_CHOICES = 100

DIGITS = 4
"""Significant digits of a number that is drawn from a range: what a person can read, and exactly what is run."""

FIXED = ("seed", "space", "dataset")
"""Fields of a search that decide what a study is about, and so cannot be suggested by it."""

_COSTS = ("params", "macs", "macs_with_norms", "device_seconds", "step_seconds", "peak_memory_bytes")

OBJECTIVES: dict[Stage, tuple[str, ...]] = {
    "search": ("valid_accuracy", "derived_accuracy", "train_accuracy", *_COSTS),
    "retrain": ("test_accuracy", "test_top5_accuracy", "train_accuracy", *_COSTS),
    "lookup": tuple(f"lookup_{metric}" for metric in METRICS),
}
"""Columns of the ledger that a suggestion can be judged by, by the stage whose record holds them."""


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, both included; whole ones for a field that holds whole numbers."""

    low: float
    high: float
    log: bool
    whole: bool

    def nearest(self, value: float) -> float:
        """A number as it is run: within the range, and of DIGITS significant digits where it is not whole."""
        return int(value) if self.whole else min(max(float(f"{value:.{DIGITS}g}"), self.low), self.high)

    def holds(self, value: Any) -> bool:
        """Whether a value could have been drawn from here."""
        kinds = int if self.whole else (int, float)
        return isinstance(value, kinds) and not isinstance(value, bool) and self.low <= value <= self.high

    @property
    def ends(self) -> tuple[float, ...]:
        """The lowest and the highest."""
        return self.low, self.high

    @property
    def values(self) -> Sequence[Any] | None:
        """All that can be drawn; None where that is without end."""
        return range(int(self.low), int(self.high) + 1) if self.whole else None


@dataclass(frozen=True)
class Choices:
    """Values of which one is drawn, in no order."""

    values: tuple[Any, ...]

    def holds(self, value: Any) -> bool:
        """Whether a value is one of them; 1 is not true."""
        return any(type(value) is type(known) and value == known for known in self.values)

    @property
    def ends(self) -> tuple[Any, ...]:
        """All of them."""
        return self.values


Parameter = Range | Choices


def parameter(name: str, value: Any) -> Parameter:
    """A field's distribution: `{low, high, log}` or a list of choices; raises ValueError, which pydantic places."""
    if isinstance(value, dict):
        return _range(name, value)
    if not isinstance(value, list):
        raise ValueError("must be a range, {low: ..., high: ...}, or a list of choices")
    if not 2 <= len(value) <= MOST_CHOICES:
        raise ValueError(f"{len(value)} choices; there must be 2 to {MOST_CHOICES}, a fixed value belongs in search")
    try:
        return Choices(tuple(getattr(GridSection.model_validate({name: value}), name)))
    except ValidationError as error:
        found = error.errors(include_url=False)[0]
        at = [part for part in found["loc"][1:] if isinstance(part, int)]
        which = f"choice {at[0] + 1} cannot be: " if at else ""
        raise ValueError(which + found["msg"].removeprefix("Value error, ")) from None


def _range(name: str, value: dict[Any, Any]) -> Range:
    kind = typing.get_args(SEARCH_TYPES[name])[0]
    kinds = {*typing.get_args(kind)} - {type(None)} if isinstance(kind, types.UnionType) else {kind}
    if kinds not in ({int}, {float}):
        raise ValueError(f"{name} holds no number: give a list of choices")
    if unknown := next((key for key in value if key not in ("low", "high", "log")), None):
        raise ValueError(f"unknown key {str(unknown)[:40]!r} of a range; known: low, high, log")
    log = value.get("log", False)
    if not isinstance(log, bool):
        raise ValueError("log: must be true or false")
    whole = kinds == {int}
    for end in ("low", "high"):
        number = value.get(end)
        if number is None:
            raise ValueError(f"a range needs {end}")
        right = isinstance(number, int) or (isinstance(number, float) and not whole and math.isfinite(number))
        if not right or isinstance(number, bool) or abs(number) > 2**53:
            raise ValueError(f"{end}: must be a {'whole ' if whole else ''}number, found {str(number)[:60]!r}")
    low, high = (value[end] if whole else float(value[end]) for end in ("low", "high"))
    if not low < high:
        raise ValueError(f"low: {low!r} must be below high, {high!r}; a fixed value belongs in search")
    if log and low <= 0:
        raise ValueError(f"low: {low!r} must be above 0 on a logarithmic scale")
    return Range(low, high, log, whole)


SpaceSection = model_of(
    "SpaceSection",
    {name: Annotated[Any, PlainValidator(partial(parameter, name))] for name in SEARCH_TYPES if name not in FIXED},
)


class Objective(BaseModel):
    """A number that a suggestion is judged by: a column of the ledger, over the seeds of the suggestion."""

    model_config = STRICT
    metric: str
    """Column of the ledger. Accuracies are maximised, everything else is a cost."""
    over: Literal["mean", "median", "bound"] = "mean"
    """How seeds become one number. `bound` is the mean less one standard error (sample standard deviation over the
    square root of n), for a cost the mean plus one: a setting has to be good reliably."""
    stage: Stage = "search"
    """Whose record holds the column; by default the first of search, retrain and lookup that has it."""

    @field_validator("metric")
    @classmethod
    def _known(cls, metric: str) -> str:
        known = dict.fromkeys(name for names in OBJECTIVES.values() for name in names)
        if metric not in known:
            raise ValueError(f"{metric[:60]!r} is nothing that suggestions are judged by; known: {', '.join(known)}")
        return metric

    def model_post_init(self, context: Any) -> None:
        """Fill the stage in; an impossible one is refused with the sweep, which knows its stages."""
        if "stage" not in self.model_fields_set:
            object.__setattr__(self, "stage", next(stage for stage in OBJECTIVES if self.metric in OBJECTIVES[stage]))

    @property
    def maximised(self) -> bool:
        """Whether more is better."""
        return self.metric.startswith("lookup_") or self.metric.endswith("_accuracy")

    @property
    def described(self) -> str:
        """In a person's words."""
        words = {"mean": "mean", "median": "median", "bound": "mean less one standard error"}
        over = words[self.over] if self.maximised else words[self.over].replace("less", "plus")
        return f"{over} of {self.metric}" + (f" of the {self.stage}" if self.stage == "retrain" else "")


class Prune(BaseModel):
    """When a suggestion is given no more seeds; the first `startup` suggestions are never stopped."""

    model_config = STRICT
    after: Annotated[int, Field(ge=1)]
    """Seeds after which a suggestion is compared with the others, all over these first seeds alone."""
    keep: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """Share of the suggestions so far, this one included, among the best of which it must be to go on."""


class Optuna(BaseModel):
    """Settings that are suggested one after the other by Optuna, instead of a grid; each runs at every seed."""

    model_config = STRICT
    suggestions: Annotated[int, Field(ge=1, le=MOST_SUGGESTIONS)]
    """How many settings are suggested; raise it later, and the study goes on."""
    space: Annotated[dict[str, Any], Given(SpaceSection), Field(min_length=1)]
    """Fields of the search, each with a range, `{low: ..., high: ..., log: true}`, or a list of choices."""
    objectives: Annotated[list[Objective], Field(min_length=1, max_length=2)]
    """One or two numbers to judge by: [their keys](#optunaobjectives). Two ask for a Pareto front."""
    sampler: Literal["tpe", "random"] = "tpe"
    """Tree-structured Parzen estimator, or uniform draws."""
    startup: Annotated[int, Field(ge=1)] = 10
    """Suggestions that the tree-structured Parzen estimator needs before it says more than chance."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """Of the sampler alone; the seeds that suggestions are run at are the sweep's."""
    parallel: Annotated[int, Field(ge=1, le=1000)] = 1
    """Suggestions that are open at once; with 1, each is made knowing all that came before, so that a study gives the
    same suggestions whether or not it was stopped in between."""
    prune: Prune | None = None
    """When a suggestion is given no more seeds: [its keys](#optunaprune)."""

    def check(self, sweep: Mapping[str, Any]) -> None:
        """Raise ValueError, beginning with the key, for what the rest of the sweep does not let be."""
        for key in ("grid", "variants"):
            if sweep.get(key):
                raise ValueError(f"settings are suggested, or they are listed: remove optuna, or {key}")
        for objective in self.objectives:
            stage = objective.stage
            if objective.metric not in OBJECTIVES[stage]:
                raise ValueError(f"objectives: {objective.metric} is no column of the stage {stage}; remove the key")
            if stage != "search" and sweep.get(stage) is None:
                raise ValueError(
                    f"objectives: {objective.metric} is of the stage {stage}, which this sweep lacks: add `{stage}`, "
                    f"or judge by the search ({', '.join(OBJECTIVES['search'])})"
                )
        if len({(objective.metric, objective.stage) for objective in self.objectives}) < len(self.objectives):
            raise ValueError("objectives: the same metric twice; keep one")
        for name in self.space:
            if name in sweep.get("search", {}):
                raise ValueError(f"space: {name} is suggested, and search sets it: remove one of the two")
        seeds, first = len(sweep.get("seeds", ())), None if self.prune is None else self.prune.after
        if first is not None and first >= seeds:
            raise ValueError(f"prune: after {first} of {seeds} seeds nothing is left to be saved; lower `after`")
        if first is not None and len(self.objectives) > 1:
            raise ValueError("prune: which of two objectives makes a setting hopeless is not defined; remove one")
        fewest = seeds if first is None else first
        if fewest < 2 and any(objective.over == "bound" for objective in self.objectives):
            raise ValueError("objectives: one seed has no standard error; give 2 or more, or use over: mean")


def corners(space: Mapping[str, Parameter]) -> Iterator[dict[str, Any]]:
    """Points at the ends of all ranges and choices, each end once at least."""
    for index in range(max(len(parameter.ends) for parameter in space.values())):
        yield {name: parameter.ends[index % len(parameter.ends)] for name, parameter in space.items()}
