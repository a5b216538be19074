"""Tables 1, 4 and 6 and Figures 6, 7 and 8 in the paper's form, against numbers worked out by hand."""

import datetime

import pandas as pd
import pytest
from ledger_fixture import make_ledger

from analysis.bars import draw_bars
from analysis.comparison import comparison
from analysis.gap import discretisation_gap
from analysis.long_searches import followed, long_searches
from analysis.paper_section import paper_section
from analysis.rank_table import ranking_table
from analysis.report import write_report
from analysis.results import collect
from analysis.svg import Sheet
from analysis.tables import cost

METHODS = ("method=random", "method=stc")


def _ledger(paper, settings=METHODS, **options):
    few = {"epochs": 3, "seeds": (0, 1), "retrain": False, "sizes": {"dataset": "cifar10"}}
    return make_ledger(**(few | {"paper": paper, "settings": settings} | options))


def _collected(ledger):
    return collect(ledger.sweep, ledger.planned, *ledger.frames)


def _searches(ledger, setting):
    return [row for row in ledger.trial_rows if row["stage"] == "search" and row["setting"] == setting]


def test_table_1_says_what_is_lost_search_by_search():
    ledger = _ledger("table-1", ("method=darts", "method=stc"))
    for row, valid, derived in zip(_searches(ledger, "method=darts"), (80.0, 90.0), (20.0, 10.0), strict=True):
        row |= {"valid_accuracy": valid, "derived_accuracy": derived}
    table = discretisation_gap(_collected(ledger))
    assert table is not None
    # Losses of 60 and 80: mean 70, sample deviation 10 * sqrt(2); two seeds' interval is their range.
    assert table.rows[0] == (
        *("method=darts", "2", "85.00 ± 7.07", "15.00 ± 7.07", "70.00 ± 14.14", "60.00 to 80.00"),
        *("88.1", "9.9", "78.2"),
    )
    assert table.rows[1][-3:] == ("–", "–", "–")
    assert (table.records[0]["lost_points_low"], table.records[0]["paper_lost_points"]) == (60.0, 78.2)
    assert "literature values" in " ".join(table.notes)


def test_table_6_has_a_line_for_every_row_and_every_setting():
    ledger = _ledger("table-6", space="nasbench201", looked_up=(90.0, 91.0, 93.0, 94.0))
    table = comparison(_collected(ledger))
    assert table is not None
    lines = {row[0]: row for row in table.rows}
    test = table.columns.index("Here: CIFAR-10 test, %")
    assert lines["STC"][1:4] == ("method=stc", "search", "2")
    assert lines["STC"][test : test + 2] == ("93.50 ± 0.71", "93.41 ± 0.20")
    assert lines["GDAS"][1:4] == ("–", "literature only", "–")
    assert lines["GDAS"][test : test + 2] == ("–", "93.23 ± 0.58")
    assert table.rows[-1][:4] == ("(none)", "method=random", "search", "2")
    assert table.rows[-1][test : test + 2] == ("90.50 ± 0.71", "–")
    assert "Here: ImageNet16-120 test, %" not in table.columns
    assert "Paper: ImageNet16-120 test, %" in table.columns
    records = {record["paper_row"]: record for record in table.records}
    assert records["STC"]["lookup_cifar10_test_mean"] == 93.5
    assert records["GDAS"]["kind"] == "literature only"


def _given(ledger, setting, accuracy):
    """A cell that the sweep names, retrained once."""
    trial, row = ledger.planned[-1], ledger.trial_rows[-1]
    assert trial["stage"] == row["stage"] == "retrain"
    new = {"setting": setting, "seed": None, "parent": None}
    ledger.planned.append({**trial, **new, "id": f"given-{setting}"})
    ledger.trial_rows.append({**row, **new, "trial_id": f"given-{setting}", "test_accuracy": accuracy})


