"""Simulated sweeps: everything of a sweep is real but the computing, so that thousands of trials take minutes.

Simulated records cannot be mistaken for measured ones. They go only into a storage that is marked as simulated, which
`run` refuses; the data of their trials is `<data set>@simulated`, so that no id of theirs is the id of a real trial
wherever a file is copied to; and their device is `simulated`.
"""

import json
import random
from collections import defaultdict
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

from orchestrator.storage import Storage
from stcnas_core.errors import InputError

if TYPE_CHECKING:
    from orchestrator.job import Job

MARK = "simulated.json"
"""Key of the file that marks a storage."""

DEVICE = "simulated"


@dataclass(frozen=True)
class Simulation:
    """How trials are played, and what goes wrong."""

    workers: int
    """Trials at the same time."""
    speed: float = 0.0
    """Simulated device seconds in a second; 0 waits for nothing."""
    deaths: float = 0.0
    """Share of the starts of a trial whose worker dies before the record."""
    recorded: str | None = None
    """Storage of a ledger whose searches and retrainings are played; what it lacks is made up."""
    processes: bool = False
    """Whether workers are processes, which wait and die themselves."""

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise InputError(f"--workers {self.workers}: must be at least 1")
        if not 0 <= self.speed < float("inf"):
            raise InputError(f"--speed {self.speed}: must be 0 (wait for nothing) or a positive number")
        if not 0 <= self.deaths <= 0.9:
            raise InputError(f"--deaths {self.deaths}: must be a share from 0 to 0.9")

    def options(self) -> tuple[str, ...]:
        """What `stcnas simulate` was told."""
        recorded = () if self.recorded is None else ("--recorded", self.recorded)
        return ("--workers", str(self.workers), "--speed", f"{self.speed:g}", "--deaths", f"{self.deaths:g}", *recorded)


@dataclass(frozen=True)
class Script:
    """What a trial will report: a row of measurements per epoch, alphas by epoch, its cell and its cost."""

    epochs: tuple[dict[str, Any], ...]
    alphas: dict[int, list[dict[str, Any]]]
    genotype: str
    params: int
    macs: int


def fingerprint(dataset: str, path: str | None) -> str:
    """The data of simulated trials: no images are read, and no real trial has this fingerprint."""
    return f"{dataset}@{DEVICE}"


def is_simulated(storage: Storage) -> bool:
    """Whether a storage is marked as simulated."""
    return storage.read(MARK) is not None


def claim(storage: Storage) -> None:
    """Mark a storage as simulated; raises InputError where it holds anything that was really run."""
    if is_simulated(storage):
        return
    if any(storage.keys(table) for table in ("trials", "epochs", "checkpoints", "failures", "collected")):
        raise InputError(f"{storage.uri} holds a real ledger: simulate into another --storage")
    storage.create(MARK, json.dumps({"simulated": True}).encode())


def check_real(storage: Storage) -> None:
    """Raise InputError for a storage that is marked as simulated."""
    if is_simulated(storage):
        raise InputError(f"{storage.uri} holds simulated records: run into another --storage, or use `stcnas simulate`")


@lru_cache(maxsize=256)
def play(job: "Job", simulation: Simulation) -> Script:
    """What a trial reports: the recorded one that is most like it, else one that is made up from its id."""
    found = None if simulation.recorded is None else _recordings(simulation.recorded).like(job)
    if found is not None:
        return found
    from orchestrator.fiction import make_up

    return make_up(job)


def death(job: "Job", attempt: int, simulation: Simulation) -> int | None:
    """The number of epochs after which the worker of this start dies, all of them meaning just before the record."""
    dice = random.Random(f"{job.id} {attempt}")
    return dice.randint(0, job.config.epochs) if dice.random() < simulation.deaths else None


class _Recordings:
    """Finished trials of a ledger, to be found by configuration apart from seed and cell."""

    def __init__(self, uri: str) -> None:
        from orchestrator.ledger import Ledger
        from orchestrator.storage import open_storage

        ledger = Ledger(open_storage(uri))
        columns = ["trial_id", "state", "config", "seed", "genotype", "params", "macs"]
        self._trials: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for row in ledger.rows(ledger.ids(), columns):
            if row["state"] == "finished":
                self._trials[_likeness(row["config"])].append(row)
        if not self._trials:
            raise InputError(f"--recorded {uri}: there is no finished trial to play")
        self._epochs = {str(key): rows for key, rows in ledger.epochs().groupby("trial_id", sort=False)}
        self._alphas = {str(key): rows for key, rows in ledger.alphas().groupby("trial_id", sort=False)}

    def like(self, job: "Job") -> Script | None:
        from orchestrator.identity import canonical_config

        found = self._trials.get(_likeness(canonical_config(job.stage, job.config, job.data)), [])
        if not found:
            return None
        cell = getattr(job.config, "genotype", None)
        alike = [row for row in found if row["genotype"] == cell] or found
        row = next((row for row in alike if row["seed"] == job.seed), None) or random.Random(job.id).choice(alike)
        epochs = self._epochs[row["trial_id"]].sort_values("epoch").to_dict("records")
        alphas: dict[int, list[dict[str, Any]]] = defaultdict(list)
        if row["trial_id"] in self._alphas:
            for entry in self._alphas[row["trial_id"]].to_dict("records"):
                alphas[entry["epoch"]].append(_without(entry, "schema_version", "trial_id", "epoch"))
        return Script(
            tuple(_without(epoch, "schema_version", "trial_id", "stage") for epoch in epochs),
            dict(alphas),
            cell or row["genotype"],
            row["params"],
            row["macs"],
        )


@cache
def _recordings(uri: str) -> _Recordings:
    return _Recordings(uri)


def _without(row: dict[Any, Any], *names: str) -> dict[str, Any]:
    """A row as plain values, missing ones as None."""
    return {str(name): None if value != value else value for name, value in row.items() if name not in names}


def _likeness(config: str) -> str:
    content = json.loads(config)
    fields = {name: value for name, value in content["config"].items() if name not in ("seed", "genotype")}
    return json.dumps([content["stage"], fields], sort_keys=True)
