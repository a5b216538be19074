"""Whether one accuracy ranks cells as another does: Kendall's tau-b with a bootstrap interval, and Spearman's rho.

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
    for name, values in (("search", x), ("retrain", y)):
        if len(values) > 1 and (spread := float(np.ptp(values))) < NARROW:
            found.append(f"The {name} accuracies span only {spread:.2f} points, so that chance ranks most pairs.")
    if interval is not None and interval.low <= 0 <= interval.high:
        found.append("The interval includes 0: these runs show no ranking in either direction.")
    return tuple(found)
