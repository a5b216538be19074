import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.statistics import (
    Interval,
    bootstrap_mean,
    finite,
    holm,
    paired_difference,
    sample_std,
    sign_flip_p,
    summarize,
)

numbers = st.floats(-100, 100).map(lambda value: round(value, 3))


def test_mean_and_sample_deviation_by_hand():
    # Deviations from 2.5 are -1.5, -0.5, 0.5, 1.5; their squares sum to 5; divided by n - 1 = 3.
    summary = summarize([1, 2, 3, 4])
    assert (summary.n, summary.mean) == (4, 2.5)
    assert summary.std == pytest.approx(math.sqrt(5 / 3))


@pytest.mark.parametrize("values", [[], [None], [math.nan, None, math.inf]])
def test_nothing_measured(values):
    summary = summarize(values)
    assert (summary.n, summary.mean, summary.std, summary.interval) == (0, None, None, None)


def test_one_value_has_a_mean_and_no_spread():
    summary = summarize([math.nan, 93.4])
    assert (summary.n, summary.mean, summary.std, summary.interval) == (1, 93.4, None, None)


def test_missing_values_are_left_out():
    assert finite([1, None, math.nan, -math.inf, 2.5]) == [1.0, 2.5]


def test_equal_values_have_no_spread():
    summary = summarize([0.1] * 5)
    assert summary.std == pytest.approx(0, abs=1e-15)
    assert summary.interval is not None
    assert summary.interval.low == pytest.approx(0.1)
    assert summary.interval.high == pytest.approx(0.1)


def test_bootstrap_of_two_values_is_their_range():
    # The four resamples have the means 1, 2, 2, 3, each end with probability 1/4 > 2.5%.
    assert bootstrap_mean([1.0, 3.0]) == Interval(1.0, 3.0)


def test_bootstrap_of_four_values_is_exact():
    # The number of ones in a resample of (0, 0, 0, 1) is binomial(4, 1/4): P(0) = 0.316, P(<= 2) = 0.949,
    # P(<= 3) = 0.996; so the 2.5% quantile of the mean is 0 and the 97.5% quantile 3/4.
    assert bootstrap_mean([0.0, 0.0, 0.0, 1.0]) == Interval(0.0, 0.75)


def test_bootstrap_beyond_enumeration_is_repeatable_and_near_the_normal_interval():
    values = [float(value) for value in range(30)]
    interval = bootstrap_mean(values)
    assert interval == bootstrap_mean(values)
    assert interval is not None
    half = 1.96 * math.sqrt((30**2 - 1) / 12 / 30)
    assert interval.low == pytest.approx(14.5 - half, abs=0.4)
    assert interval.high == pytest.approx(14.5 + half, abs=0.4)


@given(st.lists(numbers, min_size=2, max_size=9))
def test_interval_lies_between_the_extremes(values):
    interval = bootstrap_mean(values)
    assert interval is not None
    assert min(values) - 1e-9 <= interval.low <= interval.high <= max(values) + 1e-9


def test_sample_std_needs_two_values():
    assert sample_std([]) is None
    assert sample_std([3.0]) is None


def test_paired_difference_uses_the_seeds_that_both_have():
    difference = paired_difference({0: 1.0, 1: 2.0, 2: None, 4: 9.0}, {0: 2.0, 1: 5.0, 2: 7.0, 3: 8.0})
    # Seeds 0 and 1: differences 1 and 3.
    assert (difference.n, difference.mean, difference.std) == (2, 2.0, pytest.approx(math.sqrt(2)))
    assert difference.interval == Interval(1.0, 3.0)
    assert difference.p_value is None


def test_sign_flip_by_hand():
    # All six agree: only the two extreme sign patterns of 64 reach the sum.
    assert sign_flip_p([1, 2, 3, 4, 5, 6]) == 2 / 64
    # Five against one, sum 4: the sums +-6 (2 patterns) and +-4 (12 patterns) reach it.
    assert sign_flip_p([1, 1, 1, 1, 1, -1]) == 14 / 64


def test_sign_flip_is_silent_where_it_cannot_reach_significance():
    assert sign_flip_p([1.0] * 5) is None


def test_sign_flip_of_no_difference_is_one():
    assert sign_flip_p([0.0] * 6) == 1.0


def test_sign_flip_counts_equal_sums_as_equal():
    # 0.1 + 0.2 - 0.3 is not 0 in floating point, and must not look like a result.
    assert sign_flip_p([0.1, 0.2, -0.3, 0.1, 0.2, -0.3]) == 1.0


def test_sign_flip_of_many_pairs_is_sampled_and_never_zero():
    p = sign_flip_p([1.0] * 40)
    assert p == 1 / 100_000


def test_holm_by_hand():
    # Sorted 0.01, 0.03, 0.04 times 3, 2, 1 gives 0.03, 0.06, 0.04; the last may not fall below the one before.
    assert holm([0.01, 0.04, None, 0.03]) == [pytest.approx(0.03), pytest.approx(0.06), None, pytest.approx(0.06)]
    assert holm([]) == []
    assert holm([0.9, 0.8]) == [1.0, 1.0]
