"""Runs one trial, an epoch at a time, wherever it may be: in a worker of Ray Tune or in the calling process.

Whatever is killed when, a trial that starts looks for its record, then for its checkpoint. What goes wrong inside the
trial is a record too; what is wrong with the place it runs at (storage, data) is raised, since other trials would meet
it as well.
"""

import contextlib
import dataclasses
import json
import socket
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Literal

from orchestrator import simulation
from orchestrator.checkpoints import Checkpoints
from orchestrator.job import Job
from orchestrator.ledger import Ledger
from orchestrator.packing import allocator_share
from orchestrator.place import ensure
from orchestrator.policy import Kind
from orchestrator.snapshots import snapshot_epochs
from orchestrator.storage import StorageError, open_storage
from stcnas_core.errors import DivergedError, InputError

if TYPE_CHECKING:
    from orchestrator.play import SimulatedRun
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


@dataclass
class _Attempt:
    """One start of a trial and all that it and the starts before it brought forth."""

    job: Job
    device: str
    number: int
    started_at: datetime
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
            **self.job.row(self.number),
            # With the build, such as +cu130, which the package's metadata does not have.
            "torch_version": str(torch.__version__),
            "started_at": self.started_at,
            "epochs_done": len(self.epochs),
            "device_seconds": sum(row["device_seconds"] for row in self.epochs),
            "step_seconds": median(steps) if steps else None,
            "rank_seconds": self.rank_seconds if self.ranks else None,
            "peak_memory_bytes": self.peak_memory or None,
            "device": _device_name(self.device),
            **columns,
        }

    def said(self, state: Literal["running", "finished", "failed", "crowded"], **more: Any) -> Progress:
        notices, self.notices = tuple(self.notices), []
        return Progress(self.job.id, state, len(self.epochs), _accuracy(self.epochs), notices=notices, **more)


def run_trial(job: Job) -> Iterator[Progress]:
    """Run a trial to its record, saying how it goes; nothing runs where it has a record.

    A checkpoint follows each epoch. Raises InputError where the storage or the data cannot be used from here.
    """
    storage = open_storage(job.storage)
    ledger, checkpoints = Ledger(storage), Checkpoints(storage)
    ensure(storage, job.place)
    if ledger.has(job.id):
        yield _present(ledger, job)
        return
    device = device_of(job)
    _check_data(job)
    start = checkpoints.start(job.id, after=ledger.attempts_failed(job.id))
    attempt = _Attempt(job, device, start.attempt, start.first_at)
    try:
        with _threads(job.threads):
            yield from _train(attempt, checkpoints, ledger)
    except StorageError:
        raise
    except Exception as error:  # whatever a trial raises becomes its record, and the sweep goes on
        kind = _kind(error)
        text = "".join(traceback.format_exception(error))
        ensure(storage, job.place)
        row = attempt.row(state="failed", error_kind=kind, error=text)
        summary = f"{type(error).__name__}: {error}".splitlines()[0]
        if kind == "out_of_memory" and not job.alone:
            # No record yet, and its checkpoint stays.
            ledger.record_failure(row)
            yield attempt.said("crowded", error=summary)
            return
        recorded = ledger.record(row, attempt.epochs, attempt.alphas, attempt.ranks)
        if kind == "diverged" or not recorded:
            # It would diverge again from there; other failures may go on from their last epoch once they are healed.
            checkpoints.delete(job.id)
        if not recorded:
            yield _present(ledger, job)
            return
        yield attempt.said("failed", error=summary, kind=kind)


def _train(attempt: _Attempt, checkpoints: Checkpoints, ledger: Ledger) -> Iterator[Progress]:
    """The epochs that are left, a checkpoint after each, and the record."""
    job = attempt.job
    _reset_peak_memory(job, attempt.device)
    run = _resumed(attempt, checkpoints)
    wanted = snapshot_epochs(job.config.epochs)
    while not run.finished:
        measured = dataclasses.asdict(run.run_epoch())
        attempt.epochs.append({"trial_id": job.id, "stage": job.stage, **measured})
        if job.stage == "search" and run.epoch in wanted:
            attempt.alphas += [{"trial_id": job.id, "epoch": measured["epoch"], **row} for row in _alpha_rows(run)]
        attempt.peak_memory = max(attempt.peak_memory, run.peak_memory())
        _rank(attempt, run)
        ensure(ledger.storage, job.place)
        checkpoints.save(job.id, run.epoch, _state(attempt, run))
        if not run.finished:
            yield attempt.said("running")
    cost, genotype = run.cost(), run.genotype.canonical_text()
    last = attempt.epochs[-1]
    shared = ("valid_accuracy", "derived_accuracy", "train_accuracy", "test_accuracy")
    recorded = ledger.record(
        attempt.row(
            state="finished",
            genotype=genotype,
            params=cost.params,
            macs=cost.macs,
            **{name: last[name] for name in shared if name in last},
        ),
        attempt.epochs,
        attempt.alphas,
        attempt.ranks,
    )
    checkpoints.delete(job.id)
    yield attempt.said("finished", genotype=genotype) if recorded else _present(ledger, job)


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
        from orchestrator.play import SimulatedRun

        return SimulatedRun(job, job.simulation, attempt.number)
    from stcnas_core.retrain import Retrain, RetrainConfig
    from stcnas_core.search import Search

    if isinstance(job.config, RetrainConfig):
        return Retrain(job.config, data_path=job.data_path, device=device)
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


def device_of(job: Job) -> str:
    """PyTorch's name of the device that a trial was given; raises InputError where it is not there."""
    if job.simulation is not None:
        return simulation.DEVICE
    if job.gpus == 0:
        return "cpu"
    import torch

    if not torch.cuda.is_available():
        raise InputError(
            f"on {socket.gethostname()}: the trial was given a GPU and PyTorch finds no CUDA device there; install a "
            f"CUDA build of PyTorch, or set resources.{job.stage}.gpus: 0"
        )
    return "cuda"


def _check_data(job: Job) -> None:
    """The data that this process sees must be what the plan was made with."""
    if job.simulation is not None:
        return
    from stcnas_core.datasets import fingerprint

    host = socket.gethostname()
    try:
        found = fingerprint(job.config.dataset, job.data_path)
    except InputError as error:
        raise InputError(f"on {host}: {error}") from None
    if found != job.data:
        raise InputError(
            f"on {host}: the data set is {found}, but the sweep was planned with {job.data}; make data.path hold the "
            "same files everywhere and run the same command again"
        )


def _present(ledger: Ledger, job: Job) -> Progress:
    """What the record of a trial says that some other process finished."""
    columns = ["state", "genotype", "epochs_done", "valid_accuracy", "test_accuracy"]
    row = ledger.rows([job.id], columns)[0]
    finished = row["state"] == "finished"
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
    text = str(error).lower()
    if isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and any(s in text for s in _OUT_OF_MEMORY)):
        return "out_of_memory"
    return "bug"


@contextlib.contextmanager
def _threads(count: int) -> Iterator[None]:
    """Compute with so many threads, and with as many as before afterwards."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _reset_peak_memory(job: Job, device: str) -> None:
    """Forget what earlier trials of this process needed, and keep a shared GPU's other trials safe from this one."""
    import torch

    if device == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        memory = torch.cuda.get_device_properties(0).total_memory
        torch.cuda.set_per_process_memory_fraction(allocator_share(job.gpus, memory))
        return
    # Linux alone can forget it; elsewhere the peak is that of the whole process so far.
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _device_name(device: str) -> str:
    import torch

    return torch.cuda.get_device_name() if device == "cuda" else device
