"""The ledger's tables: one explicit Parquet schema each, versioned; every reader and writer passes it.

Accuracies are percentages, times seconds, memory bytes. Fields of the two configurations are typed columns of
`trials` (`search_*`, `retrain_*`), so that an axis of a sweep is a column to group by.
"""

import dataclasses
import typing
from typing import Any, Literal, NamedTuple

import pyarrow as pa

from orchestrator.benchmark import METRICS
from stcnas_core.config import RetrainConfig, SearchConfig

SCHEMA_VERSION = 2

_TYPES = {"int": pa.int64(), "float": pa.float64(), "bool": pa.bool_(), "str": pa.string()}
_NOT_COLUMNS = {"genotype", "seed"}


class Column(NamedTuple):
    """A column of a table and what it holds."""

    name: str
    type: pa.DataType
    says: str


def _arrow_type(annotation: Any) -> pa.DataType:
    """Optional fields are their type (every column may be null), literals are text, tuples lists of numbers."""
    args = typing.get_args(annotation)
    if type(None) in args:
        return _arrow_type(args[0])
    if typing.get_origin(annotation) is tuple:
        return pa.list_(pa.float64())
    return pa.string() if typing.get_origin(annotation) is Literal else _TYPES[annotation.__name__]


def config_columns(config: type, prefix: str) -> list[tuple[str, pa.DataType]]:
    """Typed columns for the fields of a configuration, `genotype` and `seed` aside (they have columns of their own)."""
    return [
        (f"{prefix}_{field.name}", _arrow_type(field.type))
        for field in dataclasses.fields(config)
        if field.name not in _NOT_COLUMNS
    ]


def _schema(columns: list[Column], *more: tuple[str, pa.DataType]) -> pa.Schema:
    return pa.schema([*((column.name, column.type) for column in columns), *more])


def _lookup_columns(says: str) -> list[Column]:
    """A column for each accuracy that a benchmark table may hold; `says` has {metric}."""
    return [
        Column(f"lookup_{metric}", pa.float64(), says.format(metric=metric.replace("_", " "))) for metric in METRICS
    ]


_VERSION = "Version of the schema that the row was written in."

_TRIALS = [
    Column("schema_version", pa.int32(), _VERSION),
    Column("trial_id", pa.string(), "Hash of what the trial computes: configuration, seed, data, algorithm."),
    Column("sweep", pa.string(), "Sweep that ran it first; other sweeps share the record by its id."),
    Column("stage", pa.string(), "`search`, `retrain` or `lookup`."),
    Column("setting", pa.string(), "Name of the setting in the sweep that ran it first, such as `js_lambda=0->2`."),
    Column("seed", pa.int64(), "Seed of the search, or of the search that asked for this first."),
    Column("retrain_seed", pa.int64(), "Seed of the retraining; null for other stages."),
    Column("state", pa.string(), "`finished` or `failed`."),
    Column("genotype", pa.string(), "The cell in canonical text."),
    Column("parent", pa.string(), "`trial_id` of the search that asked for this first; null for searches."),
    Column(
        "valid_accuracy",
        pa.float64(),
        "Search: accuracy of the method's own sub-network or supernet on the validation half, last epoch.",
    ),
    Column(
        "derived_accuracy",
        pa.float64(),
        "Search: accuracy of the derived cell alone with inherited weights on the validation half, last epoch.",
    ),
    Column("train_accuracy", pa.float64(), "Accuracy on the training images as they were trained on, last epoch."),
    Column("test_accuracy", pa.float64(), "Retraining: accuracy on the test images, last epoch."),
    Column(
        "test_top5_accuracy",
        pa.float64(),
        "Retraining: test images whose class is among the five likeliest, last epoch; null for five classes or fewer.",
    ),
    *_lookup_columns("Lookup: the cell's accuracy in the benchmark table, {metric}."),
    Column(
        "params",
        pa.int64(),
        "Parameters of the derived network without auxiliary head; of a search at the search's size.",
    ),
    Column("macs", pa.int64(), "Multiply-adds of the derived network for one image, convolution and linear layers."),
    Column(
        "macs_with_norms",
        pa.int64(),
        "Those, and two for each value of a batch norm and one for each of a ReLU, as the mobile setting is counted.",
    ),
    Column("device_seconds", pa.float64(), "Time on the device over all attempts, of several devices their sum."),
    Column("rank_seconds", pa.float64(), "Time of rankings by inherited weights, no part of `device_seconds`."),
    Column(
        "step_seconds",
        pa.float64(),
        "Time of a training step without evaluation: the median over epochs of an epoch's mean.",
    ),
    Column("peak_memory_bytes", pa.int64(), "CUDA: the allocator's peak on a device; CPU: a process's resident peak."),
    Column("epochs_done", pa.int64(), "Epochs that are done."),
    Column("attempt", pa.int64(), "How many times the trial was started, 1 for the first."),
    Column(
        "error_kind",
        pa.string(),
        "`diverged`, `out_of_memory`, `bug`, `lost`, `hung`, `preempted`, `not_found` or `over_limit`; null when "
        "finished.",
    ),
    Column("error", pa.string(), "Traceback of a failed trial."),
    Column("device", pa.string(), "`cpu`, or the GPU's name."),
    Column("devices", pa.int64(), "Devices that trained the network together in its last epoch; 1 for a search."),
    Column("threads", pa.int64(), "CPU threads that the trial may compute with, on each of its devices."),
    Column("shared_device", pa.bool_(), "Whether others ran on the same device: then its time is no clean cost."),
    Column("host", pa.string(), "Name of the machine."),
    Column("started_at", pa.timestamp("us", tz="UTC"), "When the first attempt began."),
    Column("finished_at", pa.timestamp("us", tz="UTC"), "When the record was written."),
    Column("stcnas_version", pa.string(), "Version of stcnas."),
    Column("algorithm_version", pa.int64(), "Version of what is computed; part of the id."),
    Column("python_version", pa.string(), "Version of Python."),
    Column("torch_version", pa.string(), "Version of PyTorch."),
    Column("ray_version", pa.string(), "Version of Ray."),
    Column("commit", pa.string(), "Commit of the source tree; null when installed without one."),
    Column("data", pa.string(), "Data set, or benchmark, and fingerprint, such as `cifar10@parquet:1f3a...`."),
    Column("config", pa.string(), "Canonical JSON that the id is the hash of."),
]

