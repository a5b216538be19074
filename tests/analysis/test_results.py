import pytest
from ledger_fixture import make_ledger

from analysis.results import collect
from stcnas_core.errors import InputError


def _collect(ledger, **replace):
    frames = dict(zip(("trials", "epochs", "alphas"), ledger.frames, strict=True)) | replace
    return collect(ledger.sweep, ledger.planned, **frames)


def test_other_sweeps_in_the_ledger_are_left_out():
    ledger = make_ledger(epochs=2)
    other = make_ledger(settings=("weighting=relu",), seeds=(9,), epochs=2)
    ledger.trial_rows += other.trial_rows
    ledger.epoch_rows += other.epoch_rows
    results = _collect(ledger)
    assert results.settings == ("js_lambda=0", "js_lambda=0->2")
    assert set(results.records) == {trial["id"] for trial in ledger.planned}
    assert set(results.epochs["trial_id"]) <= set(results.records)
    assert results.complete


def test_setting_and_seed_are_the_plans_not_the_records():
    ledger = make_ledger(epochs=1)
    for row in ledger.trial_rows:
        row["setting"], row["sweep"] = "whoever ran it first", "another"
    results = _collect(ledger)
    assert results.settings == ("js_lambda=0", "js_lambda=0->2")
    assert [run.seed for run in results.of("js_lambda=0")] == [0, 1, 2, 3]


def test_searches_that_found_the_same_cell_share_its_retraining():
    results = _collect(make_ledger(epochs=1, duplicates=True))
    first, second = results.of("js_lambda=0")[:2]
    assert first.genotype == second.genotype
    assert first.retrains == second.retrains
    assert len(first.retrains) == 1
    assert first.test_accuracy == second.test_accuracy


def test_retrain_seeds_are_averaged():
    ledger = make_ledger(epochs=1, retrain_seeds=(0, 1, 2))
    run = _collect(ledger).runs[0]
    tests = [row["test_accuracy"] for row in ledger.trial_rows if row.get("parent") == run.trial_id]
    assert len(tests) == 3
    assert run.test_accuracy == pytest.approx(sum(tests) / 3)
    assert [record["retrain_seed"] for record in run.retrains] == [0, 1, 2]


def test_failed_and_missing_trials():
    results = _collect(make_ledger(epochs=1, missing=2, failed=1))
    assert dict(results.counts) == {"finished": 10, "failed": 1, "missing": 5}
    assert not results.complete
    assert [run.state for run in results.of("js_lambda=0->2")] == ["finished", "failed", "missing", "missing"]
    ((trial, record),) = results.failures
    assert trial["setting"] == "js_lambda=0->2"
    assert record["error_kind"] == "diverged"


def test_failed_retraining_without_a_genotype_of_its_own_is_its_searchs():
    ledger = make_ledger(epochs=1)
    row = next(row for row in ledger.trial_rows if row["stage"] == "retrain")
    row |= {"state": "failed", "genotype": None, "test_accuracy": None, "error_kind": "bug", "error": "x"}
    run = _collect(ledger).runs[0]
    assert (run.failed_retrains, run.missing_retrains, run.test_accuracy) == (1, 0, None)


def test_best_run_is_the_one_with_the_highest_test_accuracy():
    results = _collect(make_ledger(epochs=1))
    best = results.best("js_lambda=0")
    assert best is not None
    assert best.test_accuracy == max(run.test_accuracy for run in results.of("js_lambda=0"))


def test_best_run_without_retraining_is_judged_by_search():
    results = _collect(make_ledger(epochs=1, retrain=False))
    best = results.best("js_lambda=0")
    assert best is not None
    assert best.search_accuracy == max(run.search_accuracy for run in results.of("js_lambda=0"))


def test_best_of_nothing():
    results = _collect(make_ledger(epochs=1, missing=4))
    assert results.best("js_lambda=0->2") is None


def test_unreadable_genotype_names_the_trial():
    ledger = make_ledger(epochs=1)
    ledger.trial_rows[0]["genotype"] = "__import__('os')"
    with pytest.raises(InputError, match=ledger.trial_rows[0]["trial_id"]):
        _collect(ledger)
