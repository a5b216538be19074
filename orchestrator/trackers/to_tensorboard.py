"""A folder for TensorBoard: a run a trial, `<setting>/<stage> seed <n>`; shown by `tensorboard --logdir DIR`."""

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.trackers.runs import Run, folder_name, lacking
from stcnas_core.errors import InputError

if TYPE_CHECKING:
    from tensorboardX import SummaryWriter

_EVENTS = "events.out.tfevents."


def tell(runs: Iterable[Run], folder: Path) -> int:
    """Write the event file of each run that has none there; returns how many that were.

    A trial's file is named by its id and appears whole, so that a killed export leaves nothing half told.
    """
    try:
        from tensorboardX import SummaryWriter
    except ImportError:
        raise lacking("tensorboardX", "tensorboard") from None
    told = 0
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for run in runs:
            place = folder / folder_name(run.setting) / run.name
            # The number is where TensorBoard expects the time at which a file was begun.
            target = place / f"{_EVENTS}{int(run.finished.timestamp())}.{run.id}"
            if target.exists():
                continue
            with tempfile.TemporaryDirectory(prefix=".export-", dir=folder) as made:
                with SummaryWriter(made) as writer:
                    _write(writer, run)
                (events,) = Path(made).glob(f"{_EVENTS}*")
                place.mkdir(parents=True, exist_ok=True)
                events.replace(target)
            told += 1
    except OSError as error:
        raise InputError(f"cannot write {folder}: {error.strerror or error}") from None
    return told


def _write(writer: "SummaryWriter", run: Run) -> None:
    from tensorboardX.summary import hparams

    start, end = run.started.timestamp(), run.finished.timestamp()
    for number, (epoch, values) in enumerate(run.curves, start=1):
        # The ledger has no time of an epoch; they are spread over the trial's.
        time = start + (end - start) * number / len(run.curves)
        for name, value in values.items():
            writer.add_scalar(f"{run.stage}/{name}", value, epoch, walltime=time)
    for name, value in run.summary.items():
        writer.add_scalar(f"{run.stage}-result/{name}", value, 0, walltime=end)
    for name, text in {"setting": run.setting, **run.facts}.items():
        writer.add_text(name, text, 0, walltime=end)
    parameters = {"setting": run.setting, "stage": run.stage, **run.parameters}
    plain = {
        key: value if isinstance(value, bool | int | float | str) else str(value) for key, value in parameters.items()
    }
    assert writer.file_writer is not None
    for summary in hparams(plain, dict.fromkeys((f"{run.stage}-result/{name}" for name in run.summary), 0.0)):
        writer.file_writer.add_summary(summary)
