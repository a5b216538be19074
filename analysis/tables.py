"""The report's tables, from results to cells: ablation, paired comparisons, rank correlation, cost, the paper's rows."""

from collections.abc import Callable
from typing import Any

from analysis.formats import MISSING, Table, duration, fixed, interval, mean_std, memory, millions
from analysis.published import METRICS, PublishedTable, Value, accuracy
from analysis.ranking import Ranking, rank_correlation
from analysis.results import Record, Results, Run, number
from analysis.statistics import SMALLEST_TESTED, Summary, holm, paired_difference, summarize

FEW_SEEDS = 8
"""Below so many seeds a percentile interval of a mean is narrower than it claims; the table says so."""


def outcome(results: Results) -> tuple[str, Callable[[Run], float | None]]:
    """What settings are judged by: test accuracy after retraining, or search accuracy where none is retrained."""
    if results.retrains_planned:
        return "test accuracy after retraining", lambda run: run.test_accuracy
    return "search accuracy", lambda run: run.search_accuracy


def ablation(results: Results, ran: str) -> Table:
    """One row a setting: seeds, accuracies, sizes, cost, and the paper's value where it printed one."""
    records = [_ablation_record(results, setting) for setting in results.settings]
    columns: list[tuple[str, bool, Callable[[dict[str, Any]], str]]] = [
        ("Setting", False, lambda record: record["setting"]),
        ("n", True, lambda record: str(record["n"])),
    ]
    if results.retrains_planned:
        columns += [
            ("Test accuracy, %", True, lambda record: mean_std(record["test"])),
            ("95% interval", True, lambda record: interval(record["test"].interval)),
        ]
    columns += [
        ("Search: valid, %", True, lambda record: mean_std(record["valid"])),
        ("Search: derived, %", True, lambda record: mean_std(record["derived"])),
    ]
    if not results.retrains_planned:
        columns.append(("95% interval (derived)", True, lambda record: interval(record["derived"].interval)))
    for lookup in results.lookups:
        columns.append((METRICS.get(lookup, lookup), True, lambda record, key=lookup: mean_std(record[key])))
    columns += [
        ("Params, M", True, lambda record: millions(record["params"].mean)),
        ("Search cost", True, lambda record: duration(record["seconds"].mean)),
        ("Peak memory", True, lambda record: memory(record["memory"])),
        ("Distinct cells", True, lambda record: _distinct(record)),
    ]
    paper = _paper_columns(results)
    for metric, title in paper:
        columns.append((title, True, lambda record, key=metric: _value(record["paper"].get(key))))
    if not results.complete:
        columns.append(("Not there", False, lambda record: record["gaps"] or MISSING))
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
    cells = [run.genotype for run in runs if run.genotype is not None]
    params = summarize(run.retrain_value("params") for run in runs)
    return {
        "setting": setting,
        "n": summarize(judged(run) for run in runs).n,
        "planned": len(runs),
        "searches": len(cells),
        "test": summarize(run.test_accuracy for run in runs),
        "valid": summarize(run.search_value("valid_accuracy") for run in runs),
        "derived": summarize(run.search_value("derived_accuracy") for run in runs),
        **{lookup: summarize(run.search_value(lookup) for run in runs) for lookup in results.lookups},
        "params": params if params.n else summarize(run.search_value("params") for run in runs),
        "seconds": summarize(run.search_value("device_seconds") for run in runs),
        "memory": max(peaks) if peaks else None,
        "distinct": len(set(cells)),
        "paper": paper,
        "paper_row": row.name if row else None,
        "gaps": _gaps(runs),
        "retrains": max((len(run.retrains) for run in runs), default=0),
    }


