"""Runs one trial, an epoch at a time, wherever it may be: in a worker of Ray Tune or in the calling process.

Whatever is killed when, a trial that starts looks for its record, then for its checkpoint. What goes wrong inside the
trial is a record too; what is wrong with the place it runs at (storage, data) is raised, since other trials would meet
it as well.
"""

import dataclasses
import functools
import json
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING, Any, Literal

from orchestrator.checkpoints import Checkpoints, Start
from orchestrator.job import Job
from orchestrator.ledger import Ledger
from orchestrator.place import ensure
from orchestrator.policy import Kind
from orchestrator.snapshots import snapshot_epochs
from orchestrator.storage import StorageError, open_storage
from orchestrator.surroundings import check_data, device_name, device_of, reset_peak_memory, threads, threads_of
from orchestrator.watchdog import watched
from stcnas_core.errors import DivergedError, InputError, OverLimitError

if TYPE_CHECKING:
    from orchestrator.simulation.play import SimulatedRun
    from stcnas_core.parallel import Group
    from stcnas_core.retrain import Retrain
    from stcnas_core.search import Search

    Computation = Search | Retrain | SimulatedRun

_OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "cannot allocate memory", "bad_alloc")


@dataclass(frozen=True)
class Progress:
    """What a trial says after each epoch and at its end."""

    id: str
    state: Literal["running", "finished", "failed", "present", "crowded"]
    """`present`: it had a record already, and nothing was run. `crowded`: it ran out of memory beside others."""
    epochs: int
    """Epochs done."""
    accuracy: float | None = None
    """Percent; of a search on its validation half, of a retraining on the test images."""
    genotype: str | None = None
    error: str | None = None
    """Last line of the error of a failed trial."""
    kind: str | None = None
    """Kind of the failure of a failed trial."""
    notices: tuple[str, ...] = ()
    """What a person should know although the trial goes on."""


@dataclass(frozen=True)
class Failure:
    """Why a trial failed, and on what device."""

    kind: Kind
    summary: str
    text: str
    device: str

    @classmethod
    def of(cls, error: Exception, device: str, *, group: bool = False) -> "Failure":
        """What an error comes to; in a group, one of the connection between its processes is the loss of another."""
        kind = _kind(error)
        if group and kind == "bug" and _severed(error):
            kind = "lost"
        summary = f"{type(error).__name__}: {error}".splitlines()[0]
        return cls(kind, summary, "".join(traceback.format_exception(error)), device_name(device))


