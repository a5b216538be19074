import csv
import io

import numpy as np
import pytest
from ledger_fixture import make_ledger

from analysis import formats
from analysis.ablation import ablation
from analysis.formats import Table, millions
from analysis.paired import paired
from analysis.provenance import facts, ran, scale
from analysis.rank_table import ranking_table
from analysis.results import collect
from analysis.statistics import Interval, Summary
from analysis.tables import cost, literature, runs


def _results(**options):
    ledger = make_ledger(**({"epochs": 2} | options))
    return ledger, collect(ledger.sweep, ledger.planned, *ledger.frames)


def _column(table, name):
    return [row[table.columns.index(name)] for row in table.rows]


def test_ablation_has_the_mean_and_deviation_of_the_retrainings():
    ledger, results = _results()
    table = ablation(results, "what ran")
    for setting, cell in zip(results.settings, _column(table, "Test accuracy, %"), strict=True):
        tests = [r["test_accuracy"] for r in ledger.trial_rows if r["stage"] == "retrain" and r["setting"] == setting]
        assert cell == f"{np.mean(tests):.2f} ± {np.std(tests, ddof=1):.2f}"
    assert _column(table, "n") == ["4", "4"]
    assert _column(table, "Distinct cells") == ["4 of 4", "4 of 4"]


def test_ablation_stands_beside_the_papers_values_marked_as_literature():
    _, results = _results()
    table = ablation(results, "")
    assert _column(table, "Paper: test accuracy, %") == ["97.19 ± 0.12", "97.52 ± 0.03"]
    assert any("literature values" in note for note in table.notes)
    assert not any(column.startswith("Paper") for column in ablation(_results(paper=None)[1], "").columns)


def test_ablation_says_what_is_missing():
    _, results = _results(missing=3)
    table = ablation(results, "")
    assert _column(table, "n") == ["4", "1 (3 missing)"]
    assert _column(table, "Test accuracy, %")[1].count("±") == 0
    assert _column(table, "95% interval")[1] == "–"
    assert "Not there: js_lambda=0->2 (3 searches missing, 3 retrainings missing)." in table.notes


def test_ablation_counts_distinct_cells_and_says_that_they_share_a_retraining():
    _, results = _results(duplicates=True)
    table = ablation(results, "")
    assert _column(table, "Distinct cells") == ["3 of 4", "3 of 4"]
    assert any("share its retraining" in note for note in table.notes)


def test_ablation_without_retraining_judges_by_search():
    _, results = _results(retrain=False)
    table = ablation(results, "")
    assert "Test accuracy, %" not in table.columns
    assert "95% interval (derived)" in table.columns


def test_ablation_shows_benchmark_lookups_beside_the_papers():
    _, results = _looked_up(91.0, 92.0, 93.0, 94.0)
    table = ablation(results, "")
    assert _column(table, "CIFAR-10 test, %") == ["92.50 ± 1.29"]
    assert _column(table, "95% interval (CIFAR-10 test)") == ["91.50 to 93.50"]
    assert _column(table, "Paper: CIFAR-10 test, %") == ["93.41 ± 0.20"]
    assert "Paper: ImageNet16-120 test, %" not in table.columns
    assert any("nasbench201@parquet:abc" in note for note in table.notes)
    assert [row[-2:] for row in runs(results).rows] == [
        (millions(run.search_value("params")), run.trial_id) for run in results.runs
    ]
    assert _column(runs(results), "CIFAR-10 test, %") == ["91.00", "92.00", "93.00", "94.00"]


def _looked_up(*accuracies, **options):
    options = {"settings": ("method=stc",), "paper": "table-6", "retrain": False} | options
    return _results(space="nasbench201", looked_up=accuracies, **options)


def test_settings_without_retraining_are_judged_by_the_benchmark():
    _, results = _looked_up(*range(80, 92), settings=("a", "b"), seeds=tuple(range(6)))
    assert results.best("a").seed == 5
    table = paired(results)
    assert "accuracy in the benchmark (CIFAR-10 test)" in table.caption
    assert table.records[0]["difference_mean"] == pytest.approx(6.0)


