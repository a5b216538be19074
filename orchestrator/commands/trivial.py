"""A trial that computes nothing, to measure what the engine around it costs; imports what a real one does."""

from collections.abc import Iterator
from typing import Any

from orchestrator.checkpoints import Checkpoints
from orchestrator.job import Job
from orchestrator.ledger import Ledger
from orchestrator.storage import open_storage
from orchestrator.trainable import Progress

_CELL = "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|nor_conv_3x3~0|nor_conv_3x3~1|nor_conv_3x3~2|"
_SECONDS = 1e-3


def trivial(job: Job) -> Iterator[Progress]:
    """A trial whose training takes no time, with the marks and records of a real one."""
    storage = open_storage(job.storage)
    ledger, checkpoints = Ledger(storage), Checkpoints(storage)
    if ledger.has(job.id):
        raise RuntimeError(f"{job.id} was started although it has a record")
    start = checkpoints.start(job.id, after=ledger.attempts_failed(job.id))
    ledger.record(*rows(job, start.attempt))
    checkpoints.delete(job.id)
    yield Progress(job.id, "finished", 1, 10.0, _CELL)


def rows(job: Job, attempt: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Its record, and that of its one epoch."""
    trial = {"state": "finished", "genotype": _CELL, "epochs_done": 1, "device_seconds": _SECONDS}
    epoch = {"trial_id": job.id, "stage": job.stage, "epoch": 0, "genotype": _CELL, "device_seconds": _SECONDS}
    return {**job.row(attempt), **trial, "valid_accuracy": 10.0}, [epoch]
