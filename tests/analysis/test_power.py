"""Power of t tests against SciPy's distributions and sample sizes that are in every textbook."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from analysis.power import (
    critical,
    effect_interval,
    effect_size,
    power,
    resolved,
    seeds_needed,
    smallest_p,
    t_below,
)
from analysis.statistics import sign_flip_p


@pytest.mark.parametrize("df", [1, 2, 5, 30, 2000])
def test_the_t_distribution_is_scipys(df):
    assert critical(df) == pytest.approx(stats.t.ppf(0.975, df), rel=2e-5)
    for t in (-1.5, 0.0, 1.0, 2.5, 12.7):
        assert t_below(t, df) == pytest.approx(stats.t.cdf(t, df), abs=1e-6)
        for shift in (-1.0, 0.5, 4.0):
            assert t_below(t, df, shift) == pytest.approx(stats.nct.cdf(t, df, shift), abs=1e-6)


@pytest.mark.parametrize(
    ("effect", "paired", "n"),
    [(0.2, True, 199), (0.5, True, 34), (0.2, False, 394), (0.5, False, 64), (0.8, False, 26)],
)
def test_sample_sizes_of_cohens_small_medium_and_large_effects(effect, paired, n):
    """Cohen, 1988: two-sided at 5%, power 80%."""
    assert seeds_needed(effect, 1.0, paired=paired) == n
    assert seeds_needed(-10 * effect, 10.0, paired=paired) == n


def test_no_number_of_seeds_resolves_no_difference():
    assert seeds_needed(0.0, 1.0, paired=True) is None
    assert seeds_needed(1e-3, 1.0, paired=True) is None
    assert resolved(1, paired=True) is resolved(1, paired=False) is None


@settings(max_examples=15)
@given(st.integers(2, 40), st.booleans(), st.floats(0.01, 100))
def test_what_n_seeds_resolve_needs_n_seeds(n, paired, deviation):
    unit = resolved(n, paired=paired)
    assert unit is not None
    assert seeds_needed(unit * deviation * 1.0001, deviation, paired=paired) == n
    more = resolved(n + 1, paired=paired)
    assert more is not None
    assert more < unit
    df, scale = (n - 1, math.sqrt(n)) if paired else (2 * n - 2, math.sqrt(n / 2))
    assert power(unit * scale, df) == pytest.approx(0.8, abs=1e-6)


def test_the_power_of_no_difference_is_the_level():
    assert power(0.0, 4) == pytest.approx(0.05)


def test_effect_size_by_hand():
    # d_z = 2; Gamma(1) / (sqrt(1) Gamma(1/2)) is 1 / sqrt(pi).
    assert effect_size(2.0, 1.0, 3) == pytest.approx(2 / math.sqrt(math.pi))
    # For df = 9 Hedges' approximation 1 - 3 / (4 df - 1) holds to three digits.
    assert effect_size(-0.5, 1.0, 10) == pytest.approx(-0.5 * (1 - 3 / 35), abs=5e-4)
    assert effect_size(2.0, 1.0, 2) is effect_interval(2.0, 1.0, 2) is None
    assert effect_size(2.0, 0.0, 5) is effect_interval(2.0, 1e-12, 5) is None


@pytest.mark.parametrize(("mean", "n"), [(0.5, 10), (0.0, 4), (-1.5, 6)])
def test_the_ends_of_an_effects_interval_are_where_its_t_is_in_the_tails(mean, n):
    ends = effect_interval(mean, 1.0, n)
    assert ends is not None
    tails = [stats.nct.cdf(mean * math.sqrt(n), n - 1, end * math.sqrt(n)) for end in ends]
    assert tails == pytest.approx([0.975, 0.025], abs=1e-5)


def test_an_enormous_effect_has_an_interval_around_it():
    ends = effect_interval(40.0, 1.0, 3)
    assert ends is not None
    assert ends == pytest.approx((6.34, 76.84), abs=0.01)


@pytest.mark.parametrize("n", [6, 9])
def test_the_smallest_p_is_that_of_pairs_which_all_agree(n):
    assert smallest_p(n) == sign_flip_p([0.3] * n)
    assert smallest_p(3) == 0.25
    assert smallest_p(1) == 1.0
