"""A whole ledger of a tiny sweep, recorded without running it."""

import io
from pathlib import Path
from typing import Any

from driver import write_sweep

from orchestrator.checkpoints import Checkpoints
from orchestrator.job import Job
from orchestrator.ledger import Ledger
from orchestrator.plan import Plan, Trial, make_plan
from orchestrator.spec import ANY_GENOTYPE, load_sweep

CELLS = (
    "|nor_conv_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|nor_conv_3x3~0|none~1|avg_pool_3x3~2|",
    ANY_GENOTYPE["nasbench201"],
)


def plan_of(folder: Path) -> Plan:
    """The plan of `driver.TINY`: two searches and two retrainings."""
    return make_plan(load_sweep(write_sweep(folder / "tiny.yaml")))


def record_all(ledger: Ledger, plan: Plan) -> tuple[Trial, ...]:
    """Record every trial of a plan as finished; returns the trials, searches first."""
    cells = {search.id: CELLS[number % len(CELLS)] for number, search in enumerate(plan.searches)}
    trials = plan.trials(cells)
    for trial in trials:
        assert ledger.record(*rows_of(plan, trial, cells.get(trial.id)))
    return trials


def rows_of(plan: Plan, trial: Trial, cell: str | None = None, **changes: Any) -> tuple[dict, list[dict], list[dict]]:
    """A trial's rows of the three tables, as its worker would write them."""
    assert trial.config is not None
    job = Job.of(plan, trial, "memory", gpus=0, shared=False)
    search, length = trial.stage == "search", trial.config.epochs
    accuracy = {"valid_accuracy": 50.0, "derived_accuracy": 40.0} if search else {"test_accuracy": 60.0}
    epochs = [
        {
            "trial_id": trial.id,
            "stage": trial.stage,
            "epoch": epoch,
            "train_loss": 1.0,
            "train_accuracy": 70.0,
            "device_seconds": 0.5,
            **accuracy,
        }
        for epoch in range(length)
    ]
    alphas = [
        {"trial_id": trial.id, "epoch": epoch, "cell": "normal", "node": 1, "source": 0, "operation": "none"}
        | {"alpha": 0.5, "weight": 0.5}
        for epoch in range(length)
    ]
    row = {
        **job.row(1),
        "state": "finished",
        "params": 100,
        "macs": 1000,
        "device_seconds": length / 2,
        "epochs_done": length,
        "train_accuracy": 70.0,
        **accuracy,
        **({"genotype": cell} if cell else {}),
    }
    return {**row, **changes}, epochs, alphas if search else []


def checkpoint(checkpoints: Checkpoints, trial_id: str, epoch: int = 1) -> str:
    """Leave a checkpoint and the mark of a start, and return the checkpoint's key."""
    checkpoints.start(trial_id)
    checkpoints.save(trial_id, epoch, {"epoch": epoch})
    return f"checkpoints/{trial_id}/{epoch:06d}.ckpt"


def pickled(value: Any) -> bytes:
    """A checkpoint with a right checksum around whatever torch.save makes of a value."""
    import hashlib

    import torch

    from orchestrator.checkpoints import _MAGIC

    buffer = io.BytesIO()
    torch.save(value, buffer)
    return _MAGIC + hashlib.sha256(buffer.getvalue()).digest() + buffer.getvalue()
