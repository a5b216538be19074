"""Settings compared by paired seeds: the differences, and how many seeds would tell settings apart."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from scipy.special import chdtri

from analysis import power
from analysis.ablation import outcome
from analysis.formats import MISSING, Table, count, fixed, interval, mean_std
from analysis.inherited import last_rankings
from analysis.results import Results, Run
from analysis.statistics import SMALLEST_TESTED, Difference, Interval, Summary, holm, paired_difference

STATED = (0.1, 0.25, 0.5, 1.0, 2.0)
"""Differences in percentage points of which the report says how many seeds resolve them."""

_ROUNDING = 1e-9
"""Percentage points below which a deviation is that of rounding alone."""


@dataclass(frozen=True)
class Comparison:
    """One setting minus another, over the seeds that both have."""

    setting: str
    minus: str
    difference: Difference


def comparisons(results: Results) -> tuple[Comparison, ...]:
    """STC minus each other method where the settings are methods, else each setting minus the first one.

    Empty where there is nothing to compare, or where the first setting is but Optuna's first suggestion. Cells that the
    sweep names have no seed of a search, and no pair.
    """
    return _compared(results, outcome(results)[1])


def ranking_comparisons(results: Results) -> tuple[Comparison, ...]:
    """The same of Kendall's tau-b after the last epoch, between settings that ranked cells."""
    last = last_rankings(results)
    taus = {trial_id: found.agreement.tau.value for trial_id, found in last.items()}
    settings = {found.run.setting for found in last.values()}
    found = _compared(results, lambda run: taus.get(run.trial_id))
    return tuple(one for one in found if {one.setting, one.minus} <= settings)


def _compared(results: Results, judged: Callable[[Run], float | None]) -> tuple[Comparison, ...]:
    searched = list(dict.fromkeys(run.setting for run in results.runs if run.state != "given"))
    if results.study is not None:
        return ()
    by_seed = {setting: {run.seed: judged(run) for run in results.of(setting)} for setting in searched}
    ours = [setting for setting in searched if _is_stc(setting)]
    if len(ours) == 1 and len(searched) > 1:
        pairs = [(ours[0], other) for other in searched if other != ours[0]]
    else:
        pairs = [(other, searched[0]) for other in searched[1:]]
    return tuple(Comparison(a, b, paired_difference(by_seed[b], by_seed[a])) for a, b in pairs)


def _is_stc(setting: str) -> bool:
    """A setting that is named by its method, STC's own."""
    return setting.casefold() == "stc" or "method=stc" in setting.split(", ")


def paired(results: Results) -> Table | None:
    """The difference of each comparison: mean, bootstrap interval, effect size, exact test; None without any."""
    return _table("paired", f"Percentage points of {outcome(results)[0]}", comparisons(results))


def paired_rankings(results: Results) -> Table | None:
    """The same of how well the inherited weights of settings rank cells; None where none or one ranked any."""
    title = "Kendall's τ-b of inherited with true accuracy after the last epoch"
    return _table("inherited-paired", title, ranking_comparisons(results))


def _table(name: str, what: str, found: tuple[Comparison, ...]) -> Table | None:
    if not found:
        return None
    adjusted = holm([one.difference.p_value for one in found])
    measured = ("Pairs", "Mean difference", "95% interval", "Effect size", "95% interval (effect)", "p")
    columns = ("Setting", "Minus", *measured)
    rows = tuple(
        (
            one.setting,
            one.minus,
            str(one.difference.n),
            mean_std(Summary(one.difference.n, one.difference.mean, one.difference.std, None)),
            interval(one.difference.interval),
            fixed(one.difference.effect),
            interval(one.difference.effect_interval),
            MISSING if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}",
        )
        for one, p in zip(found, adjusted, strict=True)
    )
    records = tuple(
        {
            "setting": one.setting,
            "minus": one.minus,
            "pairs": one.difference.n,
            "difference_mean": one.difference.mean,
            "difference_std": one.difference.std,
            **_ends("difference", one.difference.interval),
            "effect_size": one.difference.effect,
            **_ends("effect_size", one.difference.effect_interval),
            "p_value": one.difference.p_value,
            "p_value_holm": p,
        }
        for one, p in zip(found, adjusted, strict=True)
    )
    return Table(
        name,
        f"{what}, one setting minus another, paired by seed (± sample standard deviation).",
        columns,
        rows,
        frozenset(measured),
        records,
        _notes(found),
    )


