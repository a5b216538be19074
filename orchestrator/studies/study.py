"""A study while its sweep runs: what each suggestion is worth, which get more seeds, and the next ones.

All of it follows from the files of the study and the ledger's records, whenever the driver starts.
"""

import dataclasses
from collections.abc import Callable, Container, Mapping
from typing import Any

from orchestrator.damage import DamagedError
from orchestrator.ledger import Ledger
from orchestrator.plan import Plan
from orchestrator.settings import identity, suggested, written
from orchestrator.storage import Storage
from orchestrator.studies.judging import Values, front, hopeful, measure, worth
from orchestrator.studies.points import is_new, next_number
from orchestrator.studies.sampling import Told, draw
from orchestrator.studies.suggestions import Book, Suggestion, refuse
from orchestrator.sweep_file.space import Optuna
from stcnas_core.errors import InputError


class Study:
    """Makes the suggestions of a plan's sweep; one driver at a time does so, the one that has the sweep's lease."""

    def __init__(self, plan: Plan, ledger: Ledger, say: Callable[[str], None]) -> None:
        assert plan.sweep.optuna is not None
        self.plan, self.ledger, self.say = plan, ledger, say
        self.optuna: Optuna = plan.sweep.optuna
        self.book = Book(ledger.storage, plan.sweep)
        self.seen = measure(plan, ledger, plan.searches)
        self.known = {identity(suggested(plan.sweep, one).config) for one in plan.suggestions}
        self.closed: set[int] = set()
        """Numbers of suggestions of which nothing more is awaited."""
        self.exhausted = False
        self._resuming = True
        if not plan.suggestions and (others := self.book.others()):
            say(f"note: this is a new study; {', '.join(others)} has another base or other parameters")

    def advance(self, idle: bool, given_up: Callable[[str], bool]) -> Plan | None:
        """The plan with one more suggestion, or more seeds of one; None where trials have to end first, or all is done.

        `idle` says that no trial runs or can start: what lacks a record then was given up. `given_up` says so of the
        searches of one setting.
        """
        waiting = [one for one in self.plan.suggestions if one.number not in self.closed]
        names = {one.name for one in waiting}
        self.seen |= measure(self.plan, self.ledger, [trial for trial in self.plan.searches if trial.setting in names])
        for one in waiting:
            ended = all(seed in self._seen(one) for seed in one.seeds(self.plan.sweep))
            if not (ended or idle or given_up(one.name)):
                continue
            decided = self._decide(one) if one.undecided(self.plan.sweep) else one
            if decided.goes_on and not one.goes_on:
                return self._grow(decided)
            self.closed.add(one.number)
            if not self._resuming:
                self._tell(decided)
        self._resuming = False
        awaited = sum(one.number not in self.closed for one in waiting)
        if awaited >= self.optuna.parallel or self.exhausted or not self.plan.to_come:
            return None
        return self._suggest()

    @property
    def ended(self) -> bool:
        """Whether no suggestion is to come, and of none it is open how many seeds it gets."""
        return (self.exhausted or not self.plan.to_come) and not self.plan.undecided

    def _told(self, one: Suggestion) -> Told:
        if one.number not in self.closed:
            return Told(one.params, "open", None)
        return outcome(self.plan, one, self._seen(one))

    def _seen(self, one: Suggestion) -> Mapping[int, Values | None]:
        return self.seen.get(one.name, {})

    def _decide(self, one: Suggestion) -> Suggestion:
        """Whether a suggestion gets the rest of its seeds; one without a value gets none, and may be tried again."""
        first = self.plan.sweep.seeds[: one.first]
        mine = worth(self.optuna, self._seen(one), first)
        if mine is None:
            return one
        others = [
            values
            for other in self.plan.suggestions
            if other.number != one.number and (values := worth(self.optuna, self._seen(other), first)) is not None
        ]
        goes_on, why = hopeful(self.optuna, mine, others)
        self.book.decide(one.number, goes_on, why)
        decided = dataclasses.replace(one, goes_on=goes_on)
        self.plan = self.plan.suggesting([decided if other is one else other for other in self.plan.suggestions])
        if not goes_on:
            self.say(f"{one.name} is stopped: {why}")
        return decided

    def _suggest(self) -> Plan | None:
        number = next_number(self.plan)
        told = [self._told(one) for one in self.plan.suggestions]
        point = draw(self.optuna, told, number, lambda point: is_new(self.plan.sweep, point, self.known))
        if point is None:
            self.exhausted = True
            self.say(
                f"note: the space has no other point that can run: {len(self.plan.suggestions)} suggestions, "
                f"{self.plan.to_come} fewer than asked for"
            )
            return None
        new = Suggestion(number, point, None if self.optuna.prune is None else self.optuna.prune.after)
        if not self.book.add(new):
            raise InputError(
                f"{self.ledger.storage.uri}/{self.book.folder} has a suggestion {number} that was not there: another "
                "driver makes suggestions; run the same command again"
            )
        self.known.add(identity(suggested(self.plan.sweep, new).config))
        self.say(f"{new.name}: {', '.join(f'{name}={written(value)}' for name, value in point.items())}")
        return self._grow(new)

    def _grow(self, one: Suggestion) -> Plan:
        others = [other for other in self.plan.suggestions if other.number != one.number]
        self.plan = self.plan.suggesting(sorted([*others, one], key=lambda other: other.number))
        return self.plan

    def _tell(self, one: Suggestion) -> None:
        told = self._told(one)
        if told.state == "failed":
            self.say(f"{one.name} failed: fewer than half of its seeds have a value")
        if told.state != "finished" or told.values is None:
            return
        objectives = zip(self.optuna.objectives, told.values, strict=True)
        self.say(f"{one.name}: " + ", ".join(f"{objective.described} {value:.6g}" for objective, value in objectives))


