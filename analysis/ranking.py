"""Whether one accuracy ranks cells as another does: Kendall's tau-b, Spearman's rho, the best, bootstrap intervals.

Direction: positive means that what looked better in the search was better after retraining.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.stats import rankdata

from analysis.statistics import Interval, percentile_interval

RESAMPLES = 5_000
FEWEST_RESAMPLES = 200
PAIRS_VISITED = 20_000_000_000
"""Resamples times pairs of pairs: beyond about 2,000 searches there are fewer resamples, not more minutes."""
_BLOCK = 1_000
"""Rows of the matrix of all pairs that are held at a time."""
FEW = 5
"""Below so many pairs a rank correlation decides nothing."""
NARROW = 1.0
"""Percentage points; accuracies closer together than this are mostly ranked by chance."""


@dataclass(frozen=True)
class Ranking:
    """Rank correlation of n pairs; tau and rho are None where fewer than two distinct values exist on either side.

    `degenerate` is the share of bootstrap resamples in which tau was undefined; they are left out of the interval.
    """

    n: int
    tau: float | None
    interval: Interval | None
    spearman: float | None
    degenerate: float
    cautions: tuple[str, ...]


def rank_correlation(pairs: Iterable[tuple[float | None, float | None]]) -> Ranking:
    """Kendall's tau-b, its percentile interval over resampled pairs, and Spearman's rho; incomplete pairs are left out.

    The interval is None where tau is undefined, for fewer than five pairs, or where most resamples are degenerate.
    """
    kept = tuple(
        (float(a), float(b))
        for a, b in pairs
        if a is not None and b is not None and math.isfinite(a) and math.isfinite(b)
    )
    return _ranked(kept)


@lru_cache(maxsize=4096)
def _ranked(kept: tuple[tuple[float, float], ...]) -> Ranking:
    """Several parts of a report ask for the same one."""
    x = np.array([a for a, _ in kept])
    y = np.array([b for _, b in kept])
    tau = kendall_tau(x, y)
    interval, degenerate = (None, 0.0) if tau is None or len(kept) < FEW else _bootstrap(x, y)
    return Ranking(len(kept), tau, interval, spearman_rho(x, y), degenerate, _cautions(x, y, interval))


def kendall_tau(x: np.ndarray, y: np.ndarray) -> float | None:
    """Tau-b of two arrays (n,): (concordant - discordant) / sqrt(pairs untied in x * pairs untied in y)."""
    one = np.ones((1, len(x)))
    (both,), (untied_x,), (untied_y,) = _forms(x, y, one)
    untied = float(untied_x) * float(untied_y)
    return float(both) / math.sqrt(untied) if untied > 0 else None


def spearman_rho(x: np.ndarray, y: np.ndarray) -> float | None:
    """Pearson's correlation of average ranks; None where either side is constant."""
    if len(x) < 2:
        return None
    ranks_x, ranks_y = rankdata(x) - (len(x) + 1) / 2, rankdata(y) - (len(y) + 1) / 2
    spread = float((ranks_x**2).sum()) * float((ranks_y**2).sum())
    return float((ranks_x * ranks_y).sum()) / math.sqrt(spread) if spread > 0 else None