TRIALS = _schema(_TRIALS, *config_columns(SearchConfig, "search"), *config_columns(RetrainConfig, "retrain"))

_EPOCHS = [
    Column("schema_version", pa.int32(), _VERSION),
    Column("trial_id", pa.string(), "The trial, as in `trials`."),
    Column("stage", pa.string(), "`search` or `retrain`."),
    Column("epoch", pa.int64(), "Counted from 0."),
    Column("train_loss", pa.float64(), "Mean loss of the weights' steps on training images."),
    Column("train_accuracy", pa.float64(), "Accuracy in the weights' steps."),
    Column("alpha_loss", pa.float64(), "Search: task loss of the alphas' steps on the validation half."),
    Column("alpha_accuracy", pa.float64(), "Search: accuracy of the sampled cells in the alphas' steps."),
    Column(
        "penalty", pa.float64(), "Search: what the alphas' objective adds to the loss, Jensen-Shannon (Eq. 9) for STC."
    ),
    Column(
        "penalty_weight", pa.float64(), "Its coefficient, lambda of Eq. 10 for STC; null where the method adds nothing."
    ),
    Column("noise", pa.float64(), "Range of STC's sampling noise; null for other methods."),
    Column("lr", pa.float64(), "Learning rate of the weights."),
    Column("alpha_lr", pa.float64(), "Search: learning rate of the alphas."),
    Column("valid_accuracy", pa.float64(), "As in `trials`, after this epoch; null in epochs that are not evaluated."),
    Column(
        "derived_accuracy", pa.float64(), "As in `trials`, after this epoch; null in epochs that are not evaluated."
    ),
    Column("test_loss", pa.float64(), "Retraining: loss on the test images after this epoch."),
    Column("test_accuracy", pa.float64(), "Retraining: accuracy on the test images after this epoch."),
    Column("test_top5_accuracy", pa.float64(), "Retraining: test images whose class is among the five likeliest."),
    Column("genotype", pa.string(), "Search: the cell as derived after this epoch."),
    Column("skip_connects", pa.int64(), "Search: `skip_connect` operations in its normal cell (Fig. 8)."),
    Column("step_seconds", pa.float64(), "Mean over the epoch's training steps, its evaluation left out."),
    Column("device_seconds", pa.float64(), "Time of the epoch on the device, of several devices their sum."),
    Column("devices", pa.int64(), "Devices that computed this epoch together."),
]

EPOCHS = _schema(_EPOCHS)

_ALPHAS = [
    Column("schema_version", pa.int32(), _VERSION),
    Column("trial_id", pa.string(), "The search, as in `trials`."),
    Column("epoch", pa.int64(), "Counted from 0; the last epoch is always there."),
    Column("cell", pa.string(), "Kind of the cell, `normal` or `reduce`."),
    Column("node", pa.int64(), "Node that the edge enters; the cell's inputs are the first nodes."),
    Column("source", pa.int64(), "Node that the edge leaves."),
    Column("operation", pa.string(), "Candidate operation on the edge."),
    Column("alpha", pa.float64(), "Its architecture parameter."),
    Column("weight", pa.float64(), "Its weight as the method reads it from alpha, ReLU (Eq. 3) for STC."),
]

ALPHAS = _schema(_ALPHAS)

_BENCHMARKS = [
    Column("schema_version", pa.int32(), _VERSION),
    Column("benchmark_id", pa.string(), "Hash of the table's fingerprint and of the columns that were read."),
    Column("genotype", pa.string(), "The cell in canonical text."),
    *_lookup_columns("The cell's accuracy, {metric}; null where the table has no such metric."),
]

BENCHMARKS = _schema(_BENCHMARKS)
"""What a benchmark table says of every cell, copied by the first lookup so that a report needs the ledger alone."""

_RANKS = [
    Column("schema_version", pa.int32(), _VERSION),
    Column("trial_id", pa.string(), "The search, as in `trials`."),
    Column("epoch", pa.int64(), "Counted from 0."),
    Column("genotype", pa.string(), "A drawn cell in canonical text."),
    Column("accuracy", pa.float64(), "Its accuracy with inherited weights on the validation half."),
]

RANKS = _schema(_RANKS)

_FAILURES = [
    *(
        column
        for column in _TRIALS
        if column.name in ("schema_version", "trial_id", "sweep", "stage", "setting", "seed", "retrain_seed")
    ),
    Column("attempt", pa.int64(), "Which start of the trial failed, 1 for the first."),
    Column("epochs_done", pa.int64(), "Epochs that were done when it failed."),
    *(column for column in _TRIALS if column.name in ("error_kind", "error", "device", "host", "finished_at")),
]

FAILURES = _schema(_FAILURES)

TABLES = {"trials": TRIALS, "epochs": EPOCHS, "alphas": ALPHAS, "ranks": RANKS}

COLUMNS = {
    "trials": _TRIALS,
    "epochs": _EPOCHS,
    "alphas": _ALPHAS,
    "ranks": _RANKS,
    "failures": _FAILURES,
    "benchmarks": _BENCHMARKS,
}
"""A sentence for each column; the columns of the configurations have theirs in `stcnas_core/config.py`."""
