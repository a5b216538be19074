"""Whether inherited weights rank cells as training does: drawn cells of a search against a benchmark's true accuracies.

Direction: positive means that what was better with inherited weights is better when it is trained.
"""

from collections.abc import Callable
from dataclasses import dataclass

from analysis.formats import Table, fixed, interval
from analysis.printed import METRICS
from analysis.ranking import FEW, TOP_SHARE, Agreement, Estimate, agreement
from analysis.results import Results, Run
from analysis.statistics import summarize


@dataclass(frozen=True)
class Ranked:
    """The ranking that one search had after one epoch; `derived_regret` is that of the cell derived then, in points."""

    run: Run
    epoch: int
    agreement: Agreement
    derived_regret: float | None


@dataclass(frozen=True)
class Statistic:
    """A column: how it is called, for people and in CSV, and where it stands in a ranking."""

    title: str
    name: str
    of: Callable[[Ranked], Estimate]


STATISTICS = (
    Statistic("Kendall τ-b", "kendall_tau_b", lambda ranked: ranked.agreement.tau),
    Statistic("Spearman ρ", "spearman_rho", lambda ranked: ranked.agreement.spearman),
    Statistic(f"Top {TOP_SHARE:.0%} overlap", "top_overlap", lambda ranked: ranked.agreement.overlap),
    Statistic("Regret of the best ranked", "best_ranked_regret", lambda ranked: ranked.agreement.regret),
    Statistic("Regret of the derived", "derived_regret", lambda ranked: Estimate(ranked.derived_regret, None)),
)


def ranked(results: Results) -> tuple[Ranked, ...]:
    """Every ranking of a finished search that the benchmark knows cells of, in the order of searches and epochs."""
    if results.truth is None or results.ranks.empty:
        return ()
    _, truth = results.truth
    best = float(truth.max())
    by_trial = {str(key): rows for key, rows in results.ranks.groupby("trial_id", sort=False)}
    derived = results.epochs.set_index(["trial_id", "epoch"])["genotype"]
    found: list[Ranked] = []
    for run in results.runs:
        for epoch, rows in by_trial[run.trial_id].groupby("epoch") if run.trial_id in by_trial else ():
            true = rows["genotype"].map(truth)
            known = true.notna()
            if not known.any():
                continue
            pairs = zip(rows["accuracy"][known].tolist(), true[known].tolist(), strict=True)
            reached = truth.get(derived.get((run.trial_id, epoch)))
            regret = None if reached is None else best - float(reached)
            found.append(Ranked(run, int(epoch), agreement(pairs), regret))  # type: ignore[arg-type]
    return tuple(found)


def last_rankings(results: Results) -> dict[str, Ranked]:
    """The last ranking of each search that has one, by trial id."""
    return {found.run.trial_id: found for found in ranked(results)}


def by_setting(results: Results) -> Table | None:
    """One row a setting: the last ranking of each of its searches, over the searches; None where nothing is ranked."""
    last = last_rankings(results)
    if not last or results.truth is None:
        return None
    rows, records = [], []
    for setting in results.settings:
        mine = [found for found in last.values() if found.run.setting == setting]
        if not mine:
            continue
        cells = sorted({found.agreement.n for found in mine})
        epochs = sorted({found.epoch + 1 for found in mine})
        row = [setting, str(len(mine)), _range(cells), _range(epochs)]
        record = {"setting": setting, "n": len(mine), "cells": cells[0], "epoch": epochs[-1]}
        for statistic in STATISTICS:
            summary = summarize(statistic.of(found).value for found in mine)
            # Of one search the cells alone can be resampled.
            ends = summary.interval if len(mine) > 1 else statistic.of(mine[0]).interval
            row.append(fixed(summary.mean) + (f" ({interval(ends)})" if ends else ""))
            record |= {
                f"{statistic.name}_mean": summary.mean,
                f"{statistic.name}_std": summary.std,
                f"{statistic.name}_low": ends.low if ends else None,
                f"{statistic.name}_high": ends.high if ends else None,
            }
        rows.append(tuple(row))
        records.append(record)
    columns = ("Setting", "Searches", "Cells each", "Epoch", *(statistic.title for statistic in STATISTICS))
    return Table(
        "inherited",
        f"Cells drawn uniformly, by accuracy with inherited weights (validation half) against true accuracy "
        f"({_name(results.truth[0])} in the benchmark), after the last epoch: mean over searches (95% interval).",
        columns,
        tuple(rows),
        frozenset(columns[1:]),
        tuple(records),
        (
            "Positive: what is better with inherited weights is better when it is trained.",
            "Intervals: 95% percentile bootstrap of the mean over searches, with 2 or 3 their range; of a single "
            f"search over its cells, from n = {FEW} cells on.",
            f"Top {TOP_SHARE:.0%} overlap: how much of the best tenth by one is in the best tenth by the other, by "
            f"chance {TOP_SHARE:.2f}. Regrets are percentage points: of the cell that inherited weights rank first, "
            "below the best of the drawn; of the derived cell, below the best in the whole benchmark.",
        ),
    )


def by_search(results: Results) -> Table | None:
    """One row a search and ranked epoch, intervals over its cells; None where nothing is ranked."""
    found = ranked(results)
    if not found or results.truth is None:
        return None
    columns = ("Setting", "Seed", "Epoch", "Cells", *(statistic.title for statistic in STATISTICS))
    rows, records = [], []
    for one in found:
        row = [one.run.setting, str(one.run.seed), str(one.epoch + 1), str(one.agreement.n)]
        record = {
            "setting": one.run.setting,
            "seed": one.run.seed,
            "trial_id": one.run.trial_id,
            "epoch": one.epoch + 1,
            "cells": one.agreement.n,
        }
        for statistic in STATISTICS:
            estimate = statistic.of(one)
            ends = estimate.interval
            row.append(fixed(estimate.value) + (f" ({interval(ends)})" if ends else ""))
            record[statistic.name] = estimate.value
            if statistic.name != "derived_regret":
                record |= {
                    f"{statistic.name}_low": ends.low if ends else None,
                    f"{statistic.name}_high": ends.high if ends else None,
                }
        rows.append(tuple(row))
        records.append(record)
    return Table(
        "inherited-searches",
        f"Every ranking: inherited against true accuracy ({_name(results.truth[0])} in the benchmark), with 95% "
        "percentile bootstrap intervals over the cells.",
        columns,
        tuple(rows),
        frozenset(columns[1:]),
        tuple(records),
    )


def _name(column: str) -> str:
    return METRICS[column].removesuffix(", %")


def _range(numbers: list[int]) -> str:
    return str(numbers[0]) if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]}"
