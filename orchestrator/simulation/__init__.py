"""Simulated sweeps: everything of a sweep is real but the computing, so that thousands of trials take minutes.

Simulated records cannot be mistaken for measured ones. They go only into a storage that is marked as simulated, which
`run` refuses; the data of their trials is `<data set>@simulated`, so that no id of theirs is the id of a real trial
wherever a file is copied to; and their device is `simulated`.
"""

import json
from dataclasses import dataclass

from orchestrator.storage import Storage
from stcnas_core.errors import InputError

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
    if any(storage.keys(table) for table in ("trials", "epochs", "checkpoints", "failures", "collected", "studies")):
        raise InputError(f"{storage.uri} holds a real ledger: simulate into another --storage")
    storage.create(MARK, json.dumps({"simulated": True}).encode())


def check_real(storage: Storage) -> None:
    """Raise InputError for a storage that is marked as simulated."""
    if is_simulated(storage):
        raise InputError(f"{storage.uri} holds simulated records: run into another --storage, or use `stcnas simulate`")