def test_table_4_tells_searches_published_cells_and_literature_apart():
    ledger = _ledger("table-4", ("darts", "stc", "random"), retrain=True)
    accuracies = iter((97.0, 96.0, 97.5, 97.6))
    for row in ledger.trial_rows:
        if row["stage"] == "retrain" and row["setting"] != "random":
            row |= {"test_accuracy": next(accuracies), "params": 3_400_000}
    _given(ledger, "DARTS_V1", 96.9)
    table = comparison(_collected(ledger))
    assert table is not None
    error = table.columns.index("Here: test error, %")
    lines = [(row[0], row[1], row[2], row[3], row[error], row[error + 1]) for row in table.rows]
    darts = [line for line in lines if line[0] == "DARTS 1st"]
    assert darts == [
        ("DARTS 1st", "darts", "search", "2", "3.50 ± 0.71", "3.00 ± 0.14"),
        ("DARTS 1st", "DARTS_V1", "published cell", "1", "3.10", "3.00 ± 0.14"),
    ]
    assert ("STC", "stc", "search", "2", "2.45 ± 0.07", "2.46 ± 0.04") in lines
    assert ("NASNet-A", "–", "literature only", "–", "–", "2.65") in lines
    assert not any("CIFAR-100" in column for column in table.columns)
    assert "Here: device-days" in table.columns  # the fixture's device is a CPU
    assert table.rows[[line[1] for line in lines].index("stc")][table.columns.index("Here: params, M")] == "3.400"


def test_retrainings_on_cifar_100_stand_beside_the_papers_of_cifar_100():
    table = comparison(_collected(_ledger("table-4", ("stc",), retrain=True, sizes={"dataset": "cifar100"})))
    assert table is not None
    assert "Here: CIFAR-100 error, %" in table.columns
    assert not any("test error" in column for column in table.columns)
    assert table.rows[[row[0] for row in table.rows].index("STC")][5] == "16.71 ± 0.19"


def test_table_5_has_both_errors_and_both_ways_to_count():
    ledger = _ledger("table-5", ("stc",), retrain=True)
    for row in ledger.trial_rows:
        if row["stage"] == "retrain":
            row |= {"test_accuracy": 75.5, "test_top5_accuracy": 92.5, "params": 5_300_000}
            row |= {"macs": 575_000_000, "macs_with_norms": 590_000_000}
    table = comparison(_collected(ledger))
    assert table is not None
    line = dict(zip(table.columns, table.rows[[row[0] for row in table.rows].index("STC")], strict=True))
    assert (line["Here: top-1 error, %"], line["Paper: top-1 error, %"]) == ("24.50 ± 0.00", "24.2")
    assert (line["Here: top-5 error, %"], line["Paper: top-5 error, %"]) == ("7.50 ± 0.00", "7.3")
    assert (line["Here: multiply-adds, M"], line["Paper: multiply-adds, M"]) == ("590.0 ± 0.0", "588")
    assert line["Here: multiply-adds without norms and ReLUs, M"] == "575.0 ± 0.0"
    assert not any(column == "Paper: multiply-adds without norms and ReLUs, M" for column in table.columns)
    assert "the limit is held against these" in " ".join(table.notes)


@pytest.mark.parametrize("paper", ["table-7", "table-8", "table-3", None])
def test_other_sweeps_have_no_such_section(paper):
    results = _collected(_ledger(paper))
    assert comparison(results) is discretisation_gap(results) is long_searches(results) is None
    assert paper_section(results, Sheet()) is None


