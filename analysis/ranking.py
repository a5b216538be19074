"""Whether one accuracy ranks cells as another does: Kendall's tau-b with a bootstrap interval, and Spearman's rho.

Direction: positive means that what looked better in the search was better after retraining.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from analysis.statistics import Interval, percentile_interval

RESAMPLES = 5_000
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
    kept = [
        (float(a), float(b))
        for a, b in pairs
        if a is not None and b is not None and math.isfinite(a) and math.isfinite(b)
    ]
    x = np.array([a for a, _ in kept])
    y = np.array([b for _, b in kept])
    tau = kendall_tau(x, y)
    interval, degenerate = (None, 0.0) if tau is None or len(kept) < FEW else _bootstrap(x, y)
    return Ranking(len(kept), tau, interval, spearman_rho(x, y), degenerate, _cautions(x, y, interval))


def kendall_tau(x: np.ndarray, y: np.ndarray) -> float | None:
    """Tau-b of two arrays (n,): (concordant - discordant) / sqrt(pairs untied in x * pairs untied in y)."""
    signs_x, signs_y = _signs(x), _signs(y)
    untied = float((signs_x**2).sum()) * float((signs_y**2).sum())
    return float((signs_x * signs_y).sum()) / math.sqrt(untied) if untied > 0 else None


def spearman_rho(x: np.ndarray, y: np.ndarray) -> float | None:
    """Pearson's correlation of average ranks; None where either side is constant."""
    if len(x) < 2:
        return None
    ranks_x, ranks_y = rankdata(x) - (len(x) + 1) / 2, rankdata(y) - (len(y) + 1) / 2
    spread = float((ranks_x**2).sum()) * float((ranks_y**2).sum())
    return float((ranks_x * ranks_y).sum()) / math.sqrt(spread) if spread > 0 else None


def _signs(values: np.ndarray) -> np.ndarray:
    return np.sign(values[:, None] - values[None, :])


def _bootstrap(x: np.ndarray, y: np.ndarray) -> tuple[Interval | None, float]:
    """Tau-b of each resample is a quadratic form in how often each pair was drawn, so no resample is ranked anew."""
    n = len(x)
    counts = np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), size=RESAMPLES).astype(float)
    signs_x, signs_y = _signs(x), _signs(y)

    def form(matrix: np.ndarray) -> np.ndarray:
        return ((counts @ matrix) * counts).sum(axis=1)

    untied = form(signs_x**2) * form(signs_y**2)
    defined = untied > 0
    degenerate = float(1 - defined.mean())
    if degenerate > 0.5:
        return None, degenerate
    return percentile_interval(form(signs_x * signs_y)[defined] / np.sqrt(untied[defined])), degenerate


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
