"""The report's other tables: paired comparisons, rank correlation, cost, the paper's own rows, every search."""

from analysis.ablation import outcome
from analysis.formats import MISSING, Table, duration, fixed, interval, mean_std, memory, millions, published_value
from analysis.printed import METRICS, PublishedTable
from analysis.ranking import FEW, TOP_SHARE, Estimate, Ranking, agreement, rank_correlation
from analysis.results import Record, Results, Run, number
from analysis.statistics import SMALLEST_TESTED, Summary, holm, paired_difference, summarize


def paired(results: Results) -> Table | None:
    """Each setting minus the first, paired by seed; None where there is nothing to compare."""
    searched = list(dict.fromkeys(run.setting for run in results.runs if run.state != "given"))
    if len(searched) < 2:
        return None
    what, judged = outcome(results)
    first, *others = searched
    by_seed = {setting: {run.seed: judged(run) for run in results.of(setting)} for setting in searched}
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
    """Rank correlations of search with outcome: (setting or "all settings", accuracy of what, ranking).

    The outcome is test accuracy after retraining, or where nothing is retrained what the benchmark knows of the cell.
    Beside all settings pooled, a setting is listed by itself if enough of its searches have one to say anything.
    """
    return [(name, label, rank_correlation(pairs)) for name, label, pairs in _ranked_pairs(results)]


Pairs = list[tuple[float | None, float | None]]


def _ranked_pairs(results: Results) -> list[tuple[str, str, Pairs]]:
    _, judged = outcome(results)
    found: list[tuple[str, str, Pairs]] = []
    groups: list[tuple[str, tuple[Run, ...]]] = [("all settings", results.runs)] if len(results.settings) > 1 else []
    groups += [
        (setting, results.of(setting)) for setting in results.settings if not groups or _enough(results, setting)
    ]
    for name, runs in groups:
        for column, label in (("derived_accuracy", "derived cell"), ("valid_accuracy", "super-network")):
            found.append((name, label, [(run.search_value(column), judged(run)) for run in runs]))
    return found


def _enough(results: Results, setting: str) -> bool:
    _, judged = outcome(results)
    return sum(judged(run) is not None for run in results.of(setting)) >= FEW


def ranks_outcomes(results: Results) -> bool:
    """Whether searches can be ranked against an outcome: after retraining, or in a benchmark table."""
    return results.searches_planned and (results.retrains_planned or results.lookup is not None)


def ranking_table(results: Results) -> Table | None:
    """How search accuracy ranks outcomes, pooled and by setting; None where nothing is retrained or looked up."""
    if not ranks_outcomes(results):
        return None
    what, _ = outcome(results)
    retrained = results.retrains_planned
    pairs = _ranked_pairs(results)
    found = rankings(results)
    tau_printed = {
        setting: value.mean
        for setting in results.settings
        if results.paper and (row := results.paper.row(setting)) and (value := row.values.get("kendall_tau"))
    }
    columns = ["Searches", "Search accuracy of the", "n", "Kendall τ-b", "95% interval", "Spearman ρ"]
    columns += [f"Top {TOP_SHARE:.0%} overlap", "Regret of the best ranked"]
    best = [_best_of(known) for _, _, known in pairs]
    if tau_printed:
        columns.append("Paper: τ")
    rows = []
    for (name, label, ranking), (overlap, regret) in zip(found, best, strict=True):
        row = [name, label, str(ranking.n), fixed(ranking.tau), interval(ranking.interval), fixed(ranking.spearman)]
        row += [
            fixed(one.value) + (f" ({interval(one.interval)})" if one.interval else "") for one in (overlap, regret)
        ]
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
            **_flat_estimate("top_overlap", overlap),
            **_flat_estimate("best_ranked_regret", regret),
            **({"paper_tau": tau_printed.get(name)} if tau_printed else {}),
        }
        for (name, label, ranking), (overlap, regret) in zip(found, best, strict=True)
    )
    notes = [
        f"Positive: what looked better in the search was better {'after retraining' if retrained else 'in the table'}.",
        f"Intervals: 95% percentile bootstrap over searches (5,000 resamples, fewer of more than 2,000 searches), from "
        f"n = {FEW} on; resamples without two distinct values on both sides are left out, and no interval is given "
        "where they are the majority.",
    ]
    notes.append(
        f"Top {TOP_SHARE:.0%} overlap: how much of the best tenth (one at least) by one is in that by the other. "
        "Regret: percentage points between the best outcome of the n searches and that of the one that looked best."
    )
    if results.paper and tau_printed:
        notes.append(f"Paper: {results.paper.title} of Sun et al., 2022 (a literature value, not measured here).")
    if len(results.settings) > 1 and not all(_enough(results, setting) for setting in results.settings):
        notes.append(f"Settings with fewer than {FEW} such searches are in the pooled rows alone.")
    return Table(
        "ranking",
        f"Rank correlation of accuracy in search (validation half) with {what}.",
        tuple(columns),
        tuple(rows),
        frozenset(columns[2:]),
        records,
        tuple(notes),
    )


MOST_COMPARED = 1_000
"""Searches up to which the best of them are compared, since resampling takes time by their square."""


def _best_of(pairs: Pairs) -> tuple[Estimate, Estimate]:
    """Overlap of the best, and regret of the one that looked best."""
    known = [(a, b) for a, b in pairs if a is not None and b is not None]
    if not 1 < len(known) <= MOST_COMPARED:
        return Estimate(None, None), Estimate(None, None)
    found = agreement(known)
    return found.overlap, found.regret


def _flat_estimate(name: str, estimate: Estimate) -> Record:
    ends = estimate.interval
    return {
        name: estimate.value,
        f"{name}_low": ends.low if ends else None,
        f"{name}_high": ends.high if ends else None,
    }


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
    if retrained > len({record["trial_id"] for run in results.runs for record in run.retrains}):
        notes.append("A cell that several settings found is retrained once and counted in each of them.")
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
