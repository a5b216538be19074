"""The ablation table: one row a setting, our numbers beside the paper's."""

from collections.abc import Callable
from typing import Any

from analysis.formats import MISSING, Table, duration, interval, mean_std, memory, millions, published_value
from analysis.printed import METRICS, Value, accuracy
from analysis.results import Results, Run
from analysis.statistics import Summary, summarize

FEW_SEEDS = 8
"""Below so many seeds a percentile interval of a mean is narrower than it claims; the table says so."""


def outcome(results: Results) -> tuple[str, Callable[[Run], float | None]]:
    """What settings are judged by: test accuracy after retraining, else in a benchmark table, else search accuracy."""
    if results.retrains_planned:
        return "test accuracy after retraining", lambda run: run.test_accuracy
    if (lookup := results.lookup) is not None:
        return f"accuracy in the benchmark ({METRICS[lookup].removesuffix(', %')})", lambda run: run.lookup_value(
            lookup
        )
    return "search accuracy", lambda run: run.search_accuracy


def ablation(results: Results, ran: str) -> Table:
    """One row a setting: seeds, accuracies, sizes, cost, and the paper's value where it printed one."""
    records = [_ablation_record(results, setting) for setting in results.settings]
    columns: list[tuple[str, bool, Callable[[dict[str, Any]], str]]] = [
        ("Setting", False, lambda record: record["setting"]),
        ("n", True, _seeds),
    ]
    if results.retrains_planned:
        columns += [
            ("Test accuracy, %", True, lambda record: mean_std(record["test"])),
            ("95% interval", True, lambda record: interval(record["test"].interval)),
        ]
    for lookup in results.lookups:
        name = METRICS.get(lookup, lookup)
        columns.append((name, True, lambda record, key=lookup: mean_std(record[key])))
        if lookup == results.lookup:
            title = f"95% interval ({name.removesuffix(', %')})"
            columns.append((title, True, lambda record, key=lookup: interval(record[key].interval)))
    paper = _paper_columns(results)
    for metric, title in paper:
        columns.append((title, True, lambda record, key=metric: published_value(record["paper"].get(key))))
    columns += [
        ("Search: valid, %", True, lambda record: mean_std(record["valid"])),
        ("Search: derived, %", True, lambda record: mean_std(record["derived"])),
    ]
    if not results.retrains_planned:
        columns.append(("95% interval (derived)", True, lambda record: interval(record["derived"].interval)))
    columns += [
        ("Params, M", True, lambda record: millions(record["params"].mean)),
        ("Search cost", True, lambda record: duration(record["seconds"].mean)),
        ("Peak memory", True, lambda record: memory(record["memory"])),
        ("Distinct cells", True, lambda record: _distinct(record)),
    ]
    return Table(
        name="ablation",
        caption=_ablation_caption(results, ran),
        columns=tuple(title for title, _, _ in columns),
        rows=tuple(tuple(cell(record) for _, _, cell in columns) for record in records),
        numeric=frozenset(title for title, numeric, _ in columns if numeric),
        records=tuple(_flat(results, record, paper) for record in records),
        notes=_ablation_notes(results, records),
    )


def _ablation_record(results: Results, setting: str) -> dict[str, Any]:
    runs = results.of(setting)
    row = results.paper.row(setting) if results.paper else None
    paper: dict[str, Value] = dict(row.values) if row else {}
    if row and (printed := accuracy(row)):
        paper["test_accuracy"] = printed
    _, judged = outcome(results)
    peaks = [peak for run in runs if (peak := run.search_value("peak_memory_bytes")) is not None]
    cells = [run.genotype for run in runs if run.finished is not None]
    params = summarize(run.retrain_value("params") for run in runs)
    return {
        "setting": setting,
        "n": summarize(judged(run) for run in runs).n,
        "planned": len(runs),
        "searches": len(cells),
        "test": summarize(run.test_accuracy for run in runs),
        "valid": summarize(run.search_value("valid_accuracy") for run in runs),
        "derived": summarize(run.search_value("derived_accuracy") for run in runs),
        **{lookup: summarize(run.lookup_value(lookup) for run in runs) for lookup in results.lookups},
        "params": params if params.n else summarize(run.search_value("params") for run in runs),
        "seconds": summarize(run.search_value("device_seconds") for run in runs),
        "memory": max(peaks) if peaks else None,
        "distinct": len(set(cells)),
        "paper": paper,
        "paper_row": row.name if row else None,
        "gaps": _gaps(results, runs),
        "retrains": max((len(run.retrains) for run in runs), default=0),
    }


def _seeds(record: dict[str, Any]) -> str:
    missing = record["planned"] - record["n"]
    return f"{record['n']} ({missing} missing)" if missing else str(record["n"])


