"""Rankings by inherited weights: statistics worked out otherwise, joined with the truth, in tables and a figure."""

import random

import numpy as np
import pandas as pd
import pytest
from benchmark_tables import every_cell
from hypothesis import given, settings
from hypothesis import strategies as st
from ledger_fixture import draw_genotype, make_ledger
from scipy.stats import kendalltau, spearmanr

from analysis.inherited import by_search, by_setting, ranked
from analysis.inherited_lines import draw_inherited
from analysis.paired import paired_rankings
from analysis.ranking import agreement
from analysis.report import write_report
from analysis.results import collect
from analysis.svg import Sheet
from stcnas_core.topology import NASBENCH201

ACCURACIES = st.integers(0, 12).map(float)


@settings(max_examples=60)
@given(st.lists(st.tuples(ACCURACIES, ACCURACIES), min_size=2, max_size=30))
def test_correlations_are_scipys(pairs):
    x, y = np.array(pairs).T
    found = agreement(pairs)
    assert found.n == len(pairs)
    if len(set(x)) == 1 or len(set(y)) == 1:
        assert found.tau.value is found.spearman.value is None
        return
    assert found.tau.value == pytest.approx(kendalltau(x, y).statistic)
    assert found.spearman.value == pytest.approx(spearmanr(x, y).statistic)


@settings(max_examples=60)
@given(st.permutations(range(20)), st.permutations(range(20)))
def test_the_best_tenth_and_the_regret_without_ties(x, y):
    found = agreement(zip(map(float, x), map(float, y), strict=True))
    best = [set(sorted(range(20), key=lambda i: -values[i])[:2]) for values in (x, y)]
    assert found.overlap.value == len(best[0] & best[1]) / 2
    assert found.regret.value == 19 - y[x.index(19)]


def test_ties_count_as_their_mean():
    # All twenty look alike: any two of them are the best, and any one the first.
    found = agreement([(50.0, float(i)) for i in range(20)])
    assert found.overlap.value == pytest.approx(0.1)
    assert found.regret.value == pytest.approx(19 - 9.5)
    # One is clearly the first, and two of which one is truly good share the second place.
    pairs = [(9.0, 90.0), (8.0, 89.0), (8.0, 10.0), *((1.0, float(i)) for i in range(17))]
    assert agreement(pairs).overlap.value == pytest.approx((1 + 0.5) / 2)


def test_intervals_are_of_resampled_cells():
    perfect = agreement([(float(i), float(i)) for i in range(50)])
    assert (perfect.tau.interval.low, perfect.tau.interval.high) == (1.0, 1.0)
    assert (perfect.regret.interval.low, perfect.regret.interval.high) == (0.0, 0.0)
    rng = random.Random(0)
    chance = agreement([(rng.random(), rng.random()) for _ in range(200)])
    assert chance.tau.interval.low < 0 < chance.tau.interval.high
    # The deviation of tau between independent samples of 200 is sqrt(2 (2n + 5) / (9 n (n - 1))) = 0.048.
    assert chance.tau.interval.high - chance.tau.interval.low == pytest.approx(4 * 0.048, rel=0.3)
    assert agreement([(1.0, 1.0), (2.0, 2.0), (3.0, 3.0), (4.0, 4.0)]).tau.interval is None
    assert agreement([]).tau.value is agreement([(1.0, 2.0)]).regret.value is None


# Joined


@pytest.fixture(scope="module")
def truth():
    table = every_cell().rename(columns={"arch_str": "genotype", "cifar10_test": "lookup_cifar10_test"})
    unique = table["lookup_cifar10_test"] + np.arange(len(table)) * 1e-4
    return table.assign(lookup_cifar10_test=unique, lookup_cifar100_test=float("nan")).drop(columns="cifar10_valid")


def _ledger(**options):
    options = {"space": "nasbench201", "retrain": False, "paper": None, "settings": ("good", "bad")} | options
    return make_ledger(**({"seeds": (0, 1, 2), "epochs": 4} | options))


def _ranks(ledger, truth, every=2):
    """The setting `good` ranks as the truth does, `bad` the other way round."""
    known = truth.set_index("genotype")["lookup_cifar10_test"]
    rng = random.Random(1)
    rows = []
    for row in ledger.trial_rows:
        cells = {draw_genotype(NASBENCH201, rng).canonical_text() for _ in range(30)}
        sign = 1 if row["setting"] == "good" else -1
        rows += [
            {"trial_id": row["trial_id"], "epoch": epoch, "genotype": cell, "accuracy": 50 + sign * known[cell] / 4}
            for epoch in range(every - 1, 4, every)
            for cell in sorted(cells)
        ]
    return pd.DataFrame(rows)


def _results(truth, **options):
    ledger = _ledger(**options)
    return ledger, collect(ledger.sweep, ledger.planned, *ledger.frames, _ranks(ledger, truth), truth)


def test_rankings_are_joined_with_the_truth_by_cell(truth):
    _, results = _results(truth)
    found = ranked(results)
    assert [(one.run.setting, one.run.seed, one.epoch) for one in found[:3]] == [
        ("good", 0, 1),
        ("good", 0, 3),
        ("good", 1, 1),
    ]
    assert {round(one.agreement.tau.value, 9) for one in found} == {1.0, -1.0}
    known = truth.set_index("genotype")["lookup_cifar10_test"]
    for one in found:
        assert one.derived_regret == known.max() - known[one.run.genotype.canonical_text()]


