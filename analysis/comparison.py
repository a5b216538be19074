"""Tables 4, 5 and 6 row by row: what was measured here, beside what the paper printed, and what is literature alone."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from analysis.formats import MISSING, Table, fixed, mean_std, published_value
from analysis.printed import METRICS, Row
from analysis.provenance import values_of
from analysis.results import Results, Run
from analysis.statistics import Summary, summarize

COMPARED = ("table-4", "table-5", "table-6")
"""Tables in which the paper's own rows stand beside those of other methods."""

LITERATURE = "literature only"
NO_ROW = "(none)"

_CIFAR10 = frozenset({"test_error", "params"})
_CIFAR100 = frozenset({"cifar100_error", "cifar100_params"})

Measured = dict[str, Callable[[Run], float | None]]


def comparison(results: Results) -> Table | None:
    """A line for each of our settings, under the paper's row that is the same experiment, and for each row without one.

    None unless the sweep is of a table that compares methods.
    """
    paper = results.paper
    if paper is None or paper.key not in COMPARED:
        return None
    measured = _measured(results)
    # What was printed of the data set that cells were not retrained on stays in the paper's own table.
    other = _CIFAR100 if measured.keys() >= _CIFAR10 else _CIFAR10 if measured.keys() >= _CIFAR100 else frozenset[str]()
    pairs: list[tuple[Row | None, str | None]] = []
    for row in paper.rows:
        mine: list[str | None] = [setting for setting in results.settings if paper.row(setting) is row]
        pairs += [(row, setting) for setting in mine or [None]]
    pairs += [(None, setting) for setting in results.settings if paper.row(setting) is None]
    summaries = [_summaries(results, setting, measured) for _, setting in pairs]
    records = [_record(results, *pair, found) for pair, found in zip(pairs, summaries, strict=True)]
    columns = ["Row of the paper", "Setting here", "Kind", "n"]
    # The other way to count is measured here alone.
    shown = [name for name in METRICS if name in paper.metrics or (name == "macs_alone" and name in measured)]
    metrics = sorted((metric for metric in shown if metric not in other), key=lambda name: not _judges(name))
    on_cpu = "cpu" in values_of(results.stage("search"), "device")
    for metric in metrics:
        if metric in measured:
            unit = "device-days" if metric == "gpu_days" and on_cpu else METRICS[metric]
            columns.append(f"Here: {unit}")
        if metric in paper.metrics:
            columns.append(f"Paper: {METRICS[metric]}")
    return Table(
        "comparison",
        f"{paper.title}, row by row: measured here (mean ± sample standard deviation over n), and as printed by Sun et "
        "al., 2022.",
        tuple(columns),
        tuple(
            _cells(record, row, metrics, found, paper.metrics)
            for (row, _), record, found in zip(pairs, records, summaries, strict=True)
        ),
        frozenset(columns[3:]),
        tuple(records),
        _notes(records),
    )


def _measured(results: Results) -> Measured:
    """How the paper's metrics are read off a run; those of the data set that cells were retrained on alone."""
    found: Measured = {}
    if results.retrains_planned and results.paper is not None and "top1_error" in results.paper.metrics:
        found["top1_error"] = lambda run: _error(run.test_accuracy)
        found["top5_error"] = lambda run: _error(run.retrain_value("test_top5_accuracy"))
        found["params"] = lambda run: _scaled(run.retrain_value("params"), 1e-6)
        found["macs"] = lambda run: _scaled(run.retrain_value("macs_with_norms"), 1e-6)
        found["macs_alone"] = lambda run: _scaled(run.retrain_value("macs"), 1e-6)
        found["gpu_days"] = lambda run: _scaled(run.search_value("device_seconds"), 1 / 86_400)
    elif results.retrains_planned:
        is_cifar100 = values_of(results.stage("retrain"), "retrain_dataset") == ["cifar100"]
        error, params = ("cifar100_error", "cifar100_params") if is_cifar100 else ("test_error", "params")
        found[error] = lambda run: _error(run.test_accuracy)
        found[params] = lambda run: _scaled(run.retrain_value("params"), 1e-6)
        found["gpu_days"] = lambda run: _scaled(run.search_value("device_seconds"), 1 / 86_400)
    else:
        found["seconds"] = lambda run: run.search_value("device_seconds")
    for lookup in results.lookups:
        found[lookup] = lambda run, column=lookup: run.lookup_value(column)
    return found


