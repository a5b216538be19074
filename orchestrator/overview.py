"""A plan beside its ledger: which trials are done, failed or missing, and what is left to compute."""

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import median
from typing import Any

from orchestrator.benchmark import BENCHMARK, UNNAMED
from orchestrator.checkpoints import Checkpoints
from orchestrator.failures import attempts, by_kind, last_line
from orchestrator.identity import Stage, canonical_config
from orchestrator.lease import Leases
from orchestrator.ledger import Ledger, State
from orchestrator.plan import Derived, Fingerprint, Plan, Trial, fingerprint_of
from orchestrator.policy import Outcomes
from orchestrator.spec import ANY_GENOTYPE
from orchestrator.studies.points import exhausted
from orchestrator.studies.study import listed, with_suggestions
from stcnas_core.config import RetrainConfig, SearchConfig
from stcnas_core.errors import InputError


@dataclass(frozen=True)
class Overview:
    """All trials of a plan with the state of each; what waits for unknown cells is missing."""

    plan: Plan
    ledger: Ledger
    trials: tuple[Trial, ...]
    states: Mapping[str, State]
    genotypes: Mapping[str, str]
    derived: Mapping[str, Derived]
    """What searches derived on their way, where the sweep asks for it."""

    def count(self, state: State) -> int:
        """How many trials are in a state."""
        return sum(value == state for value in self.states.values())

    @cached_property
    def study(self) -> dict[str, Any] | None:
        """The study of a sweep that Optuna fills (`study.listed`), None of another."""
        if self.plan.sweep.optuna is None:
            return None
        given_up = self.given_up()
        failed = {trial.id for trial in self.trials if self.states[trial.id] == "failed"}
        awaited = {
            trial.setting
            for trial in self.missing
            if (trial.setting, trial.stage) not in given_up and (trial.config is not None or trial.parent not in failed)
        }
        return listed(self.plan, self.ledger, awaited, self.to_come)

    @cached_property
    def to_come(self) -> int:
        """Suggestions of a study that are yet to be made; none once its space has no other point."""
        return self.plan.to_come if self.plan.to_come and not exhausted(self.plan) else 0

    @property
    def missing(self) -> list[Trial]:
        """Trials without a record, in the order of the plan."""
        return [trial for trial in self.trials if self.states[trial.id] == "missing"]

    @property
    def startable(self) -> bool:
        """Whether anything is left to run: a missing trial that waits for nothing and whose setting is not given up, or
        a suggestion to be made or decided on.
        """
        given_up = self.given_up()
        if any(trial.config is not None and (trial.setting, trial.stage) not in given_up for trial in self.missing):
            return True
        if self.study is None:
            return False
        undecided = self.plan.undecided and any(row["state"] == "open" for row in self.study["suggestions"])
        return bool(self.to_come) or undecided

    def as_plan(self) -> dict[str, Any]:
        """What `plan --json` prints."""
        hours, basis = estimate(self.plan, self.ledger, self.missing)
        return {
            "sweep": self.plan.sweep.name,
            "planned": len(self.trials),
            "done": self.count("done"),
            "failed": self.count("failed"),
            "missing": self.count("missing"),
            "estimate_device_hours": hours,
            "estimate_basis": basis,
            "study": self.study,
            "trials": self.listed(),
        }

    def as_status(self) -> dict[str, Any]:
        """What `status --json` prints: the plan's object, and what runs and what failed."""
        begun = Checkpoints(self.ledger.storage).epochs()
        running = {
            trial.id: {"epochs_done": begun[trial.id], "epochs": self.plan.epochs(trial)}
            for trial in self.missing
            if trial.id in begun
        }
        states = Counter({"done": self.count("done"), "failed": self.count("failed")})
        states.update({"running": len(running), "missing": self.count("missing") - len(running)})
        trials = [
            {**row, "state": "running", **running[row["id"]]} if row["id"] in running else row for row in self.listed()
        ]
        return {
            **self.as_plan(),
            "states": dict(states),
            "failures": self.failures(),
            "failure_kinds": by_kind(attempts(self.ledger, [trial.id for trial in self.trials])),
            "given_up": [
                {"setting": setting, "stage": stage, "not_started": count}
                for (setting, stage), count in self.given_up().items()
            ],
            "drivers": self.drivers(),
            "trials": trials,
        }

    def drivers(self) -> list[dict[str, Any]]:
        """Who runs the sweep, as far as the storage says; `alive` is null for a driver of another machine."""
        holders = Leases(self.ledger.storage, self.plan.sweep.name).holders()[1]
        return [{**holder.listed(), "alive": holder.lives_here()} for holder in holders]

    def listed(self) -> list[dict[str, Any]]:
        """One plain row for each trial."""
        return [
            {
                "id": trial.id,
                "stage": trial.stage,
                "setting": trial.setting,
                "seed": trial.seed,
                "retrain_seed": trial.retrain_seed,
                "epoch": trial.epoch,
                "state": self.states[trial.id],
                "parent": trial.parent,
            }
            for trial in self.trials
        ]

    def outcomes(self) -> Outcomes:
        """How the trials that have records ended."""
        kinds = {row["id"]: row["error_kind"] for row in self.failures()}
        found = Outcomes()
        for trial in self.trials:
            if self.states[trial.id] != "missing":
                found.note(trial.setting, trial.stage, kinds.get(trial.id))
        return found

    def given_up(self) -> dict[tuple[str, Stage], int]:
        """Settings and stages of which nothing more is started, since all that ended failed; and how many that is."""
        found = self.outcomes()
        asked: dict[tuple[str, Stage], None] = dict.fromkeys((trial.setting, trial.stage) for trial in self.trials)
        left = Counter((trial.setting, trial.stage) for trial in self.missing)
        return {(setting, stage): left[setting, stage] for setting, stage in asked if found.hopeless(setting, stage)}

    def failures(self) -> list[dict[str, Any]]:
        """Failed trials with the last line of their errors."""
        failed = [trial.id for trial in self.trials if self.states[trial.id] == "failed"]
        columns = ["trial_id", "stage", "setting", "seed", "retrain_seed", "attempt", "error_kind", "error"]
        return [
            {
                **{("id" if name == "trial_id" else name): row[name] for name in columns[:-1]},
                "error": last_line(row["error"]),
            }
            for row in self.ledger.rows(failed, columns)
        ]


