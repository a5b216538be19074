"""What the paper claims beside what a ledger says: verdicts worked out by hand."""

from pathlib import Path

import pytest
from ledger_fixture import make_ledger

from analysis import claims_page
from analysis.claims import Verdict, claims, claims_table, tally
from analysis.published import TABLES
from analysis.results import collect
from analysis.statistics import independent_difference, summarize
from stcnas_core.published_cells import named

THREE = (0, 1, 2)


def _ledger(paper, settings, **options):
    few = {"epochs": 3, "seeds": THREE, "retrain": False, "space": "nasbench201", "sizes": {"dataset": "cifar10"}}
    return make_ledger(**(few | {"paper": paper, "settings": settings} | options))


def _claims(ledger):
    found = claims(collect(ledger.sweep, ledger.planned, *ledger.frames))
    return {one.says: one for one in found}


def _verdicts(ledger):
    return {says: str(one.verdict) for says, one in _claims(ledger).items()}


def _searches(ledger, setting):
    return [row for row in ledger.trial_rows if row["stage"] == "search" and row["setting"] == setting]


def _true(paper, settings, *accuracies):
    return _ledger(paper, settings, looked_up=sum(accuracies, ()))


def test_an_order_holds_where_the_interval_of_paired_seeds_lies_on_its_side():
    ledger = _true("table-6", ("gdas", "setn", "rsps", "stc"), (93, 92, 91), (94, 90, 92), (94, 94, 93), (93.5, 93, 92))
    found = _claims(ledger)
    above = found["stc above gdas"]  # 0.5, 1 and 1; the paper: 93.41 - 93.23
    assert (above.paper, above.here.n, above.unit) == (0.18, 3, "points")
    assert above.here.mean == pytest.approx(2.5 / 3)
    assert above.here.interval is not None
    assert (above.here.interval.low, above.here.interval.high) == (0.5, 1.0)
    orders = {says: str(one.verdict) for says, one in found.items() if " above " in says}
    # -0.5, 3 and 0 for SETN; -0.5, -1 and -1 for RSPS.
    assert orders == {
        "stc above gdas": "held",
        "stc above setn": "not told",
        "stc above rsps": "did not hold",
    }


def test_a_claim_is_the_way_round_that_the_paper_printed():
    found = _claims(_true("table-6", ("enas", "stc"), (93, 92, 91), (92, 91, 90)))
    assert "stc above enas" not in found
    assert found["enas above stc"].paper == 0.35  # 93.76 - 93.41
    assert str(found["enas above stc"].verdict) == "held"


def test_fewer_than_three_searches_tell_nothing_and_none_are_not_run():
    two = _ledger("table-8", ("all", "no-cell"), seeds=(0, 1), looked_up=(93.0, 94.0, 90.0, 91.0))
    assert _verdicts(two) == {"all above no-cell": "not told"}
    none = _ledger("table-8", ("all", "no-cell"), missing=6)
    assert _verdicts(none) == {"all above no-cell": "not run"}


def test_a_printed_accuracy_is_reached_where_the_interval_goes_up_to_it():
    reached = "stc reaches the paper's accuracy on CIFAR-10"
    assert _verdicts(_true("table-6", ("stc",), (93.0, 93.2, 93.5)))[reached] == "held"
    below = _claims(_true("table-6", ("stc",), (93.0, 93.2, 93.4)))
    assert str(below[reached].verdict) == "did not hold"
    assert (below[reached].paper, below[reached].unit) == (93.41, "%")
    # The fixture's CIFAR-100 is 20 below: 73.4 to 73.0 against the paper's 70.43.
    assert str(below["stc reaches the paper's accuracy on CIFAR-100"].verdict) == "held"
    assert not any("ImageNet16" in says for says in below)


def test_words_and_drawings_are_claims_too():
    accuracies = ((92.0, 92.0, 92.0), (92.5, 92.6, 92.7), (91.0, 91.1, 91.2))
    ledger = _true("fig-6", ("weighting=relu", "weighting=sigmoid", "weighting=softmax"), *accuracies)
    assert _verdicts(ledger) == {
        "weighting=relu above weighting=sigmoid": "did not hold",
        "weighting=relu above weighting=softmax": "held",
    }
    assert all(one.paper is None for one in _claims(ledger).values())


