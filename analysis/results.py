"""What a sweep planned, joined with what the ledger holds: the one view that tables and figures are made from."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd

from analysis.printed import METRICS, PublishedTable
from analysis.published import published
from analysis.statistics import finite
from stcnas_core.errors import InputError
from stcnas_core.genotype import Genotype, GenotypeError

Record = Mapping[str, Any]
"""A ledger row with None where the value is missing."""


RANKS = ["trial_id", "epoch", "genotype", "accuracy"]


@dataclass(frozen=True)
class Run:
    """One planned search (a seed of a setting), and the retrainings and the lookup of the cell that it found.

    `state` is the search's: finished, failed or missing; `record` is None where it is missing. A cell that the sweep
    names itself, `state` given, is a run for each of its retrainings, under the retrain seed and without a search.
    """

    setting: str
    seed: int
    trial_id: str
    state: str
    record: Record | None
    retrains: tuple[Record, ...]
    """Finished retrainings of this cell, by retrain seed; settings that found the same cell share them."""
    missing_retrains: int
    failed_retrains: int
    looked_up: Record | None = None
    """The record of this cell's lookup in a benchmark table, finished or failed."""
    named: Genotype | None = None
    """The cell of a given run, as far as a record says what it is."""

    @property
    def finished(self) -> Record | None:
        """The search's record where it finished."""
        return self.record if self.state == "finished" else None

    @cached_property
    def genotype(self) -> Genotype | None:
        """The derived cell; None unless the search finished or the cell was given."""
        if self.state == "given":
            return self.named
        record = self.finished
        return None if record is None else genotype_of(record)

    def search_value(self, column: str) -> float | None:
        """A number of the finished search's record."""
        record = self.finished
        return None if record is None else number(record.get(column))

    def retrain_value(self, column: str) -> float | None:
        """Mean over this cell's retrainings of a number of their records."""
        values = finite(number(record.get(column)) for record in self.retrains)
        return math.fsum(values) / len(values) if values else None

    def lookup_value(self, column: str) -> float | None:
        """An accuracy of this cell that a benchmark table holds, in percent."""
        return None if self.looked_up is None else number(self.looked_up.get(column))

    @property
    def lookup_state(self) -> str:
        """The state of this cell's lookup, missing where none was planned as well."""
        return state_of(self.looked_up)

    @property
    def test_accuracy(self) -> float | None:
        """Test accuracy after retraining in percent, mean over the retrain seeds."""
        return self.retrain_value("test_accuracy")

    @property
    def search_accuracy(self) -> float | None:
        """Accuracy of the derived cell with inherited weights, else of the super-network, on the validation half."""
        derived = self.search_value("derived_accuracy")
        return derived if derived is not None else self.search_value("valid_accuracy")


