"""The report's other tables: cost, the paper's own rows, every search."""

import math

from analysis.formats import Table, duration, fixed, memory, millions, published_value
from analysis.printed import METRICS, PublishedTable
from analysis.results import Record, Results, number
from analysis.statistics import finite, summarize


def cost(results: Results) -> Table:
    """Device time and peak memory by setting and stage, over finished trials."""
    rows, records = [], []
    shared = False
    retrained = 0
    for setting in results.settings:
        runs = results.of(setting)
        distinct = {record["trial_id"]: record for run in runs for record in run.retrains}
        retrained += len(distinct)
        stages: list[tuple[str, list[Record]]] = []
        if any(run.state != "given" for run in runs):
            stages.append(("search", [run.finished for run in runs if run.finished]))
        if results.retrains_planned:
            stages.append(("retrain", list(distinct.values())))
        for stage, found in stages:
            seconds = summarize(number(record.get("device_seconds")) for record in found)
            peaks = [peak for record in found if (peak := number(record.get("peak_memory_bytes"))) is not None]
            attempts = sum(int(number(record.get("attempt")) or 1) for record in found)
            steps = summarize(number(record.get("step_seconds")) for record in found)
            total = seconds.mean * seconds.n if seconds.mean is not None else None
            is_shared = any(record.get("shared_device") for record in found)
            shared |= is_shared
            mark = " *" if is_shared else ""
            peak = max(peaks) if peaks else None
            rows.append(
                (
                    setting,
                    stage,
                    str(len(found)),
                    duration(seconds.mean) + mark,
                    duration(total) + mark,
                    duration(steps.mean) + mark,
                    memory(peak),
                    str(attempts - len(found)),
                )
            )
            records.append(
                {
                    "setting": setting,
                    "stage": stage,
                    "trials": len(found),
                    "device_seconds_mean": seconds.mean,
                    "device_seconds_std": seconds.std,
                    "device_seconds_total": total,
                    "step_seconds_mean": steps.mean,
                    "peak_memory_bytes": peak,
                    "restarts": attempts - len(found),
                    "shared_device": is_shared,
                }
            )
    columns = ("Setting", "Stage", "Trials", "Device time each", "Device time total", "Step", "Peak memory", "Restarts")
    notes = [
        "Device time is over all attempts, without reading data; a step is one of training, the median over epochs. "
        "GB and MB are powers of ten."
    ]
    if shared:
        notes.append("* Other trials ran on the same device at that time, so this time is no clean cost.")
    if retrained > len(results.last_retrains):
        notes.append("A cell that several settings found is retrained once and counted in each of them.")
    if len(every := results.stage("retrain")) > len(results.last_retrains):
        last = {record["trial_id"] for record in results.last_retrains}
        others = [number(record.get("device_seconds")) for record in every if record["trial_id"] not in last]
        notes.append(
            f"Not in here: {len(others)} retrainings of cells that searches derived on their way, "
            f"{duration(math.fsum(finite(others)))} of device time."
        )
    return Table(
        "cost", "Cost by setting and stage.", columns, tuple(rows), frozenset(columns[2:]), tuple(records), tuple(notes)
    )


def literature(table: PublishedTable) -> Table:
    """The paper's own table, as literature values."""
    columns = ("Row", *(METRICS[metric] for metric in table.metrics))
    rows = tuple(
        (row.name, *(published_value(row.values.get(metric)) for metric in table.metrics)) for row in table.rows
    )
    return Table(
        "literature",
        f"{table.title} of Sun et al., 2022: {table.about}. Literature values, not measured here.",
        columns,
        rows,
        frozenset(columns[1:]),
        (),
    )


def runs(results: Results) -> Table:
    """One row a planned search: seed, state, accuracies, cell."""
    numeric = ["Search: valid, %", "Search: derived, %", "Test, %", *map(METRICS.__getitem__, results.lookups)]
    columns = ("Setting", "Seed", "State", *numeric, "Params, M", "Trial")
    rows, records = [], []
    for run in results.runs:
        valid, derived = run.search_value("valid_accuracy"), run.search_value("derived_accuracy")
        params = run.retrain_value("params") if run.retrains else run.search_value("params")
        rows.append(
            (
                run.setting,
                str(run.seed),
                run.state,
                fixed(valid),
                fixed(derived),
                fixed(run.test_accuracy),
                *(fixed(run.lookup_value(lookup)) for lookup in results.lookups),
                millions(params),
                run.trial_id,
            )
        )
        records.append(
            {
                "setting": run.setting,
                "seed": run.seed,
                "state": run.state,
                "valid_accuracy": valid,
                "derived_accuracy": derived,
                "test_accuracy": run.test_accuracy,
                **{lookup: run.lookup_value(lookup) for lookup in results.lookups},
                "retrainings": len(run.retrains),
                "params": params,
                "trial_id": run.trial_id,
                "genotype": run.genotype.canonical_text() if run.genotype else None,
            }
        )
    return Table(
        "runs",
        "Every planned search, and every training of a given cell.",
        columns,
        tuple(rows),
        frozenset({"Seed", *numeric, "Params, M"}),
        tuple(records),
    )
