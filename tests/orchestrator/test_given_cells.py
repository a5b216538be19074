"""Sweeps that retrain or look up cells that they name, without a search or beside one."""

import json
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from benchmark_tables import every_cell, worth
from driver import write_sweep

from orchestrator import cli
from orchestrator.frontier import Frontier
from orchestrator.ledger import Ledger
from orchestrator.plan import make_plan
from orchestrator.shard import Shard
from orchestrator.spec import Sweep, load_sweep
from orchestrator.storage import LocalStorage
from stcnas_core.errors import InputError
from stcnas_core.published_cells import PUBLISHED_CELLS

RETRAIN = {"cells": 3, "channels": 4, "auxiliary_weight": 0.0, "seeds": [0, 1]}
SMALL = {"space": "nasbench201", "cells": 1, "channels": 4, "epochs": 2}
CELL = "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|avg_pool_3x3~0|none~1|nor_conv_1x1~2|"


def sweep(**parts: Any) -> Sweep:
    return Sweep(**{"name": "x", "retrain": RETRAIN, **parts})


def test_published_cells_are_settings_that_are_retrained_at_each_seed() -> None:
    plan = make_plan(sweep(genotypes=["DARTS_V2", "PDARTS"]))
    assert plan.searches == ()
    trials = plan.trials({})
    assert [(trial.setting, trial.stage, trial.seed, trial.retrain_seed, trial.parent) for trial in trials] == [
        ("DARTS_V2", "retrain", None, 0, None),
        ("DARTS_V2", "retrain", None, 1, None),
        ("PDARTS", "retrain", None, 0, None),
        ("PDARTS", "retrain", None, 1, None),
    ]
    # The same trials, whatever the cell is called.
    own = {"mine": PUBLISHED_CELLS["DARTS_V2"].text}
    assert [trial.id for trial in make_plan(sweep(genotypes=own)).trials({})] == [trial.id for trial in trials[:2]]


def test_beside_searches_a_cell_that_is_found_is_retrained_once() -> None:
    plan = make_plan(sweep(genotypes={"known": CELL}, search=SMALL, seeds=[0, 1]))
    assert [trial.stage for trial in plan.trials({})] == ["search"] * 2 + ["retrain"] * 6
    first, second = plan.searches
    other = CELL.replace("skip_connect", "nor_conv_1x1")
    trials = plan.trials({first.id: CELL, second.id: other})
    assert [trial.setting for trial in trials[2:]] == ["known", "known", "default", "default"]


def test_all_that_is_given_can_start_at_once_and_is_shared_out_to_shards() -> None:
    plan = make_plan(sweep(genotypes=list(PUBLISHED_CELLS)))
    frontier = Frontier(plan, {}, {}, lambda trial_id: False)
    taken = [frontier.take() for _ in plan.given]
    assert taken == list(plan.given)
    parts = [Shard(index, 3).part(plan).given for index in (1, 2, 3)]
    assert sorted(trial.id for part in parts for trial in part) == sorted(trial.id for trial in plan.given)
    assert all(parts)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("genotypes: [DARTS_V3]\nretrain: {}", r"line 2: genotypes: there is no published cell DARTS_V3; did you mean"),
        ("genotypes: [NASNET_A]\nretrain: {}", "line 2: genotypes: NASNET_A is no cell of the DARTS space"),
        ("genotypes: [PDARTS, PDARTS]\nretrain: {}", "line 2: genotypes: 'PDARTS' must be the name"),
        ("genotypes: {a: PDARTS, b: PDARTS}\nretrain: {}", "line 2: genotypes: 'b' and 'a' are the same cell"),
        ("genotypes: 3\nretrain: {}", "line 2: genotypes must be a mapping"),
        ("genotypes: [PDARTS]", "line 2: nothing is done with these cells"),
        ("genotypes: [PDARTS]\nretrain: {}", "retrain.auxiliary_weight: 0.4 asks for the auxiliary head"),
        ("genotypes: [PDARTS]\nseeds: [1]\nretrain: {auxiliary_weight: 0.0}", "line 3: seeds are of searches"),
        (
            "genotypes: {default: PDARTS}\nsearch: {epochs: 2}\nretrain: {auxiliary_weight: 0.0}",
            "line 2: 'default' is a setting of the searches too",
        ),
        ("genotypes: [PDARTS]\nlookup: {path: /t.csv}", "line 3: setting 'PDARTS' is of the darts space"),
    ],
)
def test_what_makes_no_sense_is_refused_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "s.yaml").write_text(f"name: x\n{text}\n")
    with pytest.raises(InputError, match=message):
        make_plan(load_sweep(tmp_path / "s.yaml"))


