"""What a record must be, beyond being whole: the trial that its id says, complete, and finite."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.benchmark import METRICS
from orchestrator.identity import digest
from stcnas_core.errors import InputError
from stcnas_core.genotype import Genotype
from stcnas_core.method_fields import UNTRAINED

Row = Mapping[str, Any]

# Of an epoch that was not evaluated these are null, of one that was they are finite.
FINITE = (
    "train_loss",
    "train_accuracy",
    "alpha_loss",
    "alpha_accuracy",
    "penalty",
    "valid_accuracy",
    "derived_accuracy",
    "test_loss",
    "test_accuracy",
    "test_top5_accuracy",
    "device_seconds",
)
_TRAINED = ("train_loss", "train_accuracy")
_ACCURACIES = ("valid_accuracy", "derived_accuracy", "train_accuracy", "test_accuracy", "test_top5_accuracy")

_LOOKUPS = tuple(f"lookup_{metric}" for metric in METRICS)


@dataclass(frozen=True)
class Record:
    """What the other tables are held against."""

    finished: bool
    stage: str
    epochs: int
    genotype: str | None
    data: str
    method: str | None
    ranked: bool
    accuracies: Mapping[str, float | None]


def record_of(row: Row) -> Record:
    """The part of a record that its epochs and alphas must agree with."""
    return Record(
        row["state"] == "finished",
        str(row["stage"]),
        row["epochs_done"] or 0,
        row["genotype"],
        str(row["data"]),
        row["search_method"],
        row["search_rank_every"] is not None and row["search_method"] not in UNTRAINED,
        {name: row[name] for name in _ACCURACIES},
    )


def misidentified(row: Row) -> list[str]:
    """Why a record is not of the trial that its id says, if it is not."""
    text = row["config"]
    if text is None:
        return ["it has no config to compute its id from"]
    if not text.isascii() or digest(text) != row["trial_id"]:
        return ["its id is not the hash of its config"]
    try:
        content = json.loads(text)
        fields = dict(content["config"])
        stated = {name: content[name] for name in ("stage", "data", "algorithm_version")}
    except (ValueError, TypeError, KeyError):
        return ["its config is no configuration"]
    stated["seed" if content["stage"] == "search" else "retrain_seed"] = fields.pop("seed", None)
    if "genotype" in fields:
        stated["genotype"] = fields.pop("genotype")
    stated |= {f"{content['stage']}_{name}": value for name, value in fields.items()}
    wrong = [name for name, value in stated.items() if name in row and not _agrees(name, row[name], value)]
    return [f"{', '.join(wrong)} differ from its config"] if wrong else []


def _agrees(name: str, found: Any, stated: Any) -> bool:
    if name.startswith(("search_", "retrain_")) and name != "retrain_seed" and found is None:
        return True  # the config says what a field that was left to the method became
    if name != "genotype" or found is None or found == stated:
        return found == stated
    try:
        return Genotype.parse(found) == Genotype.parse(str(stated))
    except InputError:
        return False


def unsound(row: Row) -> list[str]:
    """What is missing or impossible in a record."""
    if row["state"] == "failed":
        return [] if row["error_kind"] else ["it failed and does not say how"]
    if row["state"] != "finished":
        return [f"its state is {row['state']!r}"]
    wrong: list[str] = []
    try:
        Genotype.parse(row["genotype"] or "")
    except InputError as error:
        wrong.append(f"its genotype cannot be read: {error}")
    if row["stage"] == "lookup":
        needed = [] if any(row[name] is not None for name in _LOOKUPS) else list(_LOOKUPS)
    else:
        needed = ["params", "macs", "device_seconds", "epochs_done"]
        if row.get("search_method") not in UNTRAINED:
            needed.insert(0, "valid_accuracy" if row["stage"] == "search" else "test_accuracy")
    if absent := [name for name in needed if row[name] is None]:
        wrong.append(f"{', '.join(absent)} not recorded")
    if infinite := [name for name, value in row.items() if isinstance(value, float) and not math.isfinite(value)]:
        wrong.append(f"{', '.join(infinite)} not finite")
    impossible = [name for name in (*_ACCURACIES, *_LOOKUPS) if row[name] is not None and not 0 <= row[name] <= 100]
    if impossible:
        wrong.append(f"{', '.join(impossible)} no percentage")
    planned = row.get(f"{row['stage']}_epochs")
    if planned is not None and row["epochs_done"] not in (None, planned):
        wrong.append(f"{row['epochs_done']} of {planned} epochs done")
    return wrong


def bad_epochs(record: Record, rows: Sequence[Row]) -> list[str]:
    """Why the rows of the epochs table do not fit their trial, if they do not; `rows` may be in any order."""
    rows = sorted(rows, key=lambda row: -1 if row["epoch"] is None else row["epoch"])
    numbers = [row["epoch"] for row in rows]
    if numbers != list(range(len(numbers))):
        return ["its epochs are not 0, 1, 2, ... once each"]
    complete = len(rows) == record.epochs
    wrong = [] if complete else [f"{len(rows)} of {record.epochs} epochs are there"]
    if {row["stage"] for row in rows} - {record.stage}:
        wrong.append("its stage is not the record's")
    always = ("device_seconds", *(() if record.method in UNTRAINED else _TRAINED))
    if any(_not_finite(row, always) for row in rows):
        wrong.append("a metric is not finite")
    if rows and record.finished and complete:
        differ = [
            name
            for name, value in record.accuracies.items()
            if name in rows[-1] and None not in (value, rows[-1][name]) and rows[-1][name] != value
        ]
        if differ:
            wrong.append(f"{', '.join(differ)} of the last epoch differ from the record")
    return wrong


def _not_finite(row: Row, always: Sequence[str]) -> bool:
    values = [row[name] for name in FINITE if row[name] is not None]
    return any(row[name] is None for name in always) or not all(map(math.isfinite, values))


def bad_alphas(record: Record, epochs: Iterable[int | None], finite: bool) -> list[str]:
    """Why a trial's alphas do not fit it, if they do not; `epochs` are those that they were recorded after."""
    wrong = [] if finite else ["an alpha is not finite"]
    if record.finished and record.epochs - 1 not in set(epochs):
        wrong.append("those of the last epoch are missing")
    return wrong


def bad_ranks(record: Record, epochs: Iterable[int | None], sound: bool) -> list[str]:
    """Why a trial's ranked cells do not fit it, if they do not; `epochs` are those that they were ranked after."""
    wrong = [] if sound else ["an accuracy is no percentage"]
    if record.finished and record.epochs - 1 not in set(epochs):
        wrong.append("those of the last epoch are missing")
    return wrong