def _judges(metric: str) -> bool:
    """Whether cells are judged by it: an error, or a test accuracy of the benchmark."""
    return metric.endswith(("_error", "_test"))


def _error(accuracy: float | None) -> float | None:
    return None if accuracy is None else 100 - accuracy


def _scaled(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor


def _summaries(results: Results, setting: str | None, measured: Measured) -> Mapping[str, Summary]:
    runs = () if setting is None else results.of(setting)
    return {metric: summarize(value(run) for run in runs) for metric, value in measured.items()}


def _record(results: Results, row: Row | None, setting: str | None, summaries: Mapping[str, Summary]) -> dict[str, Any]:
    runs = () if setting is None else results.of(setting)
    given = bool(runs) and all(run.state == "given" for run in runs)
    record: dict[str, Any] = {
        "paper_row": None if row is None else row.name,
        "setting": setting,
        "kind": LITERATURE if setting is None else "published cell" if given else "search",
    }
    judged = [summary.n for metric, summary in summaries.items() if _judges(metric)]
    record["n"] = None if setting is None else max(judged, default=0)
    for metric, summary in summaries.items():
        record |= {f"{metric}_mean": summary.mean, f"{metric}_std": summary.std}
    for metric in results.paper.metrics if results.paper else ():  # all of them: files are for programs
        value = None if row is None else row.values.get(metric)
        record |= {
            f"paper_{metric}_mean": None if value is None else value.mean,
            f"paper_{metric}_std": None if value is None else value.std,
        }
    return record


def _cells(
    record: Mapping[str, Any],
    row: Row | None,
    metrics: Sequence[str],
    summaries: Mapping[str, Summary],
    printed: Sequence[str],
) -> tuple[str, ...]:
    cells = [
        record["paper_row"] or NO_ROW,
        record["setting"] or MISSING,
        record["kind"],
        MISSING if record["n"] is None else str(record["n"]),
    ]
    for metric in metrics:
        if metric in summaries:
            summary = summaries[metric]
            digits = {"gpu_days": 4, "seconds": 1, "macs": 1, "macs_alone": 1}.get(metric, 2)
            small = metric == "params" and summary.mean is not None
            cells.append(fixed(summary.mean, 3) if small else mean_std(summary, digits))
        if metric in printed:
            cells.append(published_value(None if row is None else row.values.get(metric)))
    return tuple(cells)


def _notes(records: list[dict[str, Any]]) -> tuple[str, ...]:
    notes = [
        "Columns of the paper are literature values, not measured here; it quotes the rows of other methods from their "
        "own papers, each at sizes of its own."
    ]
    kinds = {record["kind"] for record in records}
    if LITERATURE in kinds:
        notes.append(f"Rows marked “{LITERATURE}” have no setting in this sweep.")
    if "published cell" in kinds:
        notes.append(
            "Published cells are those that a method's authors released, trained here without a search; n is their "
            "trainings, one a retrain seed."
        )
    if any("macs_mean" in record for record in records):
        notes.append(
            "Multiply-adds count convolutions, linear layers, and, as printed tables of this setting do, two for each "
            "value of a batch norm and one for each of a ReLU; the limit is held against these. The other column "
            "leaves both out."
        )
    if any("gpu_days_mean" in record for record in records):
        notes.append("Days measured here are of the devices that are named under What was run.")
    return tuple(notes)
