"""Settings compared by paired seeds, against numbers from SciPy and by hand."""

import numpy as np
import pytest
from ledger_fixture import make_ledger
from scipy import stats

from analysis.paired import paired, seeds_needed
from analysis.results import collect


def _results(accuracies, **options):
    """Settings without retraining, judged by the benchmark accuracies of their seeds, in order."""
    options = {"space": "nasbench201", "paper": None, "retrain": False, "epochs": 1} | options
    ledger = make_ledger(looked_up=tuple(accuracies), **options)
    return collect(ledger.sweep, ledger.planned, *ledger.frames)


A = [93.1, 92.5, 94.0, 93.3, 92.0, 93.8]
B = [91.0, 92.7, 90.5, 92.2, 91.9, 90.1]
C = [93.0, 92.9, 93.6, 93.4, 92.2, 93.5]


def test_each_setting_minus_the_first_with_effect_size_and_exact_test():
    results = _results([*A, *B, *C], settings=("a", "b", "c"), seeds=tuple(range(6)))
    table = paired(results)
    assert table is not None
    assert [row[:3] for row in table.rows] == [("b", "a", "6"), ("c", "a", "6")]
    tests = []
    for record, other in zip(table.records, (B, C), strict=True):
        differences = np.subtract(other, A)
        assert record["difference_mean"] == pytest.approx(differences.mean())
        assert record["difference_std"] == pytest.approx(differences.std(ddof=1))
        assert record["difference_low"] <= record["difference_mean"] <= record["difference_high"]
        d = differences.mean() / differences.std(ddof=1)
        correction = 1 - 3 / (4 * 5 - 1)  # Hedges' approximation for df = 5
        assert record["effect_size"] == pytest.approx(d * correction, rel=5e-3)
        assert record["effect_size_low"] < record["effect_size"] < record["effect_size_high"]
        exact = stats.permutation_test((differences,), np.mean, permutation_type="samples", n_resamples=np.inf)
        assert record["p_value"] == pytest.approx(exact.pvalue)
        tests.append(exact.pvalue)
    smaller, larger = sorted(tests)
    assert sorted(record["p_value_holm"] for record in table.records) == pytest.approx([2 * smaller, larger])
    assert any("Holm" in note for note in table.notes)


def test_stc_is_compared_with_each_other_method():
    methods = ("method=random", "method=stc", "method=darts")
    table = paired(_results([*B, *A, *C], settings=methods, seeds=tuple(range(6))))
    assert table is not None
    assert [row[:2] for row in table.rows] == [("method=stc", "method=random"), ("method=stc", "method=darts")]
    assert table.records[0]["difference_mean"] == pytest.approx(np.mean(A) - np.mean(B))
    # With an axis beside the method no setting is STC's own.
    table = paired(_results([*B, *A], settings=("method=stc, noise=0", "method=stc, noise=1"), seeds=tuple(range(6))))
    assert table is not None
    assert table.rows[0][:2] == ("method=stc, noise=1", "method=stc, noise=0")


def test_no_p_value_where_no_test_can_reach_significance():
    table = paired(_results([*A[:5], *B[:5]], settings=("a", "b"), seeds=tuple(range(5))))
    assert table is not None
    assert table.rows[0][-1] == "–"
    assert table.records[0]["p_value"] is None
    assert any("2/2ⁿ" in note for note in table.notes)


def test_one_setting_has_nothing_to_be_compared_with():
    results = _results(A, settings=("a",), seeds=tuple(range(6)))
    assert paired(results) is seeds_needed(results) is None


def test_seeds_needed_from_the_deviation_of_the_differences():
    # Differences -2, 0, 2: deviation 2. Three pairs resolve 3.264 deviations; half a deviation takes 34 pairs
    # (Cohen, 1988), one takes 10.
    results = _results([90.0, 90.0, 90.0, 88.0, 90.0, 92.0], settings=("a", "b"), seeds=(0, 1, 2))
    table = seeds_needed(results)
    assert table is not None
    (record,) = table.records
    assert (record["setting"], record["minus"], record["pairs"]) == ("b", "a", 3)
    assert record["deviation"] == pytest.approx(2.0)
    assert record["resolved"] == pytest.approx(2 * 3.264, abs=2e-3)
    assert (record["seeds_for_1"], record["seeds_for_2"]) == (34, 10)
    # chi2 of two degrees is an exponential of mean 2: its quantiles are -2 log(1 - q).
    low, high = (2 * np.sqrt(2 / (-2 * np.log(tail))) for tail in (0.025, 0.975))
    assert (record["deviation_low"], record["deviation_high"]) == pytest.approx((low, high))
    assert table.rows[0][5] == "6.53"


def test_differences_that_do_not_vary_do_not_say_how_many_seeds_are_needed():
    results = _results([90.1, 90.2, 90.3, 91.1, 91.2, 91.3], settings=("a", "b"), seeds=(0, 1, 2))
    assert seeds_needed(results) is None
    table = paired(results)
    assert table is not None
    assert table.rows[0][5:7] == ("–", "–")