@dataclass(frozen=True)
class Results:
    """Everything that a report of one sweep says, selected from a ledger that may hold several sweeps."""

    name: str
    title: str | None
    paper: PublishedTable | None
    retrains_planned: bool
    every_epochs: int | None
    """After how many epochs each the cell of a search is retrained, besides its last one; None for the last alone."""
    settings: tuple[str, ...]
    runs: tuple[Run, ...]
    planned: tuple[Record, ...]
    records: Mapping[str, Record]
    """By trial id, the planned ones alone."""
    epochs: pd.DataFrame
    alphas: pd.DataFrame
    ranks: pd.DataFrame
    """Accuracies of drawn cells with inherited weights, by trial and epoch; of finished searches."""
    benchmark: pd.DataFrame | None
    """The benchmark table that cells are looked up in, a row per cell; None where the ledger has none."""
    study: Mapping[str, Any] | None = None
    """The study of a sweep that Optuna fills, as `status --json` has it, perhaps with the importance of parameters."""

    @cached_property
    def counts(self) -> Counter[str]:
        """Planned trials by state: finished, failed, missing."""
        return Counter(state_of(self.records.get(trial["id"])) for trial in self.planned)

    @cached_property
    def searches_planned(self) -> bool:
        """Whether anything is searched; a sweep may retrain given cells alone."""
        return any(trial["stage"] == "search" for trial in self.planned)

    @cached_property
    def lookups_planned(self) -> bool:
        """Whether cells are looked up in a benchmark table."""
        return any(trial["stage"] == "lookup" for trial in self.planned)

    @property
    def complete(self) -> bool:
        """Whether every planned trial finished, and no suggestion of a study is to come."""
        return self.counts["finished"] == len(self.planned) and not self.to_come

    @property
    def to_come(self) -> int:
        """Suggestions of a study that are yet to be made."""
        return 0 if self.study is None else self.study["to_come"]

    @cached_property
    def failures(self) -> tuple[tuple[Record, Record], ...]:
        """Failed trials in the order of the plan: the planned trial and its record."""
        pairs = ((trial, self.records.get(trial["id"])) for trial in self.planned)
        return tuple((trial, record) for trial, record in pairs if record is not None and state_of(record) == "failed")

    def of(self, setting: str) -> tuple[Run, ...]:
        """The runs of one setting, by seed."""
        return self._by_setting.get(setting, ())

    @cached_property
    def _by_setting(self) -> dict[str, tuple[Run, ...]]:
        found: dict[str, list[Run]] = {}
        for run in self.runs:
            found.setdefault(run.setting, []).append(run)
        return {setting: tuple(runs) for setting, runs in found.items()}

    def stage(self, stage: str) -> list[Record]:
        """Finished records of a stage, in the order of the plan."""
        ids = (trial["id"] for trial in self.planned if trial["stage"] == stage)
        return [record for id_ in ids if state_of(record := self.records.get(id_)) == "finished" and record is not None]

    @cached_property
    def last_retrains(self) -> tuple[Record, ...]:
        """Finished retrainings of what searches ended with, and of given cells, each once."""
        found = {record["trial_id"]: record for run in self.runs for record in run.retrains}
        return tuple(found.values())

    def best(self, setting: str) -> Run | None:
        """The run to show for a setting: the one of the highest worth; the lowest seed of ties."""
        found = [run for run in self.of(setting) if run.genotype is not None]
        if not found:
            return None
        return max(found, key=lambda run: (*self.worth(run), -run.seed))

    def worth(self, run: Run) -> tuple[float, float, float]:
        """What runs are ordered by: test accuracy after retraining, else in the benchmark, else accuracy in search."""
        looked_up = None if self.lookup is None else run.lookup_value(self.lookup)
        values = (run.test_accuracy, looked_up, run.search_accuracy)
        return tuple(-math.inf if value is None else value for value in values)  # type: ignore[return-value]

    @cached_property
    def lookups(self) -> tuple[str, ...]:
        """The `lookup_<metric>` columns that any lookup has, in the order of METRICS."""
        columns = [metric for metric in METRICS if metric.startswith("lookup_")]
        return tuple(column for column in columns if any(run.lookup_value(column) is not None for run in self.runs))

    @cached_property
    def lookup(self) -> str | None:
        """The column of the accuracy that cells are judged by: the test accuracy on the searches' data, else the first.

        None where nothing was looked up.
        """
        return self._judging(self.lookups)

    @cached_property
    def truth(self) -> tuple[str, pd.Series] | None:
        """The benchmark's column that cells are judged by, and its accuracies by canonical text of the cell."""
        if self.benchmark is None:
            return None
        table = self.benchmark.set_index("genotype").dropna(axis=1, how="all")
        column = self._judging(tuple(str(name) for name in table.columns if str(name).startswith("lookup_")))
        return None if column is None else (column, table[column].dropna())

    def _judging(self, columns: Sequence[str]) -> str | None:
        datasets = {record.get("search_dataset") for run in self.runs if (record := run.finished)}
        wanted = [f"lookup_{dataset}_test" for dataset in datasets] if len(datasets) == 1 else []
        return next((column for column in (*wanted, "lookup_cifar10_test", *columns) if column in columns), None)


