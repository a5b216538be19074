import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from analysis import ranking
from analysis.ranking import kendall_tau, rank_correlation, spearman_rho
from analysis.statistics import Interval

few_values = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=3, max_size=12)


def test_tau_and_rho_by_hand():
    # One of six pairs is discordant: (5 - 1) / 6. Rank differences 0, 1, 1, 0: rho = 1 - 6 * 2 / (4 * 15).
    ranking = rank_correlation([(1, 1), (2, 3), (3, 2), (4, 4)])
    assert ranking.tau == pytest.approx(4 / 6)
    assert ranking.spearman == pytest.approx(0.8)


def test_tau_b_with_ties_by_hand():
    # Of six pairs one is tied in x, another in y, the other four are concordant: 4 / sqrt(5 * 5).
    assert rank_correlation([(1, 1), (1, 2), (2, 2), (3, 3)]).tau == pytest.approx(0.8)


def test_direction():
    better_is_better = rank_correlation([(float(i), 2.0 * i) for i in range(6)])
    assert (better_is_better.tau, better_is_better.interval) == (1.0, Interval(1.0, 1.0))
    assert rank_correlation([(float(i), -2.0 * i) for i in range(6)]).tau == -1.0


@given(few_values)
def test_agrees_with_scipy(pairs):
    x, y = np.array(pairs, dtype=float).T
    if len(set(x)) < 2 or len(set(y)) < 2:
        assert kendall_tau(x, y) is None
        assert spearman_rho(x, y) is None
    else:
        assert kendall_tau(x, y) == pytest.approx(stats.kendalltau(x, y).statistic)
        assert spearman_rho(x, y) == pytest.approx(stats.spearmanr(x, y).statistic)


@pytest.mark.parametrize("pairs", [[], [(1.0, 2.0)], [(1.0, 2.0)] * 6, [(None, 1.0), (math.nan, 2.0)]])
def test_undefined_is_none(pairs):
    ranking = rank_correlation(pairs)
    assert (ranking.tau, ranking.interval, ranking.spearman) == (None, None, None)


def test_incomplete_pairs_do_not_count():
    assert rank_correlation([(1, 1), (2, None), (None, 3), (math.nan, 2), (3, 3)]).n == 2


def test_degenerate_resamples_are_left_out():
    # A resample is degenerate if it has no (1, 1), with probability (4/5)^5 = 0.328, or nothing else: 0.0003.
    ranking = rank_correlation([(0, 0)] * 4 + [(1, 1)])
    assert ranking.interval == Interval(1.0, 1.0)
    assert ranking.degenerate == pytest.approx(0.328, abs=0.02)


def test_interval_is_that_of_resampled_pairs():
    rng = np.random.default_rng(3)
    x = rng.normal(size=12)
    y = x + rng.normal(size=12)
    taus = []
    for _ in range(1500):
        pick = rng.integers(0, 12, 12)
        taus.append(stats.kendalltau(x[pick], y[pick]).statistic)
    ranking = rank_correlation(zip(x, y, strict=True))
    assert ranking.interval is not None
    assert ranking.interval.low == pytest.approx(np.quantile(taus, 0.025), abs=0.08)
    assert ranking.interval.high == pytest.approx(np.quantile(taus, 0.975), abs=0.05)
    assert ranking == rank_correlation(zip(x, y, strict=True))


def test_no_interval_below_five_pairs_and_a_warning():
    ranking = rank_correlation([(10, 10), (20, 20), (30, 30), (40, 40)])
    assert ranking.interval is None
    assert ranking.cautions == ("Too few to conclude: 4 pairs.",)


def test_warns_of_a_narrow_range():
    ranking = rank_correlation([(50 + 10 * i, 97 + 0.1 * i) for i in range(6)])
    assert ranking.cautions == ("The outcomes span only 0.50 points, so that chance ranks most pairs.",)


def test_warns_where_the_interval_includes_zero():
    ranking = rank_correlation([(10, 20), (20, 10), (30, 40), (40, 5), (50, 30), (60, 25)])
    assert any("includes 0" in caution for caution in ranking.cautions)


def test_many_pairs_cost_fewer_resamples_and_give_the_same_tau(monkeypatch):
    assert [ranking.resamples(n) for n in (5, 2_000, 5_000, 20_000)] == [5_000, 5_000, 800, 200]
    generator = np.random.default_rng(0)
    x = generator.integers(0, 40, 300).astype(float)
    y = x + generator.normal(0, 20, 300)
    pairs = list(zip(x, y, strict=True))
    whole = ranking.rank_correlation(pairs)
    monkeypatch.setattr(ranking, "_BLOCK", 7)
    monkeypatch.setattr(ranking, "PAIRS_VISITED", 90_000 * 400)
    ranking._ranked.cache_clear()
    blocked = ranking.rank_correlation(pairs)
    ranking._ranked.cache_clear()
    assert whole.tau == pytest.approx(stats.kendalltau(x, y).statistic)
    assert blocked.tau == pytest.approx(whole.tau)
    assert blocked.interval.low == pytest.approx(whole.interval.low, abs=0.02)