def test_a_cell_that_the_benchmark_lacks_is_a_gap_and_no_number():
    _, results = _looked_up(91.0, 92.0, None, 93.0)
    table = ablation(results, "")
    assert _column(table, "CIFAR-10 test, %") == ["92.00 ± 1.00"]
    assert _column(table, "n") == ["3 (1 missing)"]
    assert any("method=stc (1 lookup failed)" in note for note in table.notes)
    _, results = _looked_up(91.0, 92.0, 93.0)
    assert any("method=stc (1 lookup missing)" in note for note in ablation(results, "").notes)


def test_seeds_that_found_the_same_cell_have_the_same_lookup():
    _, results = _looked_up(91.0, 91.0, 93.0, 94.0, duplicates=True)
    assert [run.lookup_value("lookup_cifar10_test") for run in results.runs] == [91.0, 91.0, 93.0, 94.0]
    assert len(results.stage("lookup")) == 3


def test_ranking_is_pooled_and_by_setting_with_the_papers_tau():
    _, results = _results(settings=("depth-consistent", "no-depth"), seeds=tuple(range(8)), paper="fig-5")
    table = ranking_table(results)
    assert table is not None
    assert [row[0] for row in table.rows[::2]] == ["all settings", "depth-consistent", "no-depth"]
    assert _column(table, "n") == ["16", "16", "8", "8", "8", "8"]
    assert _column(table, "Paper: τ")[2:] == ["0.64", "0.64", "–", "–"]
    assert ranking_table(_results(retrain=False)[1]) is None


def test_settings_with_few_searches_are_ranked_in_the_pool_alone():
    table = ranking_table(_results()[1])
    assert table is not None
    assert [row[0] for row in table.rows] == ["all settings"] * 2
    assert any("in the pooled rows alone" in note for note in table.notes)
    alone = ranking_table(_results(settings=("a",), seeds=(0, 1))[1])
    assert alone is not None
    assert [row[0] for row in alone.rows] == ["a"] * 2


def test_cost_marks_shared_devices():
    ledger = make_ledger(epochs=1)
    ledger.trial_rows[0]["shared_device"] = True
    ledger.trial_rows[0]["attempt"] = 3
    table = cost(collect(ledger.sweep, ledger.planned, *ledger.frames))
    assert [row[:3] for row in table.rows][:2] == [("js_lambda=0", "search", "4"), ("js_lambda=0", "retrain", "4")]
    assert table.rows[0][3].endswith("*")
    assert _column(table, "Restarts")[0] == "2"
    assert any("no clean cost" in note for note in table.notes)


def test_runs_hold_every_planned_search_with_its_genotype():
    _, results = _results(missing=1, failed=1)
    records = runs(results).records
    assert [record["state"] for record in records][-2:] == ["failed", "missing"]
    assert records[0]["genotype"].startswith("Genotype(normal=")
    assert records[-1]["genotype"] is None


def test_literature_is_the_papers_table():
    _, results = _results()
    table = literature(results.paper)
    assert table.rows[-1] == ("dynamic 0->2", "97.52 ± 0.03")
    assert "not measured here" in table.caption


def test_scale_names_every_difference_from_the_papers_sizes():
    _, results = _results()
    found = scale(results)
    assert found is not None
    assert found.smaller
    assert "search cells 3 (paper: 8)" in found.differences
    assert "search data set digits (scikit-learn) (paper: CIFAR-10)" in found.differences
    assert "retrain epochs 20 (paper: 600)" in found.differences