class FailedError(Exception):
    """Carries a failure out of a process of a group, which does not know whether another's came first."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.summary)
        self.failure = failure


@dataclass
class _Attempt:
    """One start of a trial and all that it and the starts before it brought forth."""

    job: Job
    device: str
    start: Start
    group: "Group | None" = None
    epochs: list[dict[str, Any]] = field(default_factory=list)
    alphas: list[dict[str, Any]] = field(default_factory=list)
    ranks: list[dict[str, Any]] = field(default_factory=list)
    rank_seconds: float = 0.0
    peak_memory: int = 0
    notices: list[str] = field(default_factory=list)

    def row(self, **columns: Any) -> dict[str, Any]:
        import torch

        steps = [row["step_seconds"] for row in self.epochs if row["step_seconds"] is not None]
        return {
            **self.job.row(self.start.attempt),
            "threads": threads_of(self.job),
            # With the build, such as +cu130, which the package's metadata does not have.
            "torch_version": str(torch.__version__),
            "started_at": self.start.first_at,
            "epochs_done": len(self.epochs),
            "devices": self.epochs[-1].get("devices") if self.epochs else None,
            "device_seconds": sum(row["device_seconds"] for row in self.epochs),
            "step_seconds": median(steps) if steps else None,
            "rank_seconds": self.rank_seconds if self.ranks else None,
            "peak_memory_bytes": self.peak_memory or None,
            "device": device_name(self.device),
            **columns,
        }

    def said(self, state: Literal["running", "finished", "failed", "crowded"], **more: Any) -> Progress:
        notices, self.notices = tuple(self.notices), []
        return Progress(self.job.id, state, len(self.epochs), _accuracy(self.epochs), notices=notices, **more)


def run_trial(job: Job, group: "Group | None" = None) -> Iterator[Progress]:
    """Run a trial to its record, saying how it goes; nothing runs where it has a record.

    A checkpoint follows each epoch. Raises InputError where the storage or the data cannot be used from here. The first
    process of a `group` runs it so, and raises FailedError instead of recording a failure.
    """
    storage = open_storage(job.storage)
    ledger, checkpoints = Ledger(storage), Checkpoints(storage)
    ensure(storage, job.place)
    if ledger.has(job.id):
        yield _present(ledger, checkpoints, job)
        return
    device = device_of(job)
    check_data(job)
    start = checkpoints.start(job.id, after=ledger.attempts_failed(job.id))
    attempt = _Attempt(job, device, start, group)
    try:
        with threads(threads_of(job)):
            yield from _train(attempt, checkpoints, ledger)
    except StorageError:
        raise
    except Exception as error:  # whatever a trial raises becomes its record, and the sweep goes on
        failure = Failure.of(error, device, group=group is not None)
        if group is not None:
            raise FailedError(failure) from error
        yield _failed(attempt, failure, checkpoints, ledger)


def record_failure(job: Job, failure: Failure) -> Progress:
    """Record that a trial failed which a group ran, with what it had done by its last checkpoint."""
    storage = open_storage(job.storage)
    ledger, checkpoints = Ledger(storage), Checkpoints(storage)
    start = checkpoints.started(job.id) or checkpoints.start(job.id, after=ledger.attempts_failed(job.id))
    attempt = _Attempt(job, failure.device, start)
    state = checkpoints.newest(job.id, attempt.notices.append)
    if state is not None:
        attempt.epochs, attempt.peak_memory = json.loads(state["epochs"]), int(state["peak_memory"])
    return _failed(attempt, failure, checkpoints, ledger)


def _failed(attempt: _Attempt, failure: Failure, checkpoints: Checkpoints, ledger: Ledger) -> Progress:
    job = attempt.job
    ensure(ledger.storage, job.place)
    row = attempt.row(state="failed", error_kind=failure.kind, error=failure.text)
    if failure.kind == "out_of_memory" and not job.alone:
        # No record yet, and its checkpoint stays.
        ledger.record_failure(row)
        return attempt.said("crowded", error=failure.summary)
    if not ledger.record(row, attempt.epochs, attempt.alphas, attempt.ranks):
        return _present(ledger, checkpoints, job)
    if failure.kind == "diverged":
        # It would diverge again from there; other failures may go on from their last epoch once they are healed.
        checkpoints.delete(job.id)
    return attempt.said("failed", error=failure.summary, kind=failure.kind)


def _train(attempt: _Attempt, checkpoints: Checkpoints, ledger: Ledger) -> Iterator[Progress]:
    """The epochs that are left, a checkpoint after each, and the record."""
    job = attempt.job
    # Not while the driver is told, which may take as long as it likes.
    hung = functools.partial(checkpoints.note_hung, job.id, attempt.start.attempt)
    alive = functools.partial(watched, job.hung_after_minutes, hung)
    with alive():
        reset_peak_memory(job, attempt.device)
        run = _resumed(attempt, checkpoints)
        if attempt.group is not None:
            _join(run)
    while not run.finished:
        with alive():
            _epoch(attempt, run)
            ensure(ledger.storage, job.place)
            checkpoints.save(job.id, run.epoch, _state(attempt, run))
        if not run.finished:
            yield attempt.said("running")
    with alive():
        genotype = run.genotype.canonical_text()
        recorded = _record(attempt, run, genotype, ledger)
    checkpoints.delete(job.id)
    yield attempt.said("finished", genotype=genotype) if recorded else _present(ledger, checkpoints, job)


def _epoch(attempt: _Attempt, run: "Computation") -> None:
    """One epoch and the rows it leaves."""
    job = attempt.job
    measured = dataclasses.asdict(run.run_epoch())
    attempt.epochs.append({"trial_id": job.id, "stage": job.stage, "devices": job.devices, **measured})
    if job.stage == "search" and run.epoch in snapshot_epochs(job.config.epochs):
        attempt.alphas += [{"trial_id": job.id, "epoch": measured["epoch"], **row} for row in _alpha_rows(run)]
    attempt.peak_memory = max(attempt.peak_memory, run.peak_memory())
    _rank(attempt, run)


def _record(attempt: _Attempt, run: "Computation", genotype: str, ledger: Ledger) -> bool:
    """Record a trial that has come to its end; False where it has a record already."""
    cost = run.cost()
    last = attempt.epochs[-1]
    shared = ("valid_accuracy", "derived_accuracy", "train_accuracy", "test_accuracy", "test_top5_accuracy")
    return ledger.record(
        attempt.row(
            state="finished",
            genotype=genotype,
            params=cost.params,
            macs=cost.macs,
            macs_with_norms=cost.macs_with_norms,
            **{name: last[name] for name in shared if name in last},
        ),
        attempt.epochs,
        attempt.alphas,
        attempt.ranks,
    )


def _join(run: "Computation") -> None:
    from stcnas_core.retrain import Retrain

    assert isinstance(run, Retrain), "only retrainings run on several devices"
    run.join()


def _resumed(attempt: _Attempt, checkpoints: Checkpoints) -> "Computation":
    """The search or retraining where its newest usable checkpoint left it, else at its beginning."""
    job = attempt.job
    state = checkpoints.newest(job.id, attempt.notices.append)
    run = _fresh(attempt)
    if state is None:
        return run
    try:
        epochs, alphas, ranks = (json.loads(state[name]) for name in ("epochs", "alphas", "ranks"))
        peak, seconds = int(state["peak_memory"]), float(state["rank_seconds"])
        run.load_state_dict(state["run"])
        if len(epochs) != run.epoch:
            raise InputError(f"the checkpoint has {run.epoch} epochs and rows of {len(epochs)}")
    except Exception as error:  # a foreign state raises whatever it likes; it is told, and nothing of it is kept
        if _kind(error) == "out_of_memory":
            raise
        attempt.notices.append(f"the checkpoint of {job.id} cannot be used ({error}); it starts from its beginning")
        return _fresh(attempt)
    attempt.epochs, attempt.alphas, attempt.peak_memory = epochs, alphas, peak
    attempt.ranks, attempt.rank_seconds = ranks, seconds
    return run


def _fresh(attempt: _Attempt) -> "Computation":
    job, device = attempt.job, attempt.device
    if job.simulation is not None:
        from orchestrator.simulation.play import SimulatedRun

        return SimulatedRun(job, job.simulation, attempt.start.attempt)
    from stcnas_core.parallel import ALONE
    from stcnas_core.retrain import Retrain, RetrainConfig
    from stcnas_core.search import Search

    if isinstance(job.config, RetrainConfig):
        return Retrain(job.config, data_path=job.data_path, device=device, group=attempt.group or ALONE)
    return Search(job.config, data_path=job.data_path, device=device)


def _state(attempt: _Attempt, run: "Computation") -> dict[str, Any]:
    return {
        "run": run.state_dict(),
        "epochs": json.dumps(attempt.epochs),
        "alphas": json.dumps(attempt.alphas),
        "ranks": json.dumps(attempt.ranks),
        "rank_seconds": attempt.rank_seconds,
        "peak_memory": attempt.peak_memory,
    }


def _rank(attempt: _Attempt, run: "Computation") -> None:
    """Rank drawn cells after the epochs where a search asks for it; their time is no part of the search's."""
    from stcnas_core.retrain import Retrain

    if attempt.job.stage != "search" or isinstance(run, Retrain) or not run.ranks:
        return
    started = time.perf_counter()
    epoch = attempt.epochs[-1]["epoch"]
    attempt.ranks += [{"trial_id": attempt.job.id, "epoch": epoch, **row} for row in run.rank_rows()]
    attempt.rank_seconds += time.perf_counter() - started


