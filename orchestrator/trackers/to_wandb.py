# pyright: reportMissingImports=false
"""Weights & Biases, offline: a sweep is a project, a setting a group, each of its trials a run.

Nothing is sent: `wandb sync DIR/wandb/offline-run-*` does that, and as each run's id is its trial's, syncing twice
doubles nothing either.
"""

import tempfile
from collections.abc import Iterable
from pathlib import Path

from orchestrator.trackers.runs import Run, lacking
from stcnas_core.errors import InputError


def tell(runs: Iterable[Run], folder: Path) -> int:
    """Make an offline run of each trial that has none in `folder/wandb`; returns how many that were.

    A run's folder appears whole, so that a killed export leaves nothing half told.
    """
    try:
        import wandb
    except ImportError:
        raise lacking("wandb", "wandb") from None
    told = 0
    try:
        place = folder / "wandb"
        place.mkdir(parents=True, exist_ok=True)
        # wandb names a run's folder offline-run-<time>-<id>.
        known = {path.name.rsplit("-", 1)[-1] for path in place.glob("offline-run-*")}
        for run in runs:
            if run.id in known:
                continue
            with tempfile.TemporaryDirectory(prefix=".export-", dir=folder) as made:
                settings = wandb.Settings(
                    console="off",
                    disable_code=True,
                    disable_git=True,
                    silent=True,
                    x_disable_meta=True,
                    x_disable_stats=True,
                )
                with wandb.init(
                    project=run.sweep,
                    group=run.setting[:128],
                    job_type=run.stage,
                    name=f"{run.setting}, {run.name}"[:128],
                    id=run.id,
                    config={"setting": run.setting, **run.parameters, **run.facts},
                    dir=made,
                    mode="offline",
                    settings=settings,
                ) as session:
                    for epoch, values in run.curves:
                        session.log(dict(values), step=epoch)
                    session.summary.update({f"result/{name}": value for name, value in run.summary.items()})
                (written,) = (Path(made) / "wandb").glob("offline-run-*")
                written.rename(place / written.name)
            told += 1
    except OSError as error:
        raise InputError(f"cannot write {folder}: {error.strerror or error}") from None
    return told