def test_figure_8_counts_skip_connections_of_every_epoch():
    ledger = _ledger("fig-8", ("method=darts", "method=stc"))
    counts = {("method=darts", 0): (1, 4, 6), ("method=darts", 1): (2, 3, 8), ("method=stc", 0): (2, 1, 2)}
    accuracies = {("method=darts", 0): (50.0, 70.0, 40.0), ("method=darts", 1): (60.0, None, 20.0)}
    searches = {row["trial_id"]: (row["setting"], row["seed"]) for row in ledger.trial_rows}
    for row in ledger.epoch_rows:
        key = searches[row["trial_id"]]
        row["skip_connects"] = counts.get(key, (0, 0, 0))[row["epoch"]]
        row["derived_accuracy"] = accuracies.get(key, (30.0, 30.0, 30.0))[row["epoch"]]
    results = _collected(ledger)
    table = long_searches(results)
    assert table is not None
    # DARTS: at most 6 and 8; two epochs above two each; at the end 6 and 8; best in epochs 2 and 1 with 70 and 60.
    # A third of three epochs is the first, with 50 and 60: changes of -10 and -40 to the end.
    assert table.rows[0] == (
        *("method=darts", "2", "7.0 ± 1.4", "2.0 ± 0.0", "7.0 ± 1.4"),
        *("1.5 ± 0.7", "65.00 ± 7.07", "55.00 ± 7.07", "30.00 ± 14.14", "−25.00 ± 21.21", "−40.00 to −10.00"),
    )
    assert (table.records[0]["change_accuracy_low"], table.records[0]["n_accuracy"]) == (-40.0, 2)
    assert table.rows[1][:5] == ("method=stc", "2", "1.0 ± 1.4", "0.0 ± 0.0", "1.0 ± 1.4")
    assert "inherited weights" in table.notes[0]
    assert [quantity.axis for quantity in followed(results)] == ["skip_connect count", "validation, %"]


def test_figure_8_has_the_true_accuracy_of_every_epochs_cell_where_it_is_known():
    ledger = _ledger("fig-8", ("method=stc",), space="nasbench201", looked_up=(90.0, 80.0))
    cells = [(row["genotype"], row["seed"]) for row in ledger.trial_rows if row["stage"] == "search"]
    benchmark = {"genotype": [cell for cell, _ in cells], "lookup_cifar10_test": [90.0, 80.0]}
    results = collect(ledger.sweep, ledger.planned, *ledger.frames, None, pd.DataFrame(benchmark))
    true = next(quantity for quantity in followed(results) if "True" in quantity.title)
    assert [list(line) for line in true.series["method=stc"]] == [[90.0] * 3, [80.0] * 3]
    table = long_searches(results)
    assert table is not None
    assert table.rows[0][-5:-2] == ("85.00 ± 7.07", "85.00 ± 7.07", "85.00 ± 7.07")
    assert "true accuracy of the derived cell (CIFAR-10 test)" in table.notes[0]


def _on_the_way(ledger, epoch, cell, accuracies):
    """A cell that the first search derived after an epoch, retrained once for each accuracy."""
    search = next(row for row in ledger.trial_rows if row["stage"] == "search")
    last = next(row for row in ledger.trial_rows if row["stage"] == "retrain")
    for row in ledger.epoch_rows:
        if row["trial_id"] == search["trial_id"] and row["epoch"] == epoch - 1:
            row["genotype"] = cell
    for seed, accuracy in enumerate(accuracies):
        name = f"way-{epoch}-{seed}"
        trial = {"id": name, "stage": "retrain", "setting": search["setting"], "seed": 0, "retrain_seed": seed}
        ledger.planned.append({**trial, "state": "done", "parent": search["trial_id"], "epoch": epoch})
        ledger.trial_rows.append(
            {**last, "trial_id": name, "genotype": cell, "retrain_seed": seed, "test_accuracy": accuracy}
        )


def test_figure_8_has_the_retrained_accuracy_of_the_cells_on_the_way():
    ledger = _ledger("fig-8", ("method=stc",), seeds=(0,), retrain=True, space="nasbench201", epochs=6)
    ledger.sweep.retrain["every_epochs"] = 2
    retrained = next(row for row in ledger.trial_rows if row["stage"] == "retrain")
    retrained["test_accuracy"] = 90.0
    other = "|none~0|+|none~0|none~1|+|none~0|none~1|skip_connect~2|"
    _on_the_way(ledger, 2, other, (94.0, 95.0))
    results = _collected(ledger)
    quantity = followed(results)[1]
    # After epochs 2 (mean of two), 4 (the cell that the search ends with) and 6; the others were not asked for.
    (line,) = quantity.series["method=stc"]
    assert dict(line) == {2: 94.5, 4: 90.0, 6: 90.0}
    assert "every 2 epochs" in quantity.about
    table = long_searches(results)
    assert table is not None
    assert table.rows[0][5:] == ("2.0", "94.50", "94.50", "90.00", "−4.50", "–")
    # The search itself is judged by the cell that it ended with, and is not charged for the others.
    (run,) = results.runs
    assert run.test_accuracy == 90.0
    assert "2 retrainings of cells that searches derived on their way" in " ".join(cost(results).notes)
    # Before anything was decided, the cell is a tie.
    for row in ledger.epoch_rows:
        if row["epoch"] == 1 and row["stage"] == "search":
            row["skip_connects"] = None
    (line,) = followed(_collected(ledger))[1].series["method=stc"]
    assert dict(line) == {4: 90.0, 6: 90.0}


