"""Rankings by inherited weights in the ledger: recorded, resumed, collected, verified, simulated."""

import dataclasses
from pathlib import Path

import pandas as pd
import pytest
from driver import Driver, write_sweep

from orchestrator.collect import collect
from orchestrator.job import Job
from orchestrator.ledger import Ledger
from orchestrator.plan import Plan, make_plan
from orchestrator.spec import load_sweep
from orchestrator.storage import LocalStorage
from orchestrator.trainable import run_trial
from orchestrator.verify import inspect

RANKING = {"rank_every": 2, "rank_cells": 6, "rank_images": 32}


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    sweep = write_sweep(tmp_path / "tiny.yaml", search={"epochs": 5, **RANKING}, retrain=None, seeds=[0])
    return make_plan(load_sweep(sweep))


def job(plan: Plan, ledger: Ledger) -> Job:
    return Job.of(plan, plan.searches[0], ledger.storage.uri, 0, False)


def test_ranks_are_rows_of_the_search_and_survive_being_killed(plan: Plan, tmp_path: Path) -> None:
    unbroken, broken = (Ledger(LocalStorage(tmp_path / name)) for name in ("unbroken", "broken"))
    list(run_trial(job(plan, unbroken)))
    for epochs in (1, 2):
        trial = run_trial(job(plan, broken))
        for _ in range(epochs):
            next(trial)
        del trial
    list(run_trial(job(plan, broken)))
    ranks = unbroken.ranks()
    pd.testing.assert_frame_equal(ranks, broken.ranks())
    assert ranks.groupby("epoch").size().to_dict() == {1: 6, 3: 6, 4: 6}
    assert set(ranks["trial_id"]) == {plan.searches[0].id}
    assert ranks.groupby("epoch")["genotype"].apply(list).map(tuple).nunique() == 1
    (found,) = unbroken.trials().to_dict("records")
    assert found["rank_seconds"] > 0
    assert (found["search_rank_every"], found["search_rank_cells"]) == (2, 6)
    # The search costs what it would without the ranking.
    assert found["device_seconds"] == pytest.approx(unbroken.epochs()["device_seconds"].sum())

    collect(unbroken)
    pd.testing.assert_frame_equal(ranks, unbroken.ranks())
    assert inspect(unbroken).problems == []


def test_a_search_without_a_ranking_has_no_rows_and_another_id(plan: Plan, tmp_path: Path) -> None:
    sweep = plan.sweep.model_copy(update={"search": {**plan.sweep.search, "rank_every": None}})
    plain = make_plan(sweep)
    assert plain.searches[0].id != plan.searches[0].id
    ledger = Ledger(LocalStorage(tmp_path / "results"))
    list(run_trial(job(plain, ledger)))
    assert ledger.ranks().empty
    assert ledger.trials()["rank_seconds"].isna().all()
    assert not (tmp_path / "results" / "ranks").exists()
    assert inspect(ledger).problems == []


def test_a_search_that_trains_nothing_has_nothing_to_rank(tmp_path: Path) -> None:
    sweep = write_sweep(tmp_path / "s.yaml", search={"method": "random", **RANKING}, retrain=None, seeds=[0])
    plan, ledger = make_plan(load_sweep(sweep)), Ledger(LocalStorage(tmp_path / "results"))
    list(run_trial(job(plan, ledger)))
    assert ledger.ranks().empty
    assert inspect(ledger).problems == []


def test_what_is_wrong_with_ranks_is_found(plan: Plan, tmp_path: Path) -> None:
    ledger = Ledger(LocalStorage(tmp_path / "results"))
    list(run_trial(job(plan, ledger)))
    key = f"ranks/{plan.searches[0].id}.parquet"
    rows = ledger.ranks().drop(columns="schema_version").to_dict("records")
    from orchestrator.records import encode

    ledger.storage.replace(key, encode("ranks", rows[:6]))
    assert [problem.reason for problem in inspect(ledger).problems] == [
        "those of the last epoch are missing; its record stands"
    ]
    ledger.storage.replace(key, encode("ranks", [*rows[1:], {**rows[0], "accuracy": 101.0}]))
    assert [problem.reason for problem in inspect(ledger).problems] == [
        "an accuracy is no percentage; its record stands"
    ]
    ledger.storage.delete(key)
    (problem,) = inspect(ledger).problems
    assert (problem.kind, problem.movable) == ("incomplete", False)
    assert problem.reason.startswith("no ranks of trial")


def test_a_simulated_search_ranks_made_up_cells(driver: Driver, tmp_path: Path) -> None:
    sweep = write_sweep(tmp_path / "s.yaml", search=RANKING, retrain=None)
    assert driver.run("simulate", sweep).returncode == 0
    ledger = Ledger(LocalStorage(driver.storage))
    assert ledger.ranks().groupby(["trial_id", "epoch"]).size().tolist() == [6, 6]
    assert inspect(ledger).problems == []


def test_a_setting_may_rank_and_another_not(tmp_path: Path) -> None:
    sweep = write_sweep(tmp_path / "s.yaml", grid={"rank_every": [None, 2]}, retrain=None, seeds=[0])
    plan = make_plan(load_sweep(sweep))
    assert [trial.setting for trial in plan.searches] == ["rank_every=null", "rank_every=2"]
    assert len({trial.id for trial in plan.searches}) == 2
    assert dataclasses.replace(plan.searches[1].config, rank_every=None) == plan.searches[0].config  # type: ignore[type-var]