def _gaps(runs: tuple[Run, ...]) -> str:
    """What a setting lacks, in words; empty where nothing is missing."""
    amounts = {
        ("search", "failed"): sum(run.state == "failed" for run in runs),
        ("search", "missing"): sum(run.state == "missing" for run in runs),
        ("retraining", "failed"): sum(run.failed_retrains for run in runs),
        ("retraining", "missing"): sum(run.missing_retrains for run in runs),
    }
    plural = {"search": "searches", "retraining": "retrainings"}
    return ", ".join(
        f"{amount} {what if amount == 1 else plural[what]} {state}" for (what, state), amount in amounts.items() if amount
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
    wanted = [metric for metric in METRICS if metric in present and (metric in shown or metric.startswith("lookup_"))]
    return [(metric, f"Paper, {table.title}: {METRICS[metric]}") for metric in wanted]


def _value(value: Value | None) -> str:
    if value is None:
        return MISSING
    if value.std is None:
        return f"{value.mean:g}".replace("-", "−")
    return f"{fixed(value.mean)} ± {fixed(value.std)}"


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
    if results.paper and any(record["paper"] for record in records):
        source = "Sun et al., 2022 (literature values, not measured here)"
        notes.append(f"Paper: {results.paper.title} of {source}.")
    return tuple(notes)


def paired(results: Results) -> Table | None:
    """Each setting minus the first, paired by seed; None where there is nothing to compare."""
    if len(results.settings) < 2:
        return None
    what, judged = outcome(results)
    first, *others = results.settings
    by_seed = {setting: {run.seed: judged(run) for run in results.of(setting)} for setting in results.settings}
    differences = [paired_difference(by_seed[first], by_seed[other]) for other in others]
    adjusted = holm([difference.p_value for difference in differences])
    columns = ("Setting", "Pairs", "Mean difference", "95% interval", "p")
    rows = tuple(
        (
            other,
            str(difference.n),
            mean_std(Summary(difference.n, difference.mean, difference.std, None)),
            interval(difference.interval),
            MISSING if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}",
        )
        for other, difference, p in zip(others, differences, adjusted, strict=True)
    )
    records = tuple(
        {
            "setting": other,
            "against": first,
            "pairs": difference.n,
            "difference_mean": difference.mean,
            "difference_std": difference.std,
            "difference_low": difference.interval.low if difference.interval else None,
            "difference_high": difference.interval.high if difference.interval else None,
            "p_value": difference.p_value,
            "p_value_holm": p,
        }
        for other, difference, p in zip(others, differences, adjusted, strict=True)
    )
    notes = []
    if any(p is not None for p in adjusted):
        notes.append("p: exact two-sided sign-flip test over paired seeds, adjusted over the rows by Holm's method.")
    if any(p is None for p in adjusted):
        notes.append(
            f"No p-value below {SMALLEST_TESTED} pairs: the smallest that an exact two-sided sign-flip test can give "
            "with n pairs is 2/2ⁿ, above 0.05 up to n = 5."
        )
    return Table(
        "paired",
        f"Percentage points of {what} against {first}, paired by seed (± sample standard deviation).",
        columns,
        rows,
        frozenset(columns[1:]),
        records,
        tuple(notes),
    )


def rankings(results: Results) -> list[tuple[str, str, Ranking]]:
    """Rank correlations of search with retrain accuracy: (setting or "all settings", which search accuracy, ranking)."""
    found: list[tuple[str, str, Ranking]] = []
    groups: list[tuple[str, tuple[Run, ...]]] = [("all settings", results.runs)] if len(results.settings) > 1 else []
    groups += [(setting, results.of(setting)) for setting in results.settings]
    for name, runs in groups:
        for column, label in (("derived_accuracy", "derived cell"), ("valid_accuracy", "super-network")):
            pairs = [(run.search_value(column), run.test_accuracy) for run in runs]
            found.append((name, label, rank_correlation(pairs)))
    return found