def _ends(name: str, ends: Interval | None) -> dict[str, float | None]:
    low, high = (None, None) if ends is None else (ends.low, ends.high)
    return {f"{name}_low": low, f"{name}_high": high}


def _notes(found: tuple[Comparison, ...]) -> tuple[str, ...]:
    notes = ["The interval of a difference is a percentile bootstrap interval of its mean over seeds."]
    if any(one.difference.effect is not None for one in found):
        notes.append(
            "Effect size: mean over standard deviation of the paired differences (Cohen's d_z) with Hedges' correction "
            "for small samples; its interval is that of the noncentral t distribution, for normal differences."
        )
    tested = [one.difference.p_value is not None for one in found]
    if any(tested):
        notes.append("p: exact two-sided sign-flip test over paired seeds, adjusted over the rows by Holm's method.")
    if not all(tested):
        notes.append(
            f"No p-value below {SMALLEST_TESTED} pairs: the smallest that an exact two-sided sign-flip test can give "
            "with n pairs is 2/2ⁿ, above 0.05 up to n = 5."
        )
    return tuple(notes)


def seeds_needed(results: Results) -> Table | None:
    """For each comparison, what its pairs resolve and how many would resolve a stated difference; None without any.

    Differences that do not vary at all say nothing of how much they would.
    """
    found = [one for one in comparisons(results) if (one.difference.std or 0.0) > _ROUNDING]
    if not found:
        return None
    columns = ("Setting", "Minus", "Pairs", "Deviation", "95% interval", "Resolved", *map(_stated, STATED))
    records = tuple(_needed(one) for one in found)
    rows = tuple(
        (
            record["setting"],
            record["minus"],
            str(record["pairs"]),
            fixed(record["deviation"]),
            interval(_deviation_interval(record["pairs"], record["deviation"])),
            fixed(record["resolved"]),
            *(_seeds(record[f"seeds_for_{stated:g}"]) for stated in STATED),
        )
        for record in records
    )
    return Table(
        "seeds-needed",
        "How many paired seeds tell settings apart, at the deviations of paired differences that were measured here.",
        columns,
        rows,
        frozenset(columns[2:]),
        records,
        (
            "Deviation: of the paired differences, with its 95% interval for normal ones. Resolved: the smallest "
            "difference, in percentage points, that a paired t test, two-sided at 5%, finds with a probability of 80% "
            "from so many pairs. The columns behind it: pairs that a difference of so many points takes.",
        ),
    )


def _stated(difference: float) -> str:
    return f"Seeds for {difference:g}"


def _needed(one: Comparison) -> dict[str, Any]:
    n, deviation = one.difference.n, one.difference.std or 0.0
    ends = _deviation_interval(n, deviation)
    unit = power.resolved(n, paired=True)
    return {
        "setting": one.setting,
        "minus": one.minus,
        "pairs": n,
        "deviation": deviation,
        **_ends("deviation", ends),
        "resolved": None if unit is None else unit * deviation,
        **{f"seeds_for_{stated:g}": power.seeds_needed(stated, deviation, paired=True) for stated in STATED},
    }


def _deviation_interval(n: int, deviation: float) -> Interval:
    """95% interval of the deviation of a normal population, by the chi-squared distribution of n - 1 degrees."""
    low, high = (deviation * ((n - 1) / float(chdtri(n - 1, tail))) ** 0.5 for tail in (0.025, 0.975))
    return Interval(low, high)


def _seeds(n: int | None) -> str:
    return f"> {count(power.MOST_SEEDS)}" if n is None else count(n)
