"""What a ledger has to judge settings by, before any report is made."""

from pathlib import Path
from typing import Any

import pytest
from benchmark_tables import every_cell

from orchestrator.job import Job
from orchestrator.ledger import Ledger
from orchestrator.measured import measured
from orchestrator.overview import examine
from orchestrator.plan import Plan, make_plan
from orchestrator.spec import Sweep
from orchestrator.storage import LocalStorage

SEARCH = {"space": "nasbench201", "cells": 1, "channels": 2, "epochs": 2}
CELLS = [f"|{op}~0|+|{op}~0|{op}~1|+|{op}~0|{op}~1|{op}~2|" for op in ("skip_connect", "nor_conv_1x1", "nor_conv_3x3")]


def _searched(ledger: Ledger, plan: Plan, cells: list[str], **columns: Any) -> None:
    for search, cell in zip(plan.searches, cells, strict=False):
        row = Job.of(plan, search, "", 0, False).row(1)
        ledger.record({**row, "state": "finished", "genotype": cell, **columns})


def _sweep(**parts: Any) -> Sweep:
    return Sweep(**{"name": "x", "search": SEARCH, "grid": {"js_lambda": ["0", "2"]}, "seeds": [0, 1], **parts})


def test_test_accuracy_is_the_mean_over_retrain_seeds_and_shared_by_equal_cells(tmp_path: Path) -> None:
    plan, ledger = make_plan(_sweep(retrain={"seeds": [0, 1]})), Ledger(LocalStorage(tmp_path))
    assert measured(examine(plan, ledger)) == {}
    cells = [CELLS[0], CELLS[1], CELLS[0]]  # the fourth search is missing
    _searched(ledger, plan, cells, derived_accuracy=10.0)
    accuracies = iter((90.0, 91.0, 80.0))
    for trial in [trial for trial in examine(plan, ledger).trials if trial.stage == "retrain" and trial.config][:3]:
        row = Job.of(plan, trial, "", 0, False).row(1)
        ledger.record({**row, "state": "finished", "test_accuracy": next(accuracies)})
    assert measured(examine(plan, ledger)) == {"js_lambda=0": {0: 90.5, 1: 80.0}, "js_lambda=2": {0: 90.5}}


def test_without_retraining_the_search_is_what_there_is(tmp_path: Path) -> None:
    plan, ledger = make_plan(_sweep()), Ledger(LocalStorage(tmp_path))
    _searched(ledger, plan, CELLS[:1], derived_accuracy=50.0, valid_accuracy=60.0)
    assert measured(examine(plan, ledger)) == {"js_lambda=0": {0: 50.0}}


@pytest.mark.parametrize(("dataset", "expected"), [("digits", 81.0), ("cifar100", 61.0)])
def test_a_lookup_is_judged_on_the_data_of_the_search_else_on_cifar10(
    tmp_path: Path, dataset: str, expected: float
) -> None:
    every_cell().to_parquet(tmp_path / "table.parquet")
    sweep = _sweep(lookup={"path": str(tmp_path / "table.parquet")}, search={**SEARCH, "dataset": dataset})
    plan = make_plan(sweep, lambda name, path: f"{name}@x")
    ledger = Ledger(LocalStorage(tmp_path / "results"))
    _searched(ledger, plan, CELLS[:1])
    (trial,) = [trial for trial in examine(plan, ledger).trials if trial.stage == "lookup" and trial.config]
    row = {"trial_id": trial.id, "stage": "lookup", "state": "finished", "genotype": CELLS[0], "attempt": 1}
    ledger.record({**row, "lookup_cifar10_test": 81.0, "lookup_cifar100_test": 61.0})
    assert measured(examine(plan, ledger)) == {"js_lambda=0": {0: expected}}
