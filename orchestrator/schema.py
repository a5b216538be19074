"""The ledger's tables: one explicit Parquet schema each, versioned; every reader and writer passes it.

Accuracies are percentages, times seconds, memory bytes. Fields of the two configurations are typed columns of
`trials` (`search_*`, `retrain_*`), so that an axis of a sweep is a column to group by.
"""

import dataclasses
import typing
from typing import Any, Literal

import pyarrow as pa

from orchestrator.benchmark import METRICS
from stcnas_core.config import RetrainConfig, SearchConfig

SCHEMA_VERSION = 1

_TYPES = {"int": pa.int64(), "float": pa.float64(), "bool": pa.bool_(), "str": pa.string()}
_NOT_COLUMNS = {"genotype", "seed"}


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


TRIALS = pa.schema(
    [
        ("schema_version", pa.int32()),
        ("trial_id", pa.string()),
        ("sweep", pa.string()),  # the sweep that ran it first; other sweeps share the record by its id
        ("stage", pa.string()),  # search | retrain | lookup
        ("setting", pa.string()),  # name of the sweep's setting, e.g. "js_lambda=0->2"
        ("seed", pa.int64()),  # seed of the search, or of the search that asked for this first
        ("retrain_seed", pa.int64()),  # of retrainings
        ("state", pa.string()),  # finished | failed
        ("genotype", pa.string()),  # canonical text
        ("parent", pa.string()),  # trial_id of the search that asked for this first; null for searches
        ("valid_accuracy", pa.float64()),  # search: the method's own sub-network or supernet on the validation half
        ("derived_accuracy", pa.float64()),  # search: the derived cell alone, inherited weights, validation half
        ("train_accuracy", pa.float64()),
        ("test_accuracy", pa.float64()),  # retrain: last epoch, test images
        *[(f"lookup_{metric}", pa.float64()) for metric in METRICS],  # lookup: what the benchmark says of the cell
        ("params", pa.int64()),  # of the derived network: search at the search's size, retrain as trained, no auxiliary
        ("macs", pa.int64()),  # multiply-adds for one image, convolution and linear
        ("device_seconds", pa.float64()),  # over all attempts, without reading data
        ("rank_seconds", pa.float64()),  # of rankings by inherited weights, no part of device_seconds
        ("step_seconds", pa.float64()),  # of a training step without evaluation: median over epochs of an epoch's mean
        ("peak_memory_bytes", pa.int64()),  # CUDA: allocator's peak; CPU: resident peak of the process
        ("epochs_done", pa.int64()),
        ("attempt", pa.int64()),  # 1 for the first; how many times this trial was started
        ("error_kind", pa.string()),  # null when finished; diverged | out_of_memory | bug | lost | not_found
        ("error", pa.string()),  # traceback of a failed trial
        ("device", pa.string()),  # "cpu" or the GPU's name
        ("threads", pa.int64()),
        ("shared_device", pa.bool_()),  # others ran on the same device: its time is no clean cost
        ("host", pa.string()),
        ("started_at", pa.timestamp("us", tz="UTC")),
        ("finished_at", pa.timestamp("us", tz="UTC")),
        ("stcnas_version", pa.string()),
        ("algorithm_version", pa.int64()),
        ("python_version", pa.string()),
        ("torch_version", pa.string()),
        ("ray_version", pa.string()),
        ("commit", pa.string()),  # of the source tree, null when installed without one
        ("data", pa.string()),  # data set, or benchmark, and fingerprint, e.g. "cifar10@parquet:1f3a..."
        ("config", pa.string()),  # canonical JSON that the id is the hash of
        *config_columns(SearchConfig, "search"),
        *config_columns(RetrainConfig, "retrain"),
    ]
)

EPOCHS = pa.schema(
    [
        ("schema_version", pa.int32()),
        ("trial_id", pa.string()),
        ("stage", pa.string()),
        ("epoch", pa.int64()),  # from 0
        ("train_loss", pa.float64()),
        ("train_accuracy", pa.float64()),
        ("alpha_loss", pa.float64()),  # search: task loss of the alpha steps on the validation half
        ("alpha_accuracy", pa.float64()),  # search: accuracy of the sampled cells in the alpha steps
        ("penalty", pa.float64()),  # search: what the alphas' objective adds to the loss, Jensen-Shannon for STC
        ("penalty_weight", pa.float64()),  # its coefficient, lambda for STC; null where the method adds nothing
        ("noise", pa.float64()),  # range of STC's sampling noise; null for other methods
        ("lr", pa.float64()),
        ("alpha_lr", pa.float64()),
        ("valid_accuracy", pa.float64()),  # null in epochs that are not evaluated
        ("derived_accuracy", pa.float64()),
        ("test_loss", pa.float64()),
        ("test_accuracy", pa.float64()),
        ("genotype", pa.string()),  # derived after this epoch
        ("skip_connects", pa.int64()),  # in the normal cell (Fig. 8)
        ("step_seconds", pa.float64()),  # mean over the epoch's training steps, its evaluation left out
        ("device_seconds", pa.float64()),
    ]
)

ALPHAS = pa.schema(
    [
        ("schema_version", pa.int32()),
        ("trial_id", pa.string()),
        ("epoch", pa.int64()),
        ("cell", pa.string()),  # normal | reduce
        ("node", pa.int64()),
        ("source", pa.int64()),
        ("operation", pa.string()),
        ("alpha", pa.float64()),
        ("weight", pa.float64()),  # the operation's weight as the method reads it from alpha
    ]
)

BENCHMARKS = pa.schema(
    [
        ("schema_version", pa.int32()),
        ("benchmark_id", pa.string()),  # hash of the table's fingerprint and of the columns that were read
        ("genotype", pa.string()),  # canonical text
        *[(f"lookup_{metric}", pa.float64()) for metric in METRICS],  # null where the table has no such metric
    ]
)
"""What a benchmark table says of every cell, copied by the first lookup so that a report needs the ledger alone."""

RANKS = pa.schema(
    [
        ("schema_version", pa.int32()),
        ("trial_id", pa.string()),
        ("epoch", pa.int64()),
        ("genotype", pa.string()),  # canonical text of a drawn cell
        ("accuracy", pa.float64()),  # with inherited weights, validation half
    ]
)

FAILURES = pa.schema(
    [
        ("schema_version", pa.int32()),
        ("trial_id", pa.string()),
        ("sweep", pa.string()),
        ("stage", pa.string()),
        ("setting", pa.string()),
        ("seed", pa.int64()),
        ("retrain_seed", pa.int64()),
        ("attempt", pa.int64()),
        ("epochs_done", pa.int64()),
        ("error_kind", pa.string()),
        ("error", pa.string()),
        ("device", pa.string()),
        ("host", pa.string()),
        ("finished_at", pa.timestamp("us", tz="UTC")),
    ]
)

TABLES = {"trials": TRIALS, "epochs": EPOCHS, "alphas": ALPHAS, "ranks": RANKS}
