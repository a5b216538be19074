"""Statistics over seeds: mean, sample standard deviation, bootstrap intervals, paired comparisons.

Missing values (None, NaN, infinite) are left out and never counted. Intervals are percentile bootstrap intervals of
the mean. Up to six values every possible resample is enumerated, so that the interval is exact; beyond, 10,000
resamples are drawn by a seeded generator, so that the same values always give the same interval. With few seeds a
percentile interval is narrow (with two or three it is the range of the values): it says what was seen, not what a
hundred seeds would show.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from analysis import power

LEVEL = 0.95
RESAMPLES = 10_000
ENUMERATED = 6
"""Up to this many values all n**n resamples are enumerated."""
SMALLEST_TESTED = 6
"""Fewest pairs for which an exact two-sided sign-flip test can give p < 0.05 (2 / 2**6 = 0.031; five give 0.0625)."""


@dataclass(frozen=True)
class Interval:
    """Two ends of a 95% interval, in the unit of the values."""

    low: float
    high: float


@dataclass(frozen=True)
class Summary:
    """What n values say: mean (None for n = 0), sample standard deviation and interval (None for n < 2)."""

    n: int
    mean: float | None
    std: float | None
    interval: Interval | None


@dataclass(frozen=True)
class Difference:
    """Mean of paired differences with its interval; `p_value` is None where n is too small for a test to mean much."""

    n: int
    mean: float | None
    std: float | None
    interval: Interval | None
    p_value: float | None
    effect: float | None
    """Standardised mean difference (Cohen's d_z with Hedges' correction), and its interval for normal differences."""
    effect_interval: Interval | None


def finite(values: Iterable[float | None]) -> list[float]:
    """The values that are numbers, in order."""
    return [float(value) for value in values if value is not None and math.isfinite(value)]


def summarize(values: Iterable[float | None]) -> Summary:
    """Mean, sample standard deviation (n - 1) and bootstrap interval of the values that are numbers."""
    kept = finite(values)
    mean = math.fsum(kept) / len(kept) if kept else None
    return Summary(len(kept), mean, sample_std(kept), bootstrap_mean(kept))


def sample_std(values: Sequence[float]) -> float | None:
    """Standard deviation with n - 1 in the denominator; None for fewer than two values."""
    if len(values) < 2:
        return None
    mean = math.fsum(values) / len(values)
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1))


def bootstrap_mean(values: Sequence[float]) -> Interval | None:
    """Percentile bootstrap interval of the mean; None for fewer than two values."""
    n = len(values)
    if n < 2:
        return None
    if n <= ENUMERATED:
        picks = np.indices((n,) * n).reshape(n, -1).T
    else:
        picks = np.random.default_rng(0).integers(0, n, size=(RESAMPLES, n))
    return percentile_interval(np.asarray(values, dtype=float)[picks].mean(axis=1))


def percentile_interval(resampled: np.ndarray) -> Interval:
    """The central 95% of resampled statistics (R,), each end a value that occurred."""
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(resampled, [tail, 1 - tail], method="inverted_cdf")
    return Interval(float(low), float(high))


def paired_difference(first: Mapping[int, float | None], second: Mapping[int, float | None]) -> Difference:
    """`second` minus `first` over the seeds that both have; keys are seeds, values the measurements."""
    pairs = [(first[seed], second[seed]) for seed in sorted(first.keys() & second.keys())]
    differences = [b - a for a, b in pairs if a is not None and b is not None and math.isfinite(a) and math.isfinite(b)]
    summary = summarize(differences)
    effect, ends = None, None
    if summary.mean is not None and summary.std is not None:
        effect = power.effect_size(summary.mean, summary.std, summary.n)
        ends = power.effect_interval(summary.mean, summary.std, summary.n)
    return Difference(
        n=summary.n,
        mean=summary.mean,
        std=summary.std,
        interval=summary.interval,
        p_value=sign_flip_p(differences),
        effect=effect,
        effect_interval=None if ends is None else Interval(*ends),
    )


def independent_difference(first: Summary, second: Summary) -> Summary:
    """`second` minus `first` where nothing pairs their values; n is that of the smaller, the deviation None.

    The interval is made from those of the two, which need not be symmetric (Zou and Donner, 2008).
    """
    n = min(first.n, second.n)
    if first.mean is None or second.mean is None:
        return Summary(n, None, None, None)
    mean, ends = second.mean - first.mean, None
    if first.interval is not None and second.interval is not None:
        below = math.hypot(second.mean - second.interval.low, first.interval.high - first.mean)
        above = math.hypot(second.interval.high - second.mean, first.mean - first.interval.low)
        ends = Interval(mean - below, mean + above)
    return Summary(n, mean, None, ends)


def sign_flip_p(differences: Sequence[float]) -> float | None:
    """Two-sided sign-flip (paired permutation) p-value of a zero mean; None where no p below 0.05 is possible.

    Exact up to 16 pairs; beyond, 99,999 seeded flips and the observed one.
    """
    n = len(differences)
    if n < SMALLEST_TESTED:
        return None
    values = np.asarray(differences, dtype=float)
    observed = abs(float(values.sum()))
    # Sums that are equal on paper differ by rounding, and must count as equal.
    reached = observed - 1e-9 * float(np.abs(values).sum())
    if n <= 16:
        signs = 1 - 2 * ((np.arange(2**n)[:, None] >> np.arange(n)) & 1)
        return float(np.mean(np.abs(signs @ values) >= reached))
    signs = np.random.default_rng(0).choice([-1.0, 1.0], size=(99_999, n))
    return float((1 + np.sum(np.abs(signs @ values) >= reached)) / 100_000)


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Holm's step-down adjustment for several tests; None stays None and does not count as a test."""
    tested = sorted((p, index) for index, p in enumerate(p_values) if p is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for rank, (p, index) in enumerate(tested):
        largest = max(largest, min(1.0, p * (len(tested) - rank)))
        adjusted[index] = largest
    return adjusted