def collect(
    sweep: Any,
    planned: Sequence[Record],
    trials: pd.DataFrame,
    epochs: pd.DataFrame,
    alphas: pd.DataFrame,
    ranks: pd.DataFrame | None = None,
    benchmark: pd.DataFrame | None = None,
    study: Mapping[str, Any] | None = None,
) -> Results:
    """Select a sweep's records from ledger frames by planned ids, and give each search the retrainings of its cell."""
    ids = {trial["id"] for trial in planned}
    records = {record["trial_id"]: record for record in _records(trials[trials["trial_id"].isin(ids)])}
    by_genotype: dict[Genotype, list[Record]] = {}
    looked_up: dict[Genotype, Record] = {}
    retrain_seeds: set[Any] = set()
    for trial in planned:
        record = records.get(trial["id"])
        if trial["stage"] == "lookup" and record is not None:
            looked_up[genotype_of(record)] = record
        if trial["stage"] != "retrain":
            continue
        retrain_seeds.add(trial.get("retrain_seed"))
        # A retraining that failed early may have no genotype of its own; the last one of its search is the same.
        parent = None if trial.get("epoch") else records.get(trial.get("parent"))
        known = record if record is None or record.get("genotype") else parent
        if record is not None and known is not None and known.get("genotype"):
            by_genotype.setdefault(genotype_of(known), []).append(record)
    searches = [trial for trial in planned if trial["stage"] == "search"]
    runs = [_run(trial, records.get(trial["id"]), by_genotype, looked_up, len(retrain_seeds)) for trial in searches]
    runs += _given(planned, records, looked_up)
    given = (trial["setting"] for trial in planned if trial["stage"] != "search" and trial.get("parent") is None)
    settings = tuple(dict.fromkeys([*(trial["setting"] for trial in searches), *given]))
    position = {setting: index for index, setting in enumerate(settings)}
    finished = {id_ for id_, record in records.items() if state_of(record) == "finished"}
    return Results(
        name=sweep.name,
        title=sweep.title,
        paper=published(sweep.paper),
        retrains_planned=sweep.retrain is not None,
        every_epochs=(sweep.retrain or {}).get("every_epochs"),
        settings=settings,
        runs=tuple(sorted(runs, key=lambda run: (position[run.setting], run.seed, run.trial_id))),
        planned=tuple(planned),
        records=records,
        epochs=_select(epochs, finished),
        alphas=_select(alphas, finished),
        ranks=pd.DataFrame(columns=RANKS) if ranks is None else _select(ranks, finished),
        benchmark=benchmark,
        study=study,
    )


def state_of(record: Record | None) -> str:
    """The state of a planned trial given its record: finished, failed, or missing."""
    return "missing" if record is None else str(record["state"])


def number(value: Any) -> float | None:
    """A float, or None where the value is missing, not finite, or no number."""
    if value is None or isinstance(value, (str, bool)):
        return None
    result = float(value)
    return result if math.isfinite(result) else None


def genotype_of(record: Record) -> Genotype:
    """The record's genotype; raises InputError that names the trial where it cannot be read."""
    try:
        return Genotype.parse(record["genotype"])
    except GenotypeError as error:
        raise InputError(f"trial {record['trial_id']} in the ledger: its genotype cannot be read: {error}") from None


def _run(
    trial: Record,
    record: Record | None,
    by_genotype: Mapping[Genotype, list[Record]],
    looked_up: Mapping[Genotype, Record],
    expected: int,
) -> Run:
    state = state_of(record)
    retrains: list[Record] = []
    failed = 0
    found = None
    if state == "finished" and record is not None:
        found = looked_up.get(genotype_of(record))
        tried = by_genotype.get(genotype_of(record), [])
        retrains = [row for row in tried if state_of(row) == "finished"]
        failed = len(tried) - len(retrains)
    return Run(
        setting=trial["setting"],
        seed=int(trial["seed"]),
        trial_id=trial["id"],
        state=state,
        record=record,
        retrains=tuple(sorted(retrains, key=lambda row: (number(row.get("retrain_seed")) or 0, row["trial_id"]))),
        missing_retrains=max(0, expected - len(retrains) - failed),
        failed_retrains=failed,
        looked_up=found,
    )


def _given(planned: Sequence[Record], records: Mapping[str, Record], looked_up: Mapping[Genotype, Record]) -> list[Run]:
    """A run for each retraining of a cell that the sweep names; for its lookup where it is not retrained."""
    mine = [trial for trial in planned if trial["stage"] != "search" and trial.get("parent") is None]
    retrained = {trial["setting"] for trial in mine if trial["stage"] == "retrain"}
    runs: list[Run] = []
    for trial in mine:
        if trial["stage"] == "lookup" and trial["setting"] in retrained:
            continue
        record = records.get(trial["id"])
        state = state_of(record)
        cell = genotype_of(record) if record is not None and record.get("genotype") else None
        is_training = trial["stage"] == "retrain"
        runs.append(
            Run(
                setting=trial["setting"],
                seed=int(trial.get("retrain_seed") or 0),
                trial_id=trial["id"],
                state="given",
                record=None,
                retrains=(record,) if is_training and state == "finished" and record is not None else (),
                missing_retrains=int(is_training and state == "missing"),
                failed_retrains=int(is_training and state == "failed"),
                looked_up=None if cell is None else looked_up.get(cell),
                named=cell,
            )
        )
    return runs


def _select(frame: pd.DataFrame, ids: Iterable[str]) -> pd.DataFrame:
    return frame[frame["trial_id"].isin(set(ids))].reset_index(drop=True)


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(key): _clean(value) for key, value in row.items()} for row in frame.to_dict("records")]


def _clean(value: Any) -> Any:
    """Pandas marks a missing value as NaN, NaT or NA by the column's type; a record has None for all of them."""
    if value is None or value is pd.NaT or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return None
    return value