def test_scale_is_silent_at_the_papers_sizes_row_by_row():
    sizes = {"dataset": "cifar10", "cells": 8, "channels": 16, "batch_size": 256, "epochs": 50}
    _, results = _results(sizes=sizes, retrain=False, settings=("js_lambda=0",), seeds=(0,))
    found = scale(results)
    assert found is not None
    assert found.differences == ()
    # Table 8 searches without depth consistency at the small size, and with it at the large one.
    _, results = _results(
        sizes=sizes | {"dataset": "cifar100"},
        retrain=False,
        settings=("no-depth-width", "all"),
        seeds=(0,),
        paper="table-8",
    )
    found = scale(results)
    assert found is not None
    assert set(found.differences) == {
        "search cells 8 (paper: 20)",
        "search channels 16 (paper: 36)",
        "search batch 256 (paper: 96)",
    }


def test_scale_needs_a_paper_and_a_record():
    assert scale(_results(paper=None)[1]) is None
    assert scale(_results(missing=8)[1]) is None


def test_what_was_run_is_said_in_one_line():
    _, results = _results()
    assert ran(results.stage("search"), "search") == (
        "digits (scikit-learn); all training images at native resolution; DARTS cells, STC-NAS; 3 cells, C=8; "
        "2 epochs, batch 64; CPU"
    )
    assert ran([], "search") == "no search has finished"
    named = {fact.name: (fact.search, fact.retrain) for fact in facts(results)}
    assert named["Cells"] == ("3", "4")
    assert named["Test images"] == ("", "all")
    assert named["Data fingerprint"] == ("digits@scikit-learn", "digits@scikit-learn")


HOSTILE = Table(
    "Hostile 1",
    "50% of a_b & c",
    ("Setting", "x"),
    (("a|b\n*c* <i>", "1.00 ± 0.10"), ("0->2 \\ {$#~^}", "−1")),
    frozenset({"x"}),
    ({"setting": 'a,"b"\nc', "x": 0.1 + 0.2, "y": None},),
)


def test_csv_keeps_text_and_full_precision():
    (row,) = csv.DictReader(io.StringIO(formats.to_csv(HOSTILE)))
    assert row == {"setting": 'a,"b"\nc', "x": "0.30000000000000004", "y": ""}


def test_csv_of_an_empty_table_has_its_header():
    assert formats.to_csv(Table("t", "", ("A", "B"), (), frozenset(), ())) == "A,B\n"


def test_markdown_escapes_what_would_break_the_table():
    lines = formats.to_markdown(HOSTILE).splitlines()
    assert lines[2:6] == [
        "| Setting | x |",
        "| :--- | ---: |",
        r"| a\|b \*c\* \<i\> | 1.00 ± 0.10 |",
        r"| 0-\>2 \\ {$#~^} | −1 |",
    ]


def test_latex_escapes_every_special_character():
    text = formats.to_latex(HOSTILE)
    assert r"\caption{50\% of a\_b \& c}" in text
    assert r"\label{tab:hostile-1}" in text
    assert r"a\textbar{}b *c* \textless{}i\textgreater{} & 1.00 $\pm$ 0.10 \\" in text
    assert r"0-\textgreater{}2 \textbackslash{} \{\$\#\textasciitilde{}\textasciicircum{}\} & $-$1 \\" in text
    assert r"\begin{tabular}{lr}" in text
    assert text.count(r"\midrule") == text.count(r"\toprule") == text.count(r"\bottomrule") == 1


def test_numbers_as_text():
    assert formats.mean_std(Summary(0, None, None, None)) == "–"
    assert formats.mean_std(Summary(1, 93.456, None, None)) == "93.46"
    assert formats.mean_std(Summary(3, 93.456, 0.0, None)) == "93.46 ± 0.00"
    assert formats.fixed(-0.001) == "0.00"
    assert formats.fixed(-1.5) == "−1.50"
    assert formats.interval(Interval(-1, 2)) == "−1.00 to 2.00"
    assert formats.millions(3_349_342) == "3.35"
    assert formats.millions(22_400) == "0.022"
    assert [formats.duration(s) for s in (None, 9.99, 119, 121, 7200, 200_000)] == [
        "–",
        "9.99 s",
        "119 s",
        "2.02 min",
        "2.00 h",
        "2.31 days",
    ]
    assert formats.memory(9.4e9) == "9.40 GB"
    assert formats.memory(412e6) == "412 MB"
