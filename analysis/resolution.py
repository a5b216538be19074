"""What the seeds of a sweep can tell apart: what `stcnas plan` says before anything runs, so without any library.

The deviations are those that the paper prints beside its rows; for sweeps of other quantities, those of paired
differences between the settings that the ledger has results of.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from statistics import median, stdev
from typing import Any

from analysis.power import MOST_SEEDS, resolved, seeds_needed, smallest_p
from analysis.printed import METRICS, PublishedTable, Value
from analysis.published import published

FEWEST_PAIRS = 3
"""Pairs of seeds from which a deviation of their differences is taken."""
SHOWN = 3
"""Pairs of rows that are named."""
FEWEST_EXACT = 6
"""Pairs from which an exact two-sided sign-flip test can give p < 0.05."""


@dataclass(frozen=True)
class Pair:
    """Two rows that the paper prints, and how many seeds tell them apart at their own deviations."""

    first: str
    second: str
    difference: float
    seeds_needed: int | None
    """None: more than MOST_SEEDS."""


@dataclass(frozen=True)
class Resolution:
    """What `seeds` seeds of each setting can tell apart, in percentage points."""

    seeds: int
    smallest_exact_p: float
    """Of an exact two-sided test of paired seeds."""
    source: str | None = None
    """Whose deviation it is; None where none is known."""
    metric: str | None = None
    deviation: float | None = None
    """The median over `rows`: of a row's values, or of the differences between paired seeds of two settings."""
    rows: int = 0
    difference: float | None = None
    """Two settings that differ by so much are told apart by a t test, two-sided at 5%, with a probability of 80%."""
    pairs: tuple[Pair, ...] = ()

    def listed(self) -> dict[str, Any]:
        """What `plan --json` prints."""
        return {**asdict(self), "pairs": [asdict(pair) for pair in self.pairs]}

    def sentences(self) -> list[str]:
        """What `plan` prints."""
        lines = []
        if self.deviation is not None and self.difference is not None:
            lines.append(
                f"resolution: {self.seeds} seeds tell two settings apart that differ by {self.difference:.2f} points "
                f"or more ({self.metric}; two-sided t test at 5%, power 80%), at {self.source} ({self.deviation:.2f})"
            )
        close = [pair for pair in self.pairs if pair.seeds_needed is None or pair.seeds_needed > self.seeds]
        if close:
            named = [
                f"{pair.first} and {pair.second} ({pair.difference:.2f} apart) would take {_count(pair.seeds_needed)}"
                for pair in sorted(close, key=lambda pair: -pair.difference)[:SHOWN]
            ]
            more = f"; and {len(close) - SHOWN} more" if len(close) > SHOWN else ""
            lines.append(
                f"  at their own deviations {len(close)} of the {len(self.pairs)} pairs of the paper's rows are too "
                f"close for that: {', '.join(named)}{more}"
            )
        if self.seeds < FEWEST_EXACT:
            lines.append(
                f"note: with {_count(self.seeds)} no exact test of paired seeds reaches 5%: its smallest p is "
                f"{self.smallest_exact_p:g}; {FEWEST_EXACT} seeds can"
            )
        return lines


def resolution(
    paper: str | None,
    settings: Sequence[str],
    seeds: int,
    *,
    retrained_on: str | None,
    searched_on: str,
    measured: Mapping[str, Mapping[int, float]],
) -> Resolution | None:
    """What `seeds` searches of each of the settings resolve; None for fewer than two settings.

    `retrained_on` is the data set of the retrainings, None where cells are looked up or judged by the search alone;
    `searched_on` that of the searches. `measured` are accuracies by setting and seed, for sweeps of which the paper
    prints no deviation.
    """
    if len(settings) < 2:
        return None
    found = Resolution(seeds, smallest_p(seeds))
    table = published(paper)
    metric, values = (None, {}) if table is None else _printed(table, settings, retrained_on, searched_on)
    if table is not None and len(values) > 1:
        deviation = median(value.std or 0.0 for value in values.values())
        return Resolution(
            seeds=seeds,
            smallest_exact_p=found.smallest_exact_p,
            source=f"the deviation that {table.title} of the paper prints, the median of {len(values)} rows",
            metric=None if metric is None else METRICS[metric].removesuffix(", %"),
            deviation=deviation,
            rows=len(values),
            difference=_times(resolved(seeds, paired=False), deviation),
            pairs=tuple(_pair(*pair) for pair in combinations(values.items(), 2)),
        )
    deviations = _paired_deviations(measured)
    if not deviations:
        return found
    deviation = median(deviations)
    return Resolution(
        seeds=seeds,
        smallest_exact_p=found.smallest_exact_p,
        source="the deviation of differences between paired seeds in this storage, the median of "
        f"{len(deviations)} settings against {next(iter(measured))}",
        metric="as the report judges settings",
        deviation=deviation,
        rows=len(deviations),
        difference=_times(resolved(seeds, paired=True), deviation),
    )


def _printed(
    table: PublishedTable, settings: Sequence[str], retrained_on: str | None, searched_on: str
) -> tuple[str | None, dict[str, Value]]:
    """The metric that these settings will be judged by, and its printed values that have a deviation, by row."""
    if retrained_on is None:
        wanted = [f"lookup_{searched_on}_test"]
    elif retrained_on == table.retrain.get("dataset"):
        wanted = ["test_accuracy", "test_error"]
    else:
        wanted = [f"{retrained_on}_error"]
    rows = [row for setting in settings if (row := table.row(setting)) is not None]
    for metric in wanted:
        values = {row.name: value for row in rows if (value := row.values.get(metric)) is not None and value.std}
        if values:
            return metric, values
    return None, {}


def _pair(first: tuple[str, Value], second: tuple[str, Value]) -> Pair:
    difference = abs(first[1].mean - second[1].mean)
    # What a test that pools two equally large groups takes for the deviation of both.
    deviation = (((first[1].std or 0.0) ** 2 + (second[1].std or 0.0) ** 2) / 2) ** 0.5
    return Pair(first[0], second[0], round(difference, 6), seeds_needed(difference, deviation, paired=False))


def _paired_deviations(measured: Mapping[str, Mapping[int, float]]) -> list[float]:
    """Of the differences from the first setting, for each other one with enough pairs."""
    first, *others = list(measured.values()) or [{}]
    differences = [[other[seed] - first[seed] for seed in first.keys() & other.keys()] for other in others]
    return [stdev(values) for values in differences if len(values) >= FEWEST_PAIRS]


def _times(unit: float | None, deviation: float) -> float | None:
    return None if unit is None else unit * deviation


def _count(seeds: int | None) -> str:
    return f"more than {MOST_SEEDS:,} seeds" if seeds is None else f"{seeds:,} seed{'' if seeds == 1 else 's'}"