def _forms(x: np.ndarray, y: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each row of counts (R, n) concordant minus discordant pairs, and pairs untied in x and in y, each (R,)."""
    both, untied_x, untied_y = np.zeros((3, len(counts)))
    for start in range(0, len(x), _BLOCK):
        rows = slice(start, start + _BLOCK)
        signs_x, signs_y = np.sign(x[rows, None] - x), np.sign(y[rows, None] - y)
        for total, matrix in ((both, signs_x * signs_y), (untied_x, signs_x**2), (untied_y, signs_y**2)):
            total += ((counts @ matrix.T) * counts[:, rows]).sum(axis=1)
    return both, untied_x, untied_y


def resamples(n: int) -> int:
    """How often n pairs are resampled."""
    return min(RESAMPLES, max(FEWEST_RESAMPLES, PAIRS_VISITED // n**2))


def _bootstrap(x: np.ndarray, y: np.ndarray) -> tuple[Interval | None, float]:
    """Tau-b of each resample is a quadratic form in how often each pair was drawn, so no resample is ranked anew."""
    n = len(x)
    counts = np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), size=resamples(n)).astype(float)
    both, untied_x, untied_y = _forms(x, y, counts)

    untied = untied_x * untied_y
    defined = untied > 0
    degenerate = float(1 - defined.mean())
    if degenerate > 0.5:
        return None, degenerate
    return percentile_interval(both[defined] / np.sqrt(untied[defined])), degenerate


def _cautions(x: np.ndarray, y: np.ndarray, interval: Interval | None) -> tuple[str, ...]:
    found: list[str] = []
    if len(x) < FEW:
        found.append(f"Too few to conclude: {len(x)} pair{'' if len(x) == 1 else 's'}.")
    for name, values in (("search accuracies", x), ("outcomes", y)):
        if len(values) > 1 and (spread := float(np.ptp(values))) < NARROW:
            found.append(f"The {name} span only {spread:.2f} points, so that chance ranks most pairs.")
    if interval is not None and interval.low <= 0 <= interval.high:
        found.append("The interval includes 0: these runs show no ranking in either direction.")
    return tuple(found)


TOP_SHARE = 0.1
"""The share of the cells that the overlap of the best compares."""
CELL_RESAMPLES = 1_000


@dataclass(frozen=True)
class Estimate:
    """A statistic of n cells and its 95% percentile interval over resampled cells; None where it is undefined."""

    value: float | None
    interval: Interval | None


@dataclass(frozen=True)
class Agreement:
    """How an accuracy that is cheap to measure ranks n cells whose true accuracy is known.

    `overlap` is the share of the best tenth by one among the best tenth by the other (by chance a tenth); `regret` the
    percentage points between the truly best of the n and the one that looked best. Ties count as their mean.
    """

    n: int
    tau: Estimate
    spearman: Estimate
    overlap: Estimate
    regret: Estimate


def agreement(pairs: Iterable[tuple[float, float]]) -> Agreement:
    """Of (measured, true) accuracies of cells; intervals from five cells on, by resampling cells."""
    return _agreement(tuple(pairs))


@lru_cache(maxsize=4096)
def _agreement(pairs: tuple[tuple[float, float], ...]) -> Agreement:
    """Tables and figures ask for the same ones."""
    n = len(pairs)
    x, y = np.array(pairs, dtype=float).reshape(n, 2).T
    found = {name: row[0] for name, row in _agreements(x, y, np.arange(n)[None]).items()} if n > 1 else {}
    resampled: dict[str, np.ndarray] = {}
    if n >= FEW:
        resampled = _agreements(x, y, np.random.default_rng(0).integers(0, n, size=(CELL_RESAMPLES, n)))

    def estimate(name: str) -> Estimate:
        value = float(found.get(name, math.nan))
        draws = resampled.get(name, np.array([]))
        draws = draws[~np.isnan(draws)]
        known = 2 * len(draws) > CELL_RESAMPLES
        return Estimate(None if math.isnan(value) else value, percentile_interval(draws) if known else None)

    return Agreement(n, *(estimate(name) for name in ("tau", "spearman", "overlap", "regret")))


def _agreements(x: np.ndarray, y: np.ndarray, picks: np.ndarray) -> dict[str, np.ndarray]:
    """Each statistic (R,) of the cells that each row of `picks` (R, n) drew; nan where one is undefined."""
    n = len(x)
    counts = np.stack([np.bincount(row, minlength=n) for row in picks]).astype(float)
    both, untied_x, untied_y = _forms(x, y, counts)
    drawn_x, drawn_y = x[picks], y[picks]
    ranks_x, ranks_y = (rankdata(drawn, axis=1) - (n + 1) / 2 for drawn in (drawn_x, drawn_y))
    spread = (ranks_x**2).sum(axis=1) * (ranks_y**2).sum(axis=1)
    k = max(1, round(TOP_SHARE * n))
    best = drawn_x == drawn_x.max(axis=1, keepdims=True)
    return {
        "tau": _ratio(both, np.sqrt(untied_x * untied_y)),
        "spearman": _ratio((ranks_x * ranks_y).sum(axis=1), np.sqrt(spread)),
        "overlap": (_among_best(drawn_x, k) * _among_best(drawn_y, k)).sum(axis=1) / k,
        "regret": drawn_y.max(axis=1) - (drawn_y * best).sum(axis=1) / best.sum(axis=1),
    }


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    return np.divide(above, below, out=np.full(len(above), math.nan), where=below > 0)


def _among_best(values: np.ndarray, k: int) -> np.ndarray:
    """1 for each of the k largest values of a row (R, n); those tied for the last places share them equally."""
    last = np.partition(values, -k, axis=1)[:, -k, None]
    above, tied = values > last, values == last
    return above + tied * ((k - above.sum(axis=1)) / tied.sum(axis=1))[:, None]
