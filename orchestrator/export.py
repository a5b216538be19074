"""What a sweep found, for other programs: as files, or told to an experiment tracker."""

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import pyarrow as pa
import pyarrow.csv

from orchestrator import genotype_files
from orchestrator.ledger import Ledger
from orchestrator.schema import TABLES
from orchestrator.selection import select
from orchestrator.trackers.runs import finished_runs
from stcnas_core.errors import InputError
from stcnas_core.files import write_whole

RecordKind = Literal["trials", "epochs", "alphas", "ranks", "genotypes", "darts"]
"""Files that are made from records as they are."""
FileKind = RecordKind | Literal["latex"]
Tracker = Literal["tensorboard", "mlflow", "wandb"]
FILES: tuple[FileKind, ...] = (*get_args(RecordKind), "latex")
TRACKERS: tuple[Tracker, ...] = get_args(Tracker)

Planned = Sequence[Mapping[str, Any]]
"""The `trials` list of `plan --json`."""


def file_of(kind: RecordKind, ledger: Ledger, sweep: str, planned: Planned) -> tuple[str, bytes]:
    """The usual name of a file and its content; `darts` raises InputError where a cell is of another space."""
    if kind in TABLES:
        return f"{kind}.csv", _csv(select(ledger, kind, planned))
    cells = genotype_files.found_cells(select(ledger, "trials", planned).to_pylist())
    if kind == "darts":
        return "genotypes.py", genotype_files.as_darts(sweep, cells).encode()
    return "genotypes.json", genotype_files.as_json(sweep, cells).encode()


def _csv(rows: pa.Table) -> bytes:
    """With a header line; null is empty, a list is JSON."""
    for index, field in enumerate(rows.schema):
        if pa.types.is_list(field.type):
            texts = [None if value is None else json.dumps(value) for value in rows.column(index).to_pylist()]
            rows = rows.set_column(index, pa.field(field.name, pa.string()), pa.array(texts, pa.string()))
    out = io.BytesIO()
    pyarrow.csv.write_csv(rows, out, pyarrow.csv.WriteOptions(quoting_style="needed"))
    return out.getvalue()


def write(files: Mapping[str, str | bytes], out: Path, *, folder: bool) -> list[Path]:
    """Write files into a folder, or one file to a path, each whole or not at all; returns the paths.

    `out` is a folder where it is one, or where `folder` says so.
    """
    if folder or out.is_dir():
        paths = {out / name: content for name, content in files.items()}
    else:
        (content,) = files.values()
        paths = {out: content}
    for path, content in paths.items():
        write_whole(path, content)
    return list(paths)


def tell(tracker: Tracker, ledger: Ledger, sweep: str, planned: Planned, target: str) -> int:
    """Tell a tracker of every finished trial that it has not; returns how many those were.

    `target` is a folder, or for MLflow a tracking address as well. Raises InputError where the tracker's package is
    not installed.
    """
    runs = finished_runs(ledger, sweep, planned)
    if tracker == "mlflow":
        from orchestrator.trackers import to_mlflow

        return to_mlflow.tell(runs, sweep, target)
    if "://" in target:
        raise InputError(f"{tracker} writes into a folder, not to {target}")
    if tracker == "wandb":
        from orchestrator.trackers import to_wandb

        return to_wandb.tell(runs, Path(target))
    from orchestrator.trackers import to_tensorboard

    return to_tensorboard.tell(runs, Path(target))
