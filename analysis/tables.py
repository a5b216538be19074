"""The report's other tables: paired comparisons, cost, the paper's own rows, every search."""

from analysis.ablation import outcome
from analysis.formats import MISSING, Table, duration, fixed, interval, mean_std, memory, millions, published_value
from analysis.printed import METRICS, PublishedTable
from analysis.results import Record, Results, number
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