def test_cells_that_were_not_searched_are_compared_by_their_means():
    ledger = _ledger("table-4", ("stc",), retrain=True, retrain_seeds=(0,), space="darts")
    retrained = [row for row in ledger.trial_rows if row["stage"] == "retrain"]
    for row, accuracy in zip(retrained, (97, 96, 95), strict=True):
        row["test_accuracy"] = accuracy
    trial, row = ledger.planned[-1], ledger.trial_rows[-1]
    cell = named("DARTS_V1").canonical_text()
    for seed, accuracy in enumerate((90.0, 92.0, 91.0)):
        new = {"setting": "DARTS_V1", "seed": None, "parent": None, "retrain_seed": seed}
        ledger.planned.append({**trial, **new, "id": f"given-{seed}"})
        ledger.trial_rows.append(
            {**row, **new, "trial_id": f"given-{seed}", "genotype": cell, "test_accuracy": accuracy}
        )
    found = _claims(ledger)["stc above DARTS_V1"]
    # Means 96 and 91, ends a point away each: 5 -+ sqrt(2).
    assert (found.here.mean, found.here.n, found.paper) == (5, 3, 0.54)
    assert found.here.interval is not None
    assert found.here.interval.low == pytest.approx(5 - 2**0.5)
    assert found.here.interval.high == pytest.approx(5 + 2**0.5)
    assert str(found.verdict) == "held"


def test_independent_difference_needs_both_sides():
    nothing = summarize([])
    assert independent_difference(summarize([1.0, 2.0]), nothing).n == 0
    assert independent_difference(summarize([1.0]), summarize([3.0])).interval is None
    assert independent_difference(summarize([1.0, 2.0]), summarize([3.0])).mean == 1.5


def test_table_1_claims_darts_loss_and_that_stc_loses_less():
    ledger = _ledger("table-1", ("method=darts", "method=stc"), space="darts")
    both = (("method=darts", (60, 70, 80)), ("method=stc", (1, 2, 3)))
    for setting, losses in both:
        for row, loss in zip(_searches(ledger, setting), losses, strict=True):
            row |= {"valid_accuracy": 90.0, "derived_accuracy": 90.0 - loss}
    found = _claims(ledger)
    first, second = found.values()
    assert (first.paper, first.here.mean, str(first.verdict)) == (78.2, 70, "held")
    assert (second.here.mean, str(second.verdict)) == (68, "held")


def _costs(device, darts_seconds, **shared):
    ledger = _ledger("table-3", ("darts-l8-b64", "stc-l8-b256"), seeds=(0,), space="darts")
    darts, stc = ledger.trial_rows
    darts |= {"search_batch_size": 64, "step_seconds": darts_seconds, "peak_memory_bytes": 9_000_000_000} | shared
    stc |= {"search_batch_size": 256, "step_seconds": 0.1, "peak_memory_bytes": 10_000_000_000}
    for row in ledger.trial_rows:
        row["device"] = device
    return _claims(ledger)


def test_table_3_compares_days_and_memory_of_the_same_depth_by_their_factor():
    time, memory = _costs("NVIDIA V100", 0.2).values()
    # 391 steps of 64 images for 98 of 256: 391 * 0.2 / (98 * 0.1).
    assert time.says == "darts-l8-b64 takes more time than stc-l8-b256"
    assert time.here.mean == pytest.approx(391 * 2 / 98)
    assert (time.paper, str(time.verdict), time.unit) == (12.71, "held", "times")
    assert (memory.paper, memory.here.mean, str(memory.verdict)) == (1.71, 0.9, "did not hold")
    assert str(next(iter(_costs("NVIDIA V100", 0.01).values())).verdict) == "did not hold"
    assert {str(one.verdict) for one in _costs("NVIDIA V100", 0.2, shared_device=True).values()} == {
        "not told",
        "did not hold",
    }
    assert str(list(_costs("cpu", 0.2).values())[1].verdict) == "not told"  # the whole process's


def test_fig_5_claims_a_rank_correlation_and_a_higher_one():
    seeds = tuple(range(6))
    ledger = _ledger("fig-5", ("depth-consistent", "no-depth"), seeds=seeds, looked_up=(90, 91, 92, 93, 94, 95) * 2)
    for setting, signs in (("depth-consistent", 1), ("no-depth", -1)):
        for index, row in enumerate(_searches(ledger, setting)):
            row["derived_accuracy"] = 50.0 + signs * index
    found = list(_claims(ledger).values())
    assert [(one.here.mean, str(one.verdict)) for one in found] == [(1, "held"), (2, "held")]
    assert found[0].paper == 0.64
    few = _ledger("fig-5", ("depth-consistent", "no-depth"), looked_up=(90, 91, 92) * 2)
    assert set(_verdicts(few).values()) == {"not told"}