def examine(plan: Plan, ledger: Ledger) -> Overview:
    """Look up a plan's trials in a ledger, and before that the suggestions of a sweep that Optuna fills."""
    return look_up(with_suggestions(plan, ledger.storage), ledger)


def look_up(plan: Plan, ledger: Ledger) -> Overview:
    """Look up the trials of a plan, as it is, in a ledger."""
    genotypes: dict[str, str] = {}
    if plan.follows:
        genotypes = ledger.genotypes(search.id for search in plan.searches)
    derived = derived_on_the_way(plan, ledger, genotypes)
    trials = plan.trials(genotypes, derived)
    return Overview(plan, ledger, trials, ledger.states(trial.id for trial in trials), genotypes, derived)


def derived_on_the_way(plan: Plan, ledger: Ledger, done: Iterable[str]) -> dict[str, dict[int, str]]:
    """The cells that finished searches derived after each epoch; nothing where the sweep does not ask for them."""
    return {} if plan.sweep.every_epochs is None else ledger.derived(done)


def recorded_fingerprint(recorded: Callable[[], Iterable[str]], notice: Callable[[str], None]) -> Fingerprint:
    """A `fingerprint` for verbs that only read: where the files are not, `recorded` tells what records say they were.

    A benchmark table that no file and no record names is UNNAMED: its lookups are yet to be planned for good.
    """

    def known(dataset: str, path: str | None) -> str:
        try:
            return fingerprint_of(dataset, path)
        except InputError:
            found = {data for data in recorded() if data.startswith(f"{dataset}@")}
            if not found and dataset == BENCHMARK and path is None:
                notice("note: lookup.path names no benchmark table yet; `run` asks for it")
                return UNNAMED
            if len(found) != 1:
                raise
            (only,) = found
            notice(f"{dataset} cannot be read here; its content is taken to be the recorded one, {only}")
            return only

    return known


