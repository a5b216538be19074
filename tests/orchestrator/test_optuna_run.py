"""Sweeps that Optuna fills, from the command line to the report: real searches, lookups, failures."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from benchmark_tables import every_cell
from driver import write_sweep
from recorded import checkpoint
from typer.testing import CliRunner

from orchestrator import cli
from orchestrator.checkpoints import Checkpoints
from orchestrator.ledger import Ledger
from orchestrator.lookups import Lookups
from orchestrator.plan import make_plan
from orchestrator.schema import TRIALS
from orchestrator.spec import load_sweep
from orchestrator.storage import LocalStorage
from stcnas_core.errors import InputError
from stcnas_core.search import Search

SPACE = {"noise": {"low": 0.0, "high": 0.5}, "js_scope": ["node", "edge", "cell"]}


class World:
    """One storage, and commands on it in this process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.storage = folder / "results"

    def sweep(self, optuna: dict[str, Any], **changes: Any) -> Path:
        section = {"suggestions": 2, "space": SPACE, "objectives": [{"metric": "derived_accuracy"}], **optuna}
        return write_sweep(self.folder / "s.yaml", **{"retrain": None, **changes, "optuna": section})

    def do(self, *words: str | Path, code: int = 0) -> str:
        done = CliRunner().invoke(cli.app, [*map(str, words), "--storage", str(self.storage)])
        assert done.exit_code == code, (done.output, done.exception)
        return done.stdout

    def json(self, *words: str | Path, code: int = 0) -> dict[str, Any]:
        return json.loads(self.do(*words, "--json", code=code))


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_what_was_done_before_an_interruption_counts_the_suggestions_made_meanwhile(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = world.sweep({"suggestions": 3, "parallel": 1}, search={"epochs": 1})
    run_epoch, searches = Search.run_epoch, list[int]()

    def interrupted_in_the_fourth(self: Search) -> Any:
        searches.append(self.config.seed)
        if len(searches) == 4:
            os.kill(os.getpid(), signal.SIGINT)
        return run_epoch(self)

    monkeypatch.setattr(Search, "run_epoch", interrupted_in_the_fourth)
    said = world.do("run", path, "--backend", "inline", code=4)
    assert "stopped with 3 of 4 trials done; 2 of 3 suggestions made; finished trials and epochs are kept" in said
    assert "all 6 trials are done; 3 of 3 suggestions made" in world.do("run", path, "--backend", "inline")
    assert len(searches) == 7


def test_two_objectives_on_digits_from_plan_to_report(world: World) -> None:
    objectives = [{"metric": "test_accuracy"}, {"metric": "macs", "stage": "retrain"}]
    path = world.sweep({"objectives": objectives}, retrain={"epochs": 1}, search={"epochs": 1})
    before = world.json("plan", path)
    assert (before["planned"], before["study"]["asked"], before["study"]["made"]) == (0, 2, 0)
    assert "0 of 2 suggestions made, 2 to come" in world.do("plan", path)
    status = world.json("run", path, "--backend", "inline")
    assert status["missing"] == status["failed"] == 0
    study = status["study"]
    assert [row["state"] for row in study["suggestions"]] == ["finished", "finished"]
    trials = pd.read_parquet(world.storage / "trials")
    searches = trials[trials["stage"] == "search"]
    for row in study["suggestions"]:
        mine = searches[searches["setting"] == row["setting"]]
        assert sorted(mine["seed"]) == [0, 1]
        for field, value in row["params"].items():
            assert (mine[f"search_{field}"] == value).all()
        trained = trials[(trials["stage"] == "retrain") & trials["genotype"].isin(mine["genotype"])]
        by_cell = trained.set_index("genotype").loc[mine["genotype"]]
        assert row["values"] == pytest.approx([by_cell["test_accuracy"].mean(), by_cell["macs"].mean()])
    written = world.json("report", path)
    table = pd.read_csv(written["suggestions.csv"])
    assert sorted(table["suggestion"]) == [1, 2]
    assert "Pareto front" in Path(written["index.html"]).read_text()
    records = {file: file.read_bytes() for file in (world.storage / "trials").iterdir()}
    assert "2 of 2 suggestions made" in world.do("run", path, "--backend", "inline")
    assert {file: file.read_bytes() for file in (world.storage / "trials").iterdir()} == records
    # What a study plans is expected by `verify`, and its files are checked there.
    assert world.json("verify", path)["sweeps"]["tiny"] == {"planned": len(trials), "recorded": len(trials)}


@pytest.mark.parametrize("prune", [{}, {"prune": {"after": 1}}])
def test_suggestions_of_which_all_fail_are_passed_by(world: World, prune: dict[str, Any]) -> None:
    path = world.sweep({"suggestions": 3, **prune}, search={"epochs": 1, "lr": 1e30}, seeds=[0, 1])
    status = world.json("run", path, "--backend", "inline", code=3)
    assert [row["state"] for row in status["study"]["suggestions"]] == ["failed"] * 3
    assert (status["failed"], status["missing"], status["study"]["best"]) == (3 if prune else 6, 0, [])
    assert world.json("run", path, "--backend", "inline", code=3)["study"] == status["study"]


def test_judged_by_looked_up_accuracy_beside_given_cells(world: World) -> None:
    lookup = {"lookup": {"path": str(world.folder / "table.parquet")}}
    cell = "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|nor_conv_3x3~0|nor_conv_3x3~1|nor_conv_3x3~2|"
    objectives = [{"metric": "lookup_cifar10_valid", "over": "median"}]
    path = world.sweep({"objectives": objectives, "parallel": 2}, genotypes={"best": cell}, **lookup)
    status = json.loads(world.do("simulate", path, "--json"))
    assert (status["missing"], status["failed"], status["planned"]) == (0, 0, 2 * 2 * 2 + 1)
    trials = pd.read_parquet(world.storage / "trials")
    looked_up = trials[trials["stage"] == "lookup"].set_index("genotype")["lookup_cifar10_valid"]
    for row in status["study"]["suggestions"]:
        cells = trials[(trials["stage"] == "search") & (trials["setting"] == row["setting"])]["genotype"]
        assert row["values"] == pytest.approx([looked_up[cells].median()])


def test_a_suggestion_of_which_one_seed_failed_waits_for_nothing(world: World) -> None:
    path = world.sweep({"suggestions": 1}, retrain={"epochs": 1}, seeds=[0, 1, 2])
    world.do("simulate", path)
    ledger = Ledger(LocalStorage(world.storage))
    (row,) = [row for row in ledger.rows(ledger.ids(), TRIALS.names) if row["stage"] == "search" and row["seed"] == 1]
    ledger.forget(row["trial_id"])
    assert world.json("status", path)["study"]["suggestions"][0]["state"] == "open"
    ledger.record({**row, "state": "failed", "error_kind": "diverged", "error": "nan"})
    status = world.json("status", path)
    (suggestion,) = status["study"]["suggestions"]
    assert (suggestion["state"], suggestion["n"], status["missing"]) == ("finished", 2, 1)
    assert suggestion["seeds"][1] == {"seed": 1, "values": None}


def test_a_space_that_is_used_up_ends_all_that_follows_the_study(world: World) -> None:
    # Without the loss its scope has no effect, so that four of six points are different searches.
    space = {"js_scope": ["node", "edge", "cell"], "js_lambda": [0, 2]}
    path = world.sweep({"suggestions": 7, "space": space}, seeds=[0])
    assert world.json("plan", path)["study"]["to_come"] == 7
    world.do("simulate", path)
    status = json.loads(world.do("status", path, "--watch", "--json").splitlines()[-1])
    assert (status["study"]["made"], status["study"]["to_come"], status["missing"]) == (4, 0, 0)
    assert "4 of 7 suggestions made (4 finished), the space has no other point" in world.do("status", path)
    assert "Simulated, no result: 4 of 4 trials played" in Path(world.json("report", path)["index.html"]).read_text()
    assert world.do("report", path, "--watch").count("4 of 4 done") == 1
    leases = {file: file.read_bytes() for file in world.storage.glob("leases/**/*.json")}
    assert "all 4 trials are done; 4 of 7 suggestions made" in world.do("simulate", path)
    assert {file: file.read_bytes() for file in world.storage.glob("leases/**/*.json")} == leases, "nothing was run"
    # One more choice, and the study has something to suggest again.
    wider = world.sweep({"suggestions": 7, "space": {**space, "js_lambda": [0, 1, 2]}}, seeds=[0])
    assert world.json("plan", wider)["study"]["to_come"] == 3


def test_an_accuracy_that_the_table_lacks_is_refused(world: World) -> None:
    table = world.folder / "table.parquet"
    every_cell().drop(columns="cifar10_valid").to_parquet(table)
    path = world.sweep({"objectives": [{"metric": "lookup_cifar10_valid"}]}, lookup={"path": str(table)})
    plan = make_plan(load_sweep(path))
    assert plan.sweep.optuna is not None
    lookups = Lookups(plan, Ledger(LocalStorage(world.storage)), lambda line: None)
    with pytest.raises(InputError, match=r"no cell of the benchmark table has lookup_cifar10_valid"):
        lookups.check(plan.sweep.optuna)


def test_verify_reports_a_damaged_suggestion_and_goes_on(world: World) -> None:
    path = world.sweep({"suggestions": 2}, seeds=[0])
    world.do("simulate", path)
    ledger = Ledger(LocalStorage(world.storage))
    (damaged,) = world.storage.glob("studies/tiny/*/suggestions/000002.json")
    whole = damaged.read_bytes()
    (lost,) = (row for row in ledger.rows(ledger.ids(), TRIALS.names) if row["setting"] == "suggestion 2")
    ledger.forget(lost["trial_id"])
    checkpoint(Checkpoints(ledger.storage), lost["trial_id"])
    assert world.json("verify", path)["sweeps"]["tiny"] == {"planned": 2, "recorded": 1}
    damaged.write_bytes(whole[:-9])
    found = world.json("verify", path, code=5)
    # The damaged file may be what plans the unfinished trial, which is no orphan then.
    assert [(one["kind"], Path(one["file"]).name) for one in found["problems"]] == [("damaged", "000002.json")]
    assert found["sweeps"]["tiny"] == {"planned": 1, "recorded": 1}
    moved = world.json("verify", path, "--move-aside", code=5)
    assert [one["moved_to"] is not None for one in moved["problems"]] == [True]
    kinds = [one["kind"] for one in world.json("verify", path, code=5)["problems"]]
    assert set(kinds) == {"orphaned"}


def test_without_suggestions_a_sweep_says_nothing_of_a_study(world: World) -> None:
    path = write_sweep(world.folder / "s.yaml", retrain=None)
    assert world.json("plan", path)["study"] is None
    assert "suggestion" not in world.do("status", path)