def ranking_table(results: Results) -> Table | None:
    """Kendall's tau-b with interval and Spearman's rho, pooled and by setting; None where nothing is retrained."""
    if not results.retrains_planned:
        return None
    found = rankings(results)
    tau_printed = {
        setting: value.mean
        for setting in results.settings
        if results.paper and (row := results.paper.row(setting)) and (value := row.values.get("kendall_tau"))
    }
    columns = ["Searches", "Search accuracy of the", "n", "Kendall τ-b", "95% interval", "Spearman ρ"]
    if tau_printed:
        columns.append("Paper: τ")
    rows = []
    for name, label, ranking in found:
        row = [name, label, str(ranking.n), fixed(ranking.tau), interval(ranking.interval), fixed(ranking.spearman)]
        if tau_printed:
            row.append(fixed(tau_printed.get(name)))
        rows.append(tuple(row))
    records = tuple(
        {
            "searches": name,
            "search_accuracy": label,
            "n": ranking.n,
            "kendall_tau_b": ranking.tau,
            "low": ranking.interval.low if ranking.interval else None,
            "high": ranking.interval.high if ranking.interval else None,
            "spearman_rho": ranking.spearman,
            "degenerate_resamples": ranking.degenerate,
            **({"paper_tau": tau_printed.get(name)} if tau_printed else {}),
        }
        for name, label, ranking in found
    )
    return Table(
        "ranking",
        "Rank correlation of accuracy in search (validation half) with test accuracy after retraining.",
        tuple(columns),
        tuple(rows),
        frozenset(columns[2:]),
        records,
        (
            "Positive: what looked better in the search was better after retraining.",
            "Intervals: 95% percentile bootstrap over searches (5,000 resamples); resamples without two distinct values "
            "on both sides are left out, and no interval is given where they are the majority.",
        ),
    )


def cost(results: Results) -> Table:
    """Device time and peak memory by setting and stage, over finished trials."""
    rows, records = [], []
    shared = False
    for setting in results.settings:
        runs = results.of(setting)
        distinct = {record["trial_id"]: record for run in runs for record in run.retrains}
        stages: list[tuple[str, list[Record]]] = [("search", [run.finished for run in runs if run.finished])]
        if results.retrains_planned:
            stages.append(("retrain", list(distinct.values())))
        for stage, found in stages:
            seconds = summarize(number(record.get("device_seconds")) for record in found)
            peaks = [peak for record in found if (peak := number(record.get("peak_memory_bytes"))) is not None]
            attempts = sum(int(number(record.get("attempt")) or 1) for record in found)
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
                    "peak_memory_bytes": peak,
                    "restarts": attempts - len(found),
                    "shared_device": is_shared,
                }
            )
    columns = ("Setting", "Stage", "Trials", "Device time each", "Device time total", "Peak memory", "Restarts")
    notes = ["Device time is over all attempts, without reading data. GB and MB are powers of ten."]
    if shared:
        notes.append("* Other trials ran on the same device at that time, so this time is no clean cost.")
    if results.retrains_planned:
        notes.append("A cell that several settings found is retrained once and counted in each of them.")
    return Table(
        "cost", "Cost by setting and stage.", columns, tuple(rows), frozenset(columns[2:]), tuple(records), tuple(notes)
    )


def literature(table: PublishedTable) -> Table:
    """The paper's own table, as literature values."""
    columns = ("Row", *(METRICS[metric] for metric in table.metrics))
    rows = tuple((row.name, *(_value(row.values.get(metric)) for metric in table.metrics)) for row in table.rows)
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
    columns = ("Setting", "Seed", "State", "Search: valid, %", "Search: derived, %", "Test, %", "Params, M", "Trial")
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
                "retrainings": len(run.retrains),
                "params": params,
                "trial_id": run.trial_id,
                "genotype": run.genotype.canonical_text() if run.genotype else None,
            }
        )
    return Table(
        "runs",
        "Every planned search.",
        columns,
        tuple(rows),
        frozenset({"Seed", "Search: valid, %", "Search: derived, %", "Test, %", "Params, M"}),
        tuple(records),
    )