def _gaps(results: Results, runs: tuple[Run, ...]) -> str:
    """What a setting lacks, in words; empty where nothing is missing."""
    amounts = {
        ("search", "failed"): sum(run.state == "failed" for run in runs),
        ("search", "missing"): sum(run.state == "missing" for run in runs),
        ("retraining", "failed"): sum(run.failed_retrains for run in runs),
        ("retraining", "missing"): sum(run.missing_retrains for run in runs),
        ("lookup", "failed"): sum(run.lookup_state == "failed" for run in runs),
        ("lookup", "missing"): sum(
            results.lookups_planned and run.state != "failed" and run.lookup_state == "missing" for run in runs
        ),
    }
    plural = {"search": "searches", "retraining": "retrainings", "lookup": "lookups"}
    return ", ".join(
        f"{amount} {what if amount == 1 else plural[what]} {state}"
        for (what, state), amount in amounts.items()
        if amount
    )


def _distinct(record: dict[str, Any]) -> str:
    return f"{record['distinct']} of {record['searches']}" if record["searches"] else MISSING


def _paper_columns(results: Results) -> list[tuple[str, str]]:
    """The printed metrics that stand beside ours, for the rows that match a setting."""
    table = results.paper
    if table is None:
        return []
    rows = [row for setting in results.settings if (row := table.row(setting))]
    present = {metric for row in rows for metric in row.values}
    if any(accuracy(row) for row in rows):
        present.add("test_accuracy")
    shown = ("test_accuracy", "valid_accuracy", "derived_accuracy", "kendall_tau", "memory", "gpu_days")
    wanted = [metric for metric in METRICS if metric in present and metric in {*shown, *results.lookups}]
    return [(metric, f"Paper: {METRICS[metric]}") for metric in wanted]


def _flat(results: Results, record: dict[str, Any], paper: list[tuple[str, str]]) -> dict[str, Any]:
    flat: dict[str, Any] = {"setting": record["setting"], "n": record["n"], "planned": record["planned"]}
    names = {"test": "test_accuracy", "valid": "valid_accuracy", "derived": "derived_accuracy"}
    names |= {lookup: lookup for lookup in results.lookups}
    names |= {"params": "params", "seconds": "search_device_seconds"}
    for key, name in names.items():
        summary: Summary = record[key]
        flat[f"{name}_mean"] = summary.mean
        flat[f"{name}_std"] = summary.std
        if key in {"test", "derived"} or key.startswith("lookup_"):
            flat[f"{name}_low"] = summary.interval.low if summary.interval else None
            flat[f"{name}_high"] = summary.interval.high if summary.interval else None
    flat |= {"search_peak_memory_bytes": record["memory"], "distinct_cells": record["distinct"]}
    flat["finished_searches"] = record["searches"]
    for metric, _ in paper:
        value = record["paper"].get(metric)
        flat[f"paper_{metric}_mean"] = value.mean if value else None
        flat[f"paper_{metric}_std"] = value.std if value else None
    if results.paper:
        flat["paper_row"] = record["paper_row"]
    flat["not_there"] = record["gaps"]
    return flat


def _ablation_caption(results: Results, ran: str) -> str:
    what, _ = outcome(results)
    return f"{results.name}: {what}, mean ± sample standard deviation over n searches. {ran}"


def _ablation_notes(results: Results, records: list[dict[str, Any]]) -> tuple[str, ...]:
    notes = ["Intervals are 95% percentile bootstrap intervals of the mean over seeds."]
    fewest = min((record["n"] for record in records if record["n"] > 1), default=0)
    if 0 < fewest < FEW_SEEDS:
        extra = "; with 2 or 3 they are the range of the seeds" if fewest <= 3 else ""
        notes.append(f"With fewer than {FEW_SEEDS} seeds such intervals are narrower than they claim{extra}.")
    retrains = max((record["retrains"] for record in records), default=0)
    if retrains > 1:
        notes.append(f"The test accuracy of a search is the mean over up to {retrains} retrainings of its cell.")
    if any(record["distinct"] < record["searches"] for record in records):
        notes.append("Seeds that found the same cell share its retraining, so their accuracies are not independent.")
    if any(run.state == "given" for run in results.runs):
        notes.append("Rows without a search are cells that the sweep names: n is their trainings, one a retrain seed.")
    if results.lookups:
        tables = sorted({str(record["data"]) for record in results.stage("lookup")})
        notes.append(
            f"Benchmark accuracies are looked up ({', '.join(tables)}): what others reached by training the cell, the "
            "mean over their runs. Nothing was trained for them here."
        )
    gaps = [f"{record['setting']} ({record['gaps']})" for record in records if record["gaps"]]
    if gaps:
        notes.append(f"Not there: {'; '.join(gaps)}.")
    if results.paper and any(record["paper"] for record in records):
        source = "Sun et al., 2022 (literature values, not measured here)"
        notes.append(f"Paper: {results.paper.title} of {source}.")
    return tuple(notes)