def _alpha_rows(run: "Computation") -> list[dict[str, Any]]:
    from stcnas_core.retrain import Retrain

    return [] if isinstance(run, Retrain) else run.alpha_rows()


def _present(ledger: Ledger, checkpoints: Checkpoints, job: Job) -> Progress:
    """What the record of a trial says that another process wrote, which may have been killed before it cleared up."""
    columns = ["state", "genotype", "epochs_done", "valid_accuracy", "test_accuracy"]
    row = ledger.rows([job.id], columns)[0]
    finished = row["state"] == "finished"
    if finished:
        checkpoints.delete(job.id)
    accuracy = row["valid_accuracy"] if job.stage == "search" else row["test_accuracy"]
    return Progress(job.id, "present", row["epochs_done"], accuracy, row["genotype"] if finished else None)


def _accuracy(epochs: list[dict[str, Any]]) -> float | None:
    """The newest accuracy that was measured."""
    for row in reversed(epochs):
        value = row.get("valid_accuracy" if row["stage"] == "search" else "test_accuracy")
        if value is not None:
            return value
    return None


def _kind(error: Exception) -> Kind:
    if isinstance(error, DivergedError):
        return "diverged"
    if isinstance(error, OverLimitError):
        return "over_limit"
    text = str(error).lower()
    if isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and any(s in text for s in _OUT_OF_MEMORY)):
        return "out_of_memory"
    return "bug"


def _severed(error: Exception) -> bool:
    """Whether an error is that another process of the group is gone; Gloo's has no type of its own."""
    from torch import distributed

    gloo = isinstance(error, RuntimeError) and "gloo" in str(error).lower()
    return gloo or isinstance(error, distributed.DistError)
