"""What suggestions are worth: numbers of the ledger by seed, one number over the seeds, and who gets no more seeds."""

import math
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean, median, stdev
from typing import Any

from orchestrator.ledger import Ledger
from orchestrator.plan import Plan, Trial
from orchestrator.sweep_file.space import Objective, Optuna

Values = tuple[float, ...]
"""A number for each objective."""

Seen = Mapping[int, Values | None]
"""By seed, of those that have ended; None where the search, or what follows it, failed or lacks a number."""


def measure(plan: Plan, ledger: Ledger, searches: Sequence[Trial]) -> dict[str, dict[int, Values | None]]:
    """What the ledger has of some searches of an Optuna sweep, by setting and seed."""
    assert plan.sweep.optuna is not None
    objectives = plan.sweep.optuna.objectives
    columns = ["trial_id", "state", "genotype", *dict.fromkeys(objective.metric for objective in objectives)]
    found = {row["trial_id"]: row for row in ledger.rows([trial.id for trial in searches], columns)}
    stages = {objective.stage for objective in objectives}
    followers: dict[str, list[Trial]] = {}
    for trial in searches:
        row = found.get(trial.id)
        if row is not None and row["state"] == "finished":
            lookups = plan.lookups(trial, row["genotype"]) if "lookup" in stages else ()
            retrainings = plan.retrainings(trial, row["genotype"]) if "retrain" in stages else ()
            followers[trial.id] = [*lookups, *retrainings]
    ids = {later.id for trials in followers.values() for later in trials}
    found |= {row["trial_id"]: row for row in ledger.rows(ids, columns)} if ids else {}
    seen: dict[str, dict[int, Values | None]] = {trial.setting: {} for trial in searches}
    for trial in searches:
        asked = [trial, *followers.get(trial.id, [])]
        if trial.seed is not None and all(later.id in found for later in asked):
            seen[trial.setting][trial.seed] = _values(objectives, asked, found)
    return seen


def _values(objectives: Iterable[Objective], asked: Sequence[Trial], found: Mapping[str, Any]) -> Values | None:
    values = []
    for objective in objectives:
        rows = [found[trial.id] for trial in asked if trial.stage == objective.stage]
        numbers = [row[objective.metric] for row in rows if row["state"] == "finished"]
        known = [number for number in numbers if number is not None and math.isfinite(number)]
        if not known:
            return None
        # The retrainings of a cell are one outcome of its search.
        values.append(fmean(known))
    return tuple(values)


def worth(optuna: Optuna, seen: Seen, seeds: Sequence[int]) -> Values | None:
    """What the seeds say together, one number an objective; None where fewer than half of them have one.

    A bound needs two.
    """
    known = [values for seed in seeds if (values := seen.get(seed)) is not None]
    fewest = 2 if any(objective.over == "bound" for objective in optuna.objectives) else 1
    if len(known) < max(fewest, len(seeds) / 2):
        return None
    columns = zip(*known, strict=True)
    return tuple(_over(objective, column) for objective, column in zip(optuna.objectives, columns, strict=True))


def _over(objective: Objective, values: Sequence[float]) -> float:
    match objective.over:
        case "mean":
            return fmean(values)
        case "median":
            return median(values)
        case "bound":
            error = stdev(values) / math.sqrt(len(values))
            return fmean(values) + (-error if objective.maximised else error)


def hopeful(optuna: Optuna, mine: Values, others: Sequence[Values]) -> tuple[bool, str]:
    """Whether a suggestion gets the rest of its seeds, by all suggestions' first seeds; and why, in words."""
    assert optuna.prune is not None
    if len(others) < optuna.startup:
        return True, f"one of the first {optuna.startup} suggestions"
    better = sum(ahead(optuna.objectives[0], other[0], mine[0]) for other in others)
    # Seven of a hundred are seven, although 0.07 * 100 is a little more.
    places = math.ceil(round(optuna.prune.keep * (len(others) + 1), 9))
    place = f"number {better + 1} of {len(others) + 1} after the first seeds ({optuna.prune.after})"
    return better < places, f"{place}, the best {places} go on"


def ahead(objective: Objective, one: float, other: float) -> bool:
    """Whether one value of an objective is better than another."""
    return one > other if objective.maximised else one < other


def front(objectives: Sequence[Objective], found: Mapping[int, Values]) -> list[int]:
    """The suggestions that no other is at least as good as in all objectives and better in one, by their numbers."""

    def dominated(mine: Values) -> bool:
        return any(
            other != mine
            and not any(ahead(objective, a, b) for objective, a, b in zip(objectives, mine, other, strict=True))
            for other in found.values()
        )

    return [number for number, mine in found.items() if not dominated(mine)]