def estimate(plan: Plan, ledger: Ledger, missing: Sequence[Trial]) -> tuple[float | None, str | None]:
    """Device hours that missing trials will take, and what that rests on; None where some stage has no record.

    A lookup takes none.

    The median over finished trials that differ in seed and cell alone, else over those of the same method, data and
    size, per epoch: other sizes say nothing about this one.
    """
    missing = [trial for trial in missing if trial.stage != "lookup"]
    if not missing:
        return 0.0, None
    alike: defaultdict[str, list[float]] = defaultdict(list)
    per_epoch: defaultdict[str, list[float]] = defaultdict(list)
    for row in ledger.rows(ledger.ids(), ["state", "config", "device_seconds", "rank_seconds", "epochs_done"]):
        if row["state"] == "finished" and row["device_seconds"] is not None:
            spent = row["device_seconds"] + (row["rank_seconds"] or 0.0)
            alike[_apart_from_seed(row["config"])].append(spent)
            per_epoch[_size(row["config"])].append(spent / max(1, row["epochs_done"]))
    known = {name: median(values) for name, values in alike.items()}
    rates = {size: median(values) for size, values in per_epoch.items()}
    spaces = {search.id: search.config.space for search in plan.searches if isinstance(search.config, SearchConfig)}
    seconds, scaled = 0.0, False
    likenesses: dict[tuple[str, str, str | None], tuple[str, str, int]] = {}
    for trial in missing:
        # Trials of one setting and stage differ in seed and cell alone.
        group = (trial.stage, trial.setting, trial.data)
        if group not in likenesses:
            config = trial.config
            if not isinstance(config, SearchConfig | RetrainConfig):
                config = plan.sweep.retraining(ANY_GENOTYPE[spaces[trial.parent or ""]])
            canonical = canonical_config(trial.stage, config, trial.data)
            likenesses[group] = (_apart_from_seed(canonical), _size(canonical), config.epochs)
        likeness, size, epochs = likenesses[group]
        if likeness in known:
            seconds += known[likeness]
        elif size in rates:
            seconds, scaled = seconds + rates[size] * epochs, True
        else:
            return None, None
    basis = (
        "finished trials of the same size, scaled by epochs" if scaled else "finished trials of the same configuration"
    )
    return seconds / 3600, basis


def _apart_from_seed(config: str) -> str:
    """A canonical configuration without what the trials of one setting differ in."""
    content = json.loads(config)
    fields = {name: value for name, value in content["config"].items() if name not in ("seed", "genotype")}
    return json.dumps({**content, "config": fields}, sort_keys=True)


_SIZE = (
    "method",
    "space",
    "train_images",
    "resolution",
    "cells",
    "channels",
    "batch_size",
    "precision",
    "cell_consistency",
    "rank_every",
    "rank_cells",
    "rank_images",
)
"""Fields that decide what an epoch costs."""


def _size(config: str) -> str:
    """What an epoch's cost depends on, of a canonical configuration: stage, data, space, method and sizes."""
    content = json.loads(config)
    fields = content["config"]
    size = {name: fields.get(name) for name in _SIZE}
    return json.dumps([content["stage"], content["data"], str(fields.get("genotype"))[:1], size], sort_keys=True)


def by_setting(overview: Overview) -> dict[tuple[str, Stage], Counter[State]]:
    """Counts of states by setting and stage, in the order of the plan."""
    counts: dict[tuple[str, Stage], Counter[State]] = {}
    for trial in overview.trials:
        counts.setdefault((trial.setting, trial.stage), Counter())[overview.states[trial.id]] += 1
    return counts
