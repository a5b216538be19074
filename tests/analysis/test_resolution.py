"""What the seeds of a sweep can tell apart, by the deviations that the paper prints or by those of the ledger."""

import math

import pytest
from scipy import stats

from analysis.resolution import resolution

LAMBDAS = [f"js_lambda={ramp}" for ramp in ("0", "1", "2", "0->1", "1->2", "0->2")]
CIFAR = {"retrained_on": "cifar10", "searched_on": "cifar10", "measured": {}}


def scipys_power(shift, df):
    end = stats.t.ppf(0.975, df)
    return stats.nct.sf(end, df, shift) + stats.nct.cdf(-end, df, shift)


def test_three_seeds_at_the_deviations_of_table_7():
    found = resolution("table-7", LAMBDAS, 3, **CIFAR)
    assert found is not None
    # 0.02, 0.03, 0.07, 0.11, 0.12, 0.26: the median is 0.09.
    assert (found.deviation, found.rows, found.smallest_exact_p) == (pytest.approx(0.09), 6, 0.25)
    assert found.difference is not None
    assert scipys_power(found.difference / 0.09 * math.sqrt(3 / 2), 4) == pytest.approx(0.8, abs=1e-4)
    pairs = {frozenset((pair.first, pair.second)): pair for pair in found.pairs}
    assert len(pairs) == 15
    # The best row and the worst, of the largest deviation, differ by 0.36.
    worst = pairs[frozenset(("dynamic 0->1", "dynamic 0->2"))]
    assert worst.difference == pytest.approx(0.36)
    shift = 0.36 / math.sqrt((0.26**2 + 0.03**2) / 2)
    enough = [n for n in range(2, 50) if scipys_power(shift * math.sqrt(n / 2), 2 * n - 2) >= 0.8]
    assert worst.seeds_needed == enough[0] == 6
    # The best two are told apart by two seeds, and no fewer have a deviation.
    assert pairs[frozenset(("dynamic 1->2", "dynamic 0->2"))].seeds_needed == 2


def test_what_is_said_of_table_7():
    found = resolution("table-7", LAMBDAS, 3, **CIFAR)
    assert found is not None
    first, second, third = found.sentences()
    assert first.startswith("resolution: 3 seeds tell two settings apart that differ by 0.28 points or more")
    assert "Table 7" in first
    assert "(0.09)" in first
    assert "of the 15 pairs" in second
    assert "dynamic 0->1 and dynamic 0->2 (0.36 apart) would take 6 seeds" in second
    assert "no exact test" in third
    assert "0.25" in third
    assert found.listed()["pairs"][0]["seeds_needed"] == found.pairs[0].seeds_needed


def test_only_rows_of_the_sweeps_settings_and_of_its_quantity_count():
    methods = ["method=rsps", "method=stc", "method=random"]
    options = {"retrained_on": None, "searched_on": "cifar10", "measured": {}}
    found = resolution("table-6", methods, 3, **options)
    assert found is not None
    assert [(pair.first, pair.second) for pair in found.pairs] == [("RSPS", "STC")]
    assert found.metric == "CIFAR-10 test"
    # Table 7 prints accuracies after retraining, on CIFAR-10: no deviations of lookups, and none on digits.
    assert resolution("table-7", LAMBDAS, 3, **options).deviation is None
    assert resolution("table-7", LAMBDAS, 3, **CIFAR | {"retrained_on": "digits"}).deviation is None
    # Table 4 has a column for each data set.
    found = resolution("table-4", ["stc", "stc-no-depth"], 3, **CIFAR | {"retrained_on": "cifar100"})
    assert found.pairs[0].difference == pytest.approx(0.30)


@pytest.mark.parametrize("paper", [None, "fig-6", "table-2"])
def test_without_printed_deviations_those_of_paired_seeds_count(paper):
    measured = {
        "a": {0: 90.0, 1: 91.0, 2: 92.0},
        "b": {0: 91.0, 1: 91.0, 2: 91.0},  # differences 1, 0, -1: deviation 1
        "c": {0: 90.0, 1: 93.0, 2: 96.0},  # differences 0, 2, 4: deviation 2
        "d": {0: 90.0, 1: 93.0},  # too few
    }
    found = resolution(paper, list(measured), 3, retrained_on=None, searched_on="digits", measured=measured)
    assert found is not None
    assert (found.deviation, found.rows, found.pairs) == (1.5, 2, ())
    assert scipys_power(found.difference / 1.5 * math.sqrt(3), 2) == pytest.approx(0.8, abs=1e-4)
    assert "in this storage, the median of 2 settings against a" in found.sentences()[0]


def test_with_nothing_known_it_says_what_always_holds():
    few = resolution(None, ["a", "b"], 2, retrained_on=None, searched_on="digits", measured={})
    assert few is not None
    assert few.sentences() == [
        "note: with 2 seeds no exact test of paired seeds reaches 5%: its smallest p is 0.5; 6 seeds can"
    ]
    many = resolution(None, ["a", "b"], 6, retrained_on=None, searched_on="digits", measured={})
    assert many is not None
    assert many.sentences() == []
    assert resolution("table-7", LAMBDAS[:1], 3, **CIFAR) is None
