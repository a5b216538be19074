"""How many seeds tell two settings apart: power of t tests, exact for normal values, without a numerical library.

A test is two-sided at 5%, and a difference counts as resolved where the test finds it with a probability of 80%. The
noncentral t distribution is integrated over the distribution of the sample deviation, so that `stcnas plan` can ask
without waiting for an import. Sizes of effects are standardised means of paired differences (Cohen's d_z).
"""

import math
from collections.abc import Callable
from functools import cache

LEVEL = 0.05
"""Two-sided."""
POWER = 0.8
MOST_SEEDS = 10_000
"""More are not looked for."""

_SIMPSON = 512
_ROOT_HALF = math.sqrt(0.5)
_NORMAL = 2.801585
"""Standard errors between no difference and one that is resolved, for many seeds: 1.959964 + 0.841621."""


def t_below(t: float, df: int, shift: float = 0.0) -> float:
    """P(T <= t) for a noncentral t variable of `df` degrees of freedom and noncentrality `shift`."""
    # T = (Z + shift) / U with Z normal and U = sqrt(chi2 / df): P(Z <= t * u - shift) over U's distribution.
    return sum(weight * math.erfc((shift - t * u) * _ROOT_HALF) for u, weight in _deviations(df))


@cache
def _deviations(df: int) -> tuple[tuple[float, float], ...]:
    """Values of U = sqrt(chi2 / df) with half of their weights in Simpson's rule over its density."""
    width = 10 / math.sqrt(2 * df)
    low, high = max(0.0, 1 - width), 1 + width
    step = (high - low) / _SIMPSON
    constant = math.log(2) + df / 2 * math.log(df / 2) - math.lgamma(df / 2)

    def density(u: float) -> float:
        if u == 0:
            return math.exp(constant) if df == 1 else 0.0
        return math.exp(constant + (df - 1) * math.log(u) - df * u * u / 2)

    factors = [1, *([4, 2] * (_SIMPSON // 2 - 1)), 4, 1]
    values = [low + index * step for index in range(_SIMPSON + 1)]
    return tuple((u, factor * step / 6 * density(u)) for u, factor in zip(values, factors, strict=True))


@cache
def critical(df: int) -> float:
    """The value that |t| has to exceed for p < 5%, two-sided."""
    return _root(lambda t: t_below(t, df) - (1 - LEVEL / 2), 0.0, 20.0)


def power(shift: float, df: int) -> float:
    """Probability that a two-sided t test at 5% finds a difference of `shift` standard errors."""
    return 1 - t_below(critical(df), df, shift) + t_below(-critical(df), df, shift)


@cache
def resolved(n: int, *, paired: bool) -> float | None:
    """The difference that n seeds resolve, in standard deviations; None for fewer than two seeds.

    In deviations of the paired differences where `paired`, else in those of the values of each of two groups of n.
    """
    if n < 2:
        return None
    df, scale = _design(n, paired)
    return _root(lambda shift: power(shift, df) - POWER, 0.0, 60.0) / scale


def seeds_needed(difference: float, deviation: float, *, paired: bool) -> int | None:
    """The fewest seeds that resolve a difference; None where that is more than MOST_SEEDS, or never.

    `deviation` as in `resolved`. Two values of no deviation are enough.
    """
    difference = abs(difference)
    if difference == 0:
        return None
    if deviation == 0:
        return 2
    # The normal approximation asks for too few, by three or so.
    n = max(2, math.floor((_NORMAL * deviation / difference) ** 2 * (1 if paired else 2)))
    while n <= MOST_SEEDS:
        df, scale = _design(n, paired)
        if power(difference / deviation * scale, df) >= POWER:
            return n
        n += 1
    return None


def effect_size(mean: float, deviation: float, n: int) -> float | None:
    """Standardised mean of n paired differences with Hedges' correction for small samples; None for fewer than three.

    Cohen's d_z, mean / deviation, times Gamma(df/2) / (sqrt(df/2) Gamma((df-1)/2)) with df = n - 1 (Hedges, 1981).
    None too where the differences do not vary, since it has no bound there.
    """
    if n < 3 or _constant(mean, deviation):
        return None
    half = (n - 1) / 2
    return mean / deviation * math.exp(math.lgamma(half) - math.lgamma(half - 0.5)) / math.sqrt(half)


def effect_interval(mean: float, deviation: float, n: int) -> tuple[float, float] | None:
    """95% interval of the standardised mean difference of the population, by the noncentral t distribution.

    Exact where differences are normal. None where `effect_size` is.
    """
    if n < 3 or _constant(mean, deviation):
        return None
    t, df = mean / deviation * math.sqrt(n), n - 1
    # What is sought lies where the sample deviation is a few of its own deviations off.
    span = abs(t) * (1 + 10 / math.sqrt(2 * df)) + 10.0

    def end(below: float) -> float:
        return _root(lambda shift: below - t_below(t, df, shift), -span, span) / math.sqrt(n)

    return end(1 - LEVEL / 2), end(LEVEL / 2)


def smallest_p(n: int) -> float:
    """The smallest p that an exact two-sided sign-flip test of n pairs can give."""
    return min(1.0, 2.0 ** (1 - n))


def _constant(mean: float, deviation: float) -> bool:
    """Whether values vary by rounding alone."""
    return deviation <= 1e-9 * max(1.0, abs(mean))


def _design(n: int, paired: bool) -> tuple[int, float]:
    """Degrees of freedom, and standard errors to a standard deviation."""
    return (n - 1, math.sqrt(n)) if paired else (2 * n - 2, math.sqrt(n / 2))


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    """Where a rising function crosses zero between two ends: by false position and bisection, in turn."""
    below, above = function(low), function(high)
    found = low
    for step in range(120):
        found = (low + high) / 2 if step % 3 == 2 else (low * above - high * below) / (above - below)
        value = function(found)
        if abs(value) < 1e-12 or high - low < 1e-10:
            return found
        if value < 0:
            # An end that stays twice counts half (the Illinois variant), so that the other one moves too.
            low, below, above = found, value, above / 2
        else:
            high, above, below = found, value, below / 2
    return found