def test_fig_8_one_search_is_enough_against_a_never():
    ledger = _ledger("fig-8", ("method=darts", "method=stc"), space="darts")
    for row in ledger.epoch_rows:
        darts = row["trial_id"] in {search["trial_id"] for search in _searches(ledger, "method=darts")}
        row |= {"skip_connects": 8 if darts else 2, "derived_accuracy": 50.0 - (10 if darts else -1) * row["epoch"]}
    never = "method=stc never has more than 2: the most of any epoch"
    assert _verdicts(ledger) == {
        "method=darts ends with more skip connections than method=stc": "held",
        never: "held",
        "method=darts loses accuracy": "held",
        "method=stc is better after a third of the epochs than at the end": "did not hold",
    }
    last = _searches(ledger, "method=stc")[-1]["trial_id"]
    next(row for row in ledger.epoch_rows if row["trial_id"] == last)["skip_connects"] = 3
    assert str(_claims(ledger)[never].verdict) == "did not hold"
    assert _claims(ledger)[never].here.mean == 3


def test_the_table_has_text_for_people_and_numbers_for_programs():
    ledger = _true("table-6", ("gdas", "stc"), (93, 92, 91), (93.5, 93, 92))
    results = collect(ledger.sweep, ledger.planned, *ledger.frames)
    table = claims_table(results)
    assert table is not None
    assert table.rows[0] == ("stc above gdas", "points", "0.18", "0.83", "0.50 to 1.00", "3", "✓ held")
    assert table.records[0]["verdict"] == "held"
    assert table.records[0]["low"] == 0.5
    assert "once in eight" in table.notes[0]
    assert tally(claims(results)) == ("3 of 3", "")
    assert tally(claims(results)[:0]) == ("0 of 0", "")


def test_sweeps_of_no_table_claim_nothing():
    assert claims(collect(*_parts(_ledger(None, ("a", "b"))))) == ()
    assert claims_table(collect(*_parts(_ledger("table-8", ("of-our-own", "another"))))) is None


def _parts(ledger):
    return (ledger.sweep, ledger.planned, *ledger.frames)


def test_every_row_that_a_claim_names_was_printed():
    for paper in TABLES.values():
        names = {row.name for row in paper.rows}
        assert {*paper.ours, *(name for pair in paper.above for name in pair)} <= names


def _reported(folder: Path, caption: str, verdict: Verdict) -> None:
    folder.mkdir()
    (folder / "ablation.md").write_text(f"**{caption}**\n")
    (folder / "claims.md").write_text("**Title.**\n\n| Claim | Verdict |\n| - | - |\n| a above b | it |\n\nNote.\n")
    (folder / "claims.csv").write_text(f"claim,verdict\na above b,{verdict}\n")


def test_the_page_of_claims_has_each_reports_rows_and_scale_and_counts_verdicts(tmp_path: Path) -> None:
    _reported(tmp_path / "fig8", "fig8: accuracy over n searches. Search: digits; CPU.", Verdict.NOT_HELD)
    _reported(tmp_path / "table1", "table1: accuracy. Search: CIFAR-10; CPU. Retrain: CIFAR-10; CPU.", Verdict.HELD)
    (tmp_path / "ledger").mkdir()
    made = claims_page.page(tmp_path)
    assert "of 2 claims, 1 held, 1 did not hold." in made
    assert made.count("| a above b | it |") == 2
    assert made.index("## Table 1") < made.index("## Fig. 8")
    assert "\nSearch: CIFAR-10; CPU. Retrain: CIFAR-10; CPU. `docs/results/table1`.\n" in made
    assert "Note" not in made


def test_a_report_that_does_not_say_its_scale_has_no_place_on_the_page(tmp_path: Path) -> None:
    _reported(tmp_path / "table1", "table1: accuracy over n searches.", Verdict.HELD)
    with pytest.raises(ValueError, match=r"table1/ablation\.md: the caption does not say"):
        claims_page.page(tmp_path)