def test_a_setting_is_a_row_over_its_searches(truth):
    _, results = _results(truth)
    table = by_setting(results)
    assert [row[:4] for row in table.rows] == [
        ("good", "3", *_cells(results, "good"), "4"),
        ("bad", "3", *_cells(results, "bad"), "4"),
    ]
    good, bad = table.records
    assert (good["kendall_tau_b_mean"], good["kendall_tau_b_low"], bad["spearman_rho_mean"]) == pytest.approx(
        (1, 1, -1)
    )
    assert good["top_overlap_mean"] == pytest.approx(1)
    assert good["best_ranked_regret_mean"] == 0
    regrets = [one.derived_regret for one in ranked(results) if one.run.setting == "good" and one.epoch == 3]
    assert good["derived_regret_mean"] == pytest.approx(np.mean(regrets))
    assert (good["derived_regret_low"], good["derived_regret_high"]) == (min(regrets), max(regrets))
    assert "CIFAR-10 test in the benchmark" in table.caption


def _cells(results, setting):
    found = sorted({one.agreement.n for one in ranked(results) if one.run.setting == setting})
    return [str(found[0]) if len(found) == 1 else f"{found[0]} to {found[-1]}"]


def test_a_single_search_has_the_interval_of_its_cells(truth):
    _, results = _results(truth, seeds=(0,), settings=("good",))
    (record,) = by_setting(results).records
    (_, last) = ranked(results)
    assert record["n"] == 1
    assert record["best_ranked_regret_high"] == last.agreement.regret.interval.high
    assert record["derived_regret_low"] is None


def test_settings_are_compared_by_how_well_they_rank_with_paired_seeds(truth):
    ledger = _ledger(settings=("good", "bad", "unranked"))
    ranks = _ranks(ledger, truth)
    unranked = {row["trial_id"] for row in ledger.trial_rows if row["setting"] == "unranked"}
    # Of one of the three pairs there is half a ranking alone.
    (lost, *_) = (row["trial_id"] for row in ledger.trial_rows if row["setting"] == "bad")
    ranks = ranks[~ranks["trial_id"].isin(unranked | {lost})]
    table = paired_rankings(collect(ledger.sweep, ledger.planned, *ledger.frames, ranks, truth))
    assert [(row[0], row[1], row[2]) for row in table.rows] == [("bad", "good", "2")]
    assert table.records[0]["difference_mean"] == pytest.approx(-2)
    assert "Kendall's τ-b" in table.caption


def test_every_ranking_is_a_row(truth):
    _, results = _results(truth)
    table = by_search(results)
    assert len(table.rows) == len(table.records) == 2 * 3 * 2
    assert {record["epoch"] for record in table.records} == {2, 4}
    assert all(record["kendall_tau_b_low"] <= record["kendall_tau_b"] for record in table.records)


def test_cells_that_the_benchmark_lacks_do_not_count(truth):
    ledger = _ledger()
    ranks = _ranks(ledger, truth)
    few = truth[truth["genotype"].isin(ranks["genotype"].unique()[:40])]
    results = collect(ledger.sweep, ledger.planned, *ledger.frames, ranks, few)
    assert sum(one.agreement.n for one in ranked(results)) == ranks["genotype"].isin(few["genotype"]).sum() < len(ranks)
    assert {one.derived_regret for one in ranked(results)} == {None}
    assert by_setting(results).records[0]["derived_regret_mean"] is None


def test_without_ranks_or_a_benchmark_there_is_no_table(truth):
    ledger = _ledger()
    ranks = _ranks(ledger, truth)
    for parts in ((None, truth), (ranks, None), (None, None)):
        results = collect(ledger.sweep, ledger.planned, *ledger.frames, *parts)
        assert by_setting(results) is by_search(results) is draw_inherited(results, "x", Sheet()) is None
        assert paired_rankings(results) is None


def test_the_report_has_a_section_of_it(truth, tmp_path):
    ledger = _ledger()
    ranks = _ranks(ledger, truth)
    write_report(ledger.sweep, ledger.planned, *ledger.frames, tmp_path, ranks=ranks, benchmark=truth)
    page = (tmp_path / "index.html").read_text()
    assert '<h2 id="inherited">' in page
    assert "good: epoch 2 1.00 (n = 3), epoch 4 1.00 (n = 3)" in page
    assert "Thin lines are searches (n: good 3, bad 3)" in page
    assert (tmp_path / "inherited.tex").is_file()
    assert pd.read_csv(tmp_path / "inherited-paired.csv")["difference_mean"].tolist() == pytest.approx([-2])
    assert 'href="inherited-paired.csv"' in page
    assert len(pd.read_csv(tmp_path / "inherited-searches.csv")) == 12
    write_report(ledger.sweep, ledger.planned, *ledger.frames, tmp_path / "no", ranks=ranks)
    assert "no benchmark table knows their true accuracies" in (tmp_path / "no" / "index.html").read_text()
    assert not (tmp_path / "no" / "inherited.csv").exists()
