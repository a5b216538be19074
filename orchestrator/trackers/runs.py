"""A finished trial in the terms that trackers share: parameters, curves, summary, facts."""

import dataclasses
import datetime
import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from orchestrator.ledger import Ledger
from orchestrator.selection import select
from stcnas_core.errors import InputError

_NO_CURVES = {"trial_id", "setting", "seed", "retrain_seed", "stage", "schema_version", "epoch", "genotype"}
_SUMMARY = ("valid_accuracy", "derived_accuracy", "train_accuracy", "test_accuracy", "params", "macs")
_COSTS = ("device_seconds", "step_seconds", "peak_memory_bytes", "attempt")
_FACTS = ("genotype", "data", "device", "host", "stcnas_version", "torch_version", "python_version", "commit")
_LONGEST_NAME = 120


@dataclasses.dataclass(frozen=True)
class Run:
    """One finished search, retraining or lookup."""

    id: str
    sweep: str
    stage: str
    setting: str
    name: str
    """Within the setting, such as `search seed 0`."""
    parameters: Mapping[str, Any]
    """Fields of the configuration that have an effect, and the seeds."""
    curves: Sequence[tuple[int, Mapping[str, float]]]
    """Finite numbers of each epoch, by column of `epochs`."""
    summary: Mapping[str, float]
    """Finite numbers of the record, by column of `trials`."""
    facts: Mapping[str, str]
    started: datetime.datetime
    finished: datetime.datetime


def finished_runs(ledger: Ledger, sweep: str, planned: Sequence[Mapping[str, Any]]) -> Iterator[Run]:
    """The finished trials of a sweep in the order of its plan; `planned` is the `trials` list of `plan --json`."""
    epochs: dict[str, list[Mapping[str, Any]]] = {}
    for row in select(ledger, "epochs", planned).to_pylist():
        epochs.setdefault(row["trial_id"], []).append(row)
    for row in select(ledger, "trials", planned).to_pylist():
        if row["state"] == "finished":
            yield _run(sweep, row, epochs.get(row["trial_id"], []))


def _run(sweep: str, row: Mapping[str, Any], epochs: Sequence[Mapping[str, Any]]) -> Run:
    seeds = {"seed": row["seed"], "retrain_seed": row["retrain_seed"]}
    said = "".join(f" {name.replace('_', ' ')} {value}" for name, value in seeds.items() if value is not None)
    config = json.loads(row["config"])["config"]
    numbers = (*_SUMMARY, *_COSTS, *(name for name in row if name.startswith("lookup_")))
    return Run(
        id=row["trial_id"],
        sweep=sweep,
        stage=row["stage"],
        setting=row["setting"],
        name=row["stage"] + said,
        parameters={
            **{name: value for name, value in config.items() if name != "genotype"},
            **{name: value for name, value in seeds.items() if value is not None},
        },
        curves=[(epoch["epoch"], _finite(epoch, [key for key in epoch if key not in _NO_CURVES])) for epoch in epochs],
        summary=_finite(row, numbers),
        facts={name: str(row[name]) for name in _FACTS if row[name] is not None},
        started=row["started_at"] or row["finished_at"],
        finished=row["finished_at"],
    )


def _finite(row: Mapping[str, Any], names: Sequence[str]) -> dict[str, float]:
    return {name: float(row[name]) for name in names if row[name] is not None and math.isfinite(row[name])}


def folder_name(setting: str) -> str:
    """A folder's name that reads as the setting and differs from every other setting's."""
    plain = setting.replace("/", "_")[:_LONGEST_NAME]
    return plain if plain == setting else f"{plain}-{hashlib.sha256(setting.encode()).hexdigest()[:8]}"


def lacking(package: str, extra: str) -> InputError:
    """The error of a tracker whose package is not there."""
    return InputError(f"{package} is not installed here: pip install 'stcnas[{extra}]'")
