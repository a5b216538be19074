"""Where Optuna comes in: the next point of a study, and what mattered in it; the study itself is built anew each time.

Nothing of Optuna's own is kept. A suggestion is a function of the section in the sweep file, its number, and what is
known of the suggestions before it: a sampler is seeded by the study's seed and the number, so that one that is made
anew does not repeat what another one proposed.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from orchestrator.settings import written
from orchestrator.studies.judging import Values
from orchestrator.studies.points import DRAWS, Point, left, seed_of
from orchestrator.sweep_file.space import Choices, Optuna, Parameter

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.study import Study

FEWEST_FOR_IMPORTANCE = 8
"""Suggestions with a value from which the importance of parameters is estimated."""

_STATES = {"open": "RUNNING", "finished": "COMPLETE", "stopped": "PRUNED", "failed": "FAIL"}
"""Optuna's names; to its estimator a pruned trial is worse than all that are complete."""


@dataclass(frozen=True)
class Told:
    """A suggestion as a sampler sees it."""

    params: Point
    state: Literal["open", "finished", "stopped", "failed"]
    values: Values | None
    """None where it is open or failed; of one that was stopped, over its first seeds."""


def draw(optuna: Optuna, told: Sequence[Told], number: int, free: Callable[[Point], bool]) -> Point | None:
    """The point of the suggestion of that number; None where the space has no other.

    `free` says whether a point can run and is another search than all before.
    """
    spare = left(optuna, number, free)
    if spare is None:
        return None
    study = build(optuna, told)
    distributions = _distributions(optuna.space)
    for attempt in range(DRAWS):
        study.sampler = _sampler(optuna, number, attempt)
        point = _read(optuna.space, study.ask(distributions).params)
        if free(point):
            return point
    return spare


def build(optuna: Optuna, told: Sequence[Told]) -> "Study":
    """The study that has been told of all suggestions that lie within the space as it is now."""
    import optuna as library
    from optuna.study import StudyDirection
    from optuna.trial import TrialState, create_trial

    library.logging.set_verbosity(library.logging.ERROR)
    directions = [
        StudyDirection.MAXIMIZE if objective.maximised else StudyDirection.MINIMIZE for objective in optuna.objectives
    ]
    study = library.create_study(directions=directions)
    distributions = _distributions(optuna.space)
    for one in told:
        if not all(name in one.params and kind.holds(one.params[name]) for name, kind in optuna.space.items()):
            continue
        study.add_trial(
            create_trial(
                state=TrialState[_STATES[one.state]],
                params={name: _plain(kind, one.params[name]) for name, kind in optuna.space.items()},
                distributions=distributions,
                values=list(one.values) if one.state == "finished" and one.values else None,
                intermediate_values={1: one.values[0]} if one.state == "stopped" and one.values else None,
            )
        )
    return study


def importances(optuna: Optuna, told: Sequence[Told]) -> list[dict[str, float]] | None:
    """For each objective, the share of each parameter in its variance, largest first; None where too few are known.

    By fANOVA (Hutter et al., ICML 2014), from the finished suggestions.
    """
    known = [one.values for one in told if one.state == "finished" and one.values is not None]
    if len(known) < FEWEST_FOR_IMPORTANCE or any(len(set(column)) < 2 for column in zip(*known, strict=True)):
        return None
    from optuna.importance import FanovaImportanceEvaluator, get_param_importances

    study = build(optuna, told)
    found = []
    for index in range(len(optuna.objectives)):
        evaluator = FanovaImportanceEvaluator(seed=0)
        shares = get_param_importances(
            study, evaluator=evaluator, target=lambda trial, index=index: trial.values[index]
        )
        found.append({name: float(share) for name, share in shares.items()})
    return found


def with_importance(optuna: Optuna, study: Mapping[str, Any]) -> dict[str, Any]:
    """A study as `study.listed` gives it, with the importance of its parameters under `importance`."""
    told = [
        Told(
            {name: tuple(value) if isinstance(value, list) else value for name, value in row["params"].items()},
            row["state"],
            None if row["values"] is None else tuple(row["values"]),
        )
        for row in study["suggestions"]
    ]
    return {**study, "importance": importances(optuna, told)}


def _sampler(optuna: Optuna, number: int, attempt: int) -> Any:
    from optuna import samplers

    seed = seed_of(optuna, number, attempt)
    if optuna.sampler == "random":
        return samplers.RandomSampler(seed=seed)
    return samplers.TPESampler(n_startup_trials=optuna.startup, seed=seed)


def _distributions(space: Mapping[str, Parameter]) -> "dict[str, BaseDistribution]":
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    found: dict[str, BaseDistribution] = {}
    for name, kind in space.items():
        if isinstance(kind, Choices):
            # By their texts: to Optuna 1 and true are one choice, and a list is none.
            found[name] = CategoricalDistribution([written(value) for value in kind.values])
        elif kind.whole:
            found[name] = IntDistribution(int(kind.low), int(kind.high), log=kind.log)
        else:
            found[name] = FloatDistribution(kind.low, kind.high, log=kind.log)
    return found


def _plain(kind: Parameter, value: Any) -> Any:
    return written(value) if isinstance(kind, Choices) else value


def _read(space: Mapping[str, Parameter], params: Mapping[str, Any]) -> dict[str, Any]:
    """A point as it is run, in the order of the file."""
    found: dict[str, Any] = {}
    for name, kind in space.items():
        if isinstance(kind, Choices):
            found[name] = next(value for value in kind.values if written(value) == params[name])
        else:
            found[name] = kind.nearest(params[name])
    return found
