"""What a table printed in the paper is: rows, values, sizes, and which of our settings is which row."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

METRICS = {
    "test_accuracy": "test accuracy, %",
    "test_error": "test error, %",
    "cifar100_error": "CIFAR-100 error, %",
    "valid_accuracy": "super-network, valid %",
    "derived_accuracy": "discretised, valid %",
    "top1_error": "top-1 error, %",
    "top5_error": "top-5 error, %",
    "params": "params, M",
    "cifar100_params": "CIFAR-100 params, M",
    "macs": "multiply-adds, M",
    "macs_alone": "multiply-adds without norms and ReLUs, M",
    "memory": "memory, GB",
    "gpu_days": "GPU-days",
    "seconds": "search, s",
    "lookup_cifar10_valid": "CIFAR-10 valid, %",
    "lookup_cifar10_test": "CIFAR-10 test, %",
    "lookup_cifar100_valid": "CIFAR-100 valid, %",
    "lookup_cifar100_test": "CIFAR-100 test, %",
    "lookup_imagenet16_test": "ImageNet16-120 test, %",
    "lookup_imagenet16_valid": "ImageNet16-120 valid, %",
    "kendall_tau": "Kendall tau",
}


@dataclass(frozen=True)
class Value:
    """A printed mean and, where printed, its deviation."""

    mean: float
    std: float | None = None


@dataclass(frozen=True)
class Row:
    """One printed row: its name, its values by metric, and our settings that are the same experiment."""

    name: str
    values: Mapping[str, Value]
    settings: tuple[str, ...] = ()
    search: Mapping[str, Any] = field(default_factory=dict)
    """Sizes of this row where they differ from the table's."""


@dataclass(frozen=True)
class PublishedTable:
    """A table or figure of the paper: what it measures, at which sizes, over how many searches."""

    key: str
    title: str
    about: str
    rows: tuple[Row, ...]
    ours: tuple[str, ...] = ()
    """Rows that the paper holds up against all others."""
    above: tuple[tuple[str, str], ...] = ()
    """Rows of which the paper says in words, or draws, that the first is above the second."""
    seeds: int | None = None
    search: Mapping[str, Any] = field(default_factory=dict)
    retrain: Mapping[str, Any] = field(default_factory=dict)

    def row(self, setting: str) -> Row | None:
        """The row that is the same experiment as `setting`, None where the paper printed none."""
        wanted = normalise(setting)
        for row in self.rows:
            if wanted in {normalise(name) for name in (*row.settings, row.name)}:
                return row
        return None

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metrics that any row has, in the order of METRICS."""
        present = {metric for row in self.rows for metric in row.values}
        return tuple(metric for metric in METRICS if metric in present)


def normalise(name: str) -> str:
    """Setting names as compared: case, separators, British spelling and ways to write "without" do not matter."""
    text = name.casefold().replace("→", "->").replace("isation", "ization").strip()
    text = re.sub(r"[\s_/]+", "-", re.sub(r"\bw/o\b|\bwithout\b", "no", text))
    return re.sub(r"-consistency\b", "", text)


def accuracy(row: Row) -> Value | None:
    """The row's test accuracy in percent: as printed, or 100 minus the printed error."""
    if "test_accuracy" in row.values:
        return row.values["test_accuracy"]
    error = row.values.get("test_error", row.values.get("top1_error"))
    return None if error is None else Value(round(100 - error.mean, 6), error.std)