def outcome(plan: Plan, one: Suggestion, seen: Mapping[int, Values | None]) -> Told:
    """How a suggestion ended, given that nothing more of it is awaited."""
    assert plan.sweep.optuna is not None
    values = worth(plan.sweep.optuna, seen, one.seeds(plan.sweep))
    if values is None:
        return Told(one.params, "failed", None)
    stopped = one.goes_on is False and one.seeds(plan.sweep) != plan.sweep.seeds
    return Told(one.params, "stopped" if stopped else "finished", values)


def listed(plan: Plan, ledger: Ledger, awaited: Container[str], to_come: int) -> dict[str, Any]:
    """A study as plain values, for `--json` and reports.

    `awaited` names the settings of which trials are to come, `to_come` counts the suggestions that are.

    Suggestions are in the order in which they were made, each with its values by seed and, where it has ended, its
    worth; `best` are the numbers of those that none surpasses: one, or of two objectives the Pareto front.
    """
    optuna = plan.sweep.optuna
    assert optuna is not None
    seen = measure(plan, ledger, plan.searches)
    suggestions: list[dict[str, Any]] = []
    ended: dict[int, Values] = {}
    for one in plan.suggestions:
        mine = seen.get(one.name, {})
        told = Told(one.params, "open", None)
        if one.name not in awaited:
            told = outcome(plan, one, mine)
            if told.values is not None and one.undecided(plan.sweep):
                # Its first seeds have ended; the next run decides.
                told = Told(one.params, "open", None)
        if told.state == "finished" and told.values is not None:
            ended[one.number] = told.values
        suggestions.append(
            {
                "number": one.number,
                "setting": one.name,
                "state": told.state,
                "params": {
                    name: list(value) if isinstance(value, tuple) else value for name, value in one.params.items()
                },
                "values": None if told.values is None else list(told.values),
                "n": sum(values is not None for values in mine.values()),
                "seeds": [
                    {"seed": seed, "values": None if values is None else list(values)}
                    for seed in one.seeds(plan.sweep)
                    if seed in mine
                    for values in [mine[seed]]
                ],
            }
        )
    best = front(optuna.objectives, ended)
    if len(optuna.objectives) == 1:
        # The first of equals.
        best = best[:1]
    return {
        "asked": optuna.suggestions,
        "made": len(suggestions),
        "to_come": to_come,
        "objectives": [
            {
                "metric": objective.metric,
                "stage": objective.stage,
                "over": objective.over,
                "maximised": objective.maximised,
                "described": objective.described,
            }
            for objective in optuna.objectives
        ],
        "sampler": optuna.sampler,
        "parameters": list(optuna.space),
        "best": best,
        "suggestions": suggestions,
    }


def with_suggestions(plan: Plan, storage: Storage, damaged: Callable[[DamagedError], None] = refuse) -> Plan:
    """The plan of a sweep with the suggestions that were made; a sweep whose settings are listed has none.

    `damaged` as in `Book.read`.
    """
    if plan.sweep.optuna is None:
        return plan
    return plan.suggesting(Book(storage, plan.sweep).read(damaged))