@pytest.mark.parametrize("paper", ["fig-6", "fig-7"])
def test_bars_have_mean_and_deviation(paper):
    ledger = _ledger(paper, ("noise=0", "noise=0.3"), space="nasbench201", looked_up=(54.0, 56.0))
    sheet = Sheet()
    section = paper_section(_collected(ledger), sheet)
    assert section is not None
    assert section.table is None
    (figure,) = section.figures
    assert "noise=0: mean 55.00, standard deviation 1.41 (n = 2); noise=0.3: none yet" in figure.drawing.markup
    assert "does not begin at zero" in figure.caption
    assert "n = 2" in figure.caption


def test_no_bars_without_a_value():
    assert draw_bars(_collected(_ledger("fig-6")), lambda run: None, "Accuracy", "bars", Sheet()) is None


@pytest.mark.parametrize("paper", ["table-1", "table-4", "table-6", "fig-6", "fig-8"])
def test_an_empty_section_says_what_is_missing(paper):
    ledger = _ledger(paper, missing=4, retrain=paper != "table-6")
    section = paper_section(_collected(ledger), Sheet())
    assert section is not None
    assert ("4 retrainings" in section.missing) == (paper != "table-6")
    assert section.missing.startswith("Nothing is there yet; not finished: 4 searches")
    assert section.figures == ()
    half = paper_section(_collected(_ledger(paper, missing=1)), Sheet())
    assert half is not None
    assert half.missing.startswith("Not all is there yet; not finished: 1 search.")
    done = paper_section(_collected(_ledger(paper)), Sheet())
    assert done is not None
    assert done.missing == ""


def test_the_page_begins_with_the_section(tmp_path):
    ledger = _ledger("fig-8", ("method=stc",), seeds=(0,), epochs=2)
    noon = datetime.datetime(2025, 3, 4, 12, tzinfo=datetime.UTC)
    paths = write_report(ledger.sweep, ledger.planned, *ledger.frames, tmp_path, made_at=noon)
    page = paths["index.html"].read_text(encoding="utf-8")
    assert page.index('id="paper"') < page.index('id="settings"')
    assert "Fig. 8 of the paper" in page
    assert "long-searches.csv" in paths


def test_searches_are_ranked_against_the_benchmark_where_nothing_is_retrained():
    ledger = _ledger("fig-5", space="nasbench201", seeds=(0, 1, 2), looked_up=(90.0, 91.0, 92.0, 93.0, 94.0, 89.0))
    for index, row in enumerate(row for row in ledger.trial_rows if row["stage"] == "search"):
        row["derived_accuracy"] = (1.0, 2.0, 3.0, 4.0, 5.0, 6.0)[index]
    table = ranking_table(_collected(ledger))
    assert table is not None
    derived = table.records[0]
    # The first five agree, the sixth is above all five in search and below them in truth: (10 - 5) / 15.
    assert (derived["searches"], derived["n"], derived["kendall_tau_b"]) == ("all settings", 6, pytest.approx(1 / 3))
    # The best tenth of six is one: that of the search is the worst, five points below the best.
    assert (derived["top_overlap"], derived["best_ranked_regret"]) == (0.0, 5.0)
    assert "accuracy in the benchmark (CIFAR-10 test)" in table.caption
    assert ranking_table(_collected(_ledger("fig-5", space="nasbench201"))) is None