@pytest.fixture
def stcnas(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    def call(*arguments: str | Path) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["stcnas", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        out, err = capsys.readouterr()
        return int(end.value.code or 0), out, err

    return call


def test_given_cells_from_plan_to_report(stcnas: Any, tmp_path: Path) -> None:
    every_cell().to_parquet(tmp_path / "t.parquet")
    at = ["--storage", str(tmp_path / "results")]
    small = write_sweep(
        tmp_path / "s.yaml",
        search=None,
        seeds=None,
        genotypes={"mixed": CELL, "conv": CELL.replace("none", "nor_conv_3x3")},
        retrain={"seeds": [0, 1], "dataset": "digits"},
        lookup={"path": str(tmp_path / "t.parquet")},
    )
    assert stcnas("plan", small, *at)[0] == 0
    code, out, err = stcnas("run", small, *at, "--backend", "inline")
    assert (code, err) == (0, "")
    assert "lookup mixed: looked up, " in out
    assert "retrain conv, retrain seed 1: finished, 2 epochs" in out
    trials = Ledger(LocalStorage(tmp_path / "results")).trials()
    assert trials.groupby("stage").size().to_dict() == {"lookup": 2, "retrain": 4}
    assert trials["seed"].isna().all()
    assert (trials[trials["stage"] == "retrain"]["params"] > 0).all()
    for verb in ("verify", "collect", "status", "report"):
        assert stcnas(verb, *([] if verb == "collect" else [small]), *at)[0] == 0

    report = tmp_path / "results" / "report" / "tiny"
    rows = pd.read_csv(report / "ablation.csv").set_index("setting")
    assert list(rows.index) == ["conv", "mixed"]
    assert list(rows["n"]) == [2, 2]
    accuracies = trials[trials["stage"] == "retrain"].groupby("setting")["test_accuracy"].mean()
    assert rows.loc["mixed", "test_accuracy_mean"] == pytest.approx(accuracies["mixed"])
    assert rows.loc["mixed", "lookup_cifar10_test_mean"] == worth(CELL)
    assert rows["not_there"].isna().all()
    assert "cells that the sweep names: n is their trainings" in (report / "ablation.md").read_text()
    assert not (report / "paired.csv").exists()
    page = (report / "index.html").read_text()
    assert "Complete: 6 of 6 trials finished" in page
    assert "no search has finished" not in page


def test_a_half_done_report_of_given_cells(stcnas: Any, tmp_path: Path) -> None:
    at = ["--storage", str(tmp_path / "results")]
    small = write_sweep(
        tmp_path / "s.yaml",
        search=None,
        seeds=None,
        genotypes=["PDARTS"],
        retrain={"cells": 3, "auxiliary_weight": 0.0},
    )
    assert stcnas("report", small, *at)[0] == 0
    rows = pd.read_csv(tmp_path / "results" / "report" / "tiny" / "ablation.csv")
    assert rows.loc[0, "not_there"] == "1 retraining missing"


def test_a_name_is_a_genotype_on_the_command_line(stcnas: Any) -> None:
    code, out, _ = stcnas("genotype", "PDARTS")
    assert code == 0
    assert out.startswith("Genotype(normal=[('skip_connect', 0), ('dil_conv_3x3', 1)")
    assert "published as PDARTS: P-DARTS on CIFAR-10 (Chen et al., ICCV 2019)" in out
    found = json.loads(stcnas("genotype", PUBLISHED_CELLS["PDARTS"].text, "--json")[1])
    assert found["published_as"] == "PDARTS"
    assert json.loads(stcnas("genotype", CELL, "--json")[1])["source"] is None
    code, _, err = stcnas("genotype", "ENAS")
    assert code == 2
    assert "five intermediate nodes" in err
