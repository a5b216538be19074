"""What one search costs beside what the paper printed: measured steps, and what 50 epochs of them come to."""

import math
from typing import Any

from analysis.formats import Table, duration, fixed, memory, published_value
from analysis.printed import METRICS, Value
from analysis.results import Record, Results, number
from analysis.statistics import summarize

EPOCHS = 50
HALF = 25_000
"""Images that train weights in one epoch of a search on CIFAR-10 (the other half trains alphas, in the same steps)."""

DAY = 86_400
"""Seconds."""


def of_costs(results: Results) -> bool:
    """Whether the sweep is of a table in which the paper printed what searches cost, and does no more than search."""
    paper = results.paper
    return paper is not None and {"memory", "gpu_days"} <= set(paper.metrics) and not results.retrains_planned


def search_cost(results: Results) -> Table | None:
    """One row a setting; None unless the sweep is of a table in which the paper printed the cost of searches."""
    if results.paper is None or not of_costs(results):
        return None
    records = [costs(results, setting) for setting in results.settings]
    on_gpu = all(record["device"] != "cpu" for record in records if record["device"])
    unit = "GPU-days" if on_gpu else "device-days"
    columns = (
        "Setting",
        "n",
        "Step",
        f"{EPOCHS} epochs, {unit}",
        f"Paper: {METRICS['gpu_days']}",
        "Peak memory",
        f"Paper: {METRICS['memory']}",
    )
    rows = tuple(
        (
            record["setting"],
            str(record["n"]),
            duration(record["step_seconds_mean"]) + (" *" if record["shared_device"] else ""),
            fixed(record["days_of_50_epochs"], 4),
            published_value(_value(record["paper_gpu_days"])),
            memory(record["peak_memory_bytes"]),
            published_value(_value(record["paper_memory_gb"])),
        )
        for record in records
    )
    return Table(
        "search-cost",
        f"Cost of one search beside {results.paper.title} of Sun et al., 2022 (a V100; literature values).",
        columns,
        rows,
        frozenset(columns[1:]),
        tuple(records),
        _notes(records, unit, on_gpu),
    )


def costs(results: Results, setting: str) -> dict[str, Any]:
    """What the searches of a setting took, and what the paper printed: seconds, days, bytes (peak) and GB (printed)."""
    found = [run.finished for run in results.of(setting) if run.finished]
    steps = summarize(number(record.get("step_seconds")) for record in found)
    peaks = [peak for record in found if (peak := number(record.get("peak_memory_bytes"))) is not None]
    row = results.paper.row(setting) if results.paper else None
    printed = row.values if row else {}
    return {
        "setting": setting,
        "paper_row": row.name if row else None,
        "n": steps.n,
        "step_seconds_mean": steps.mean,
        "step_seconds_std": steps.std,
        "days_of_50_epochs": summarize(_days(record) for record in found).mean,
        "paper_gpu_days": printed["gpu_days"].mean if "gpu_days" in printed else None,
        "peak_memory_bytes": max(peaks) if peaks else None,
        "paper_memory_gb": printed["memory"].mean if "memory" in printed else None,
        "device": ", ".join(sorted({str(record["device"]) for record in found if record.get("device")})),
        "shared_device": any(record.get("shared_device") for record in found),
    }


def _days(record: Record) -> float | None:
    """Days that 50 epochs of such steps over CIFAR-10's images take; evaluation is left out."""
    seconds, batch = number(record.get("step_seconds")), number(record.get("search_batch_size"))
    return None if seconds is None or not batch else seconds * math.ceil(HALF / batch) * EPOCHS / DAY


def _value(printed: float | None) -> Value | None:
    return None if printed is None else Value(printed)


def _notes(records: list[dict[str, Any]], unit: str, on_gpu: bool) -> tuple[str, ...]:
    devices = sorted({record["device"] for record in records if record["device"]})
    notes = [
        f"Extrapolated, not run: {unit} of {EPOCHS} epochs are the measured step times the steps that {EPOCHS} epochs "
        f"over {HALF:,} images take at the setting's batch size, evaluation left out. A step is one of the weights and "
        "one of the alphas; its time is the median over the epochs that ran."
    ]
    if devices:
        notes.append(f"Measured on {', '.join(devices)}; the paper's numbers are of a V100.")
    if not on_gpu:
        notes.append("On a CPU the memory is that of the whole process, libraries included.")
    if any(record["shared_device"] for record in records):
        notes.append("* Other trials ran on the same device at that time, so this time is no clean cost.")
    return tuple(notes)
