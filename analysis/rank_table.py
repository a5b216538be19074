"""Whether accuracy in search ranks the cells that searches found as retraining, or a benchmark, does."""

from analysis.ablation import outcome
from analysis.formats import Table, fixed, interval
from analysis.ranking import FEW, TOP_SHARE, Estimate, Ranking, agreement, rank_correlation
from analysis.results import Record, Results, Run


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
