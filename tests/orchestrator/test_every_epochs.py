"""Retraining of cells that a search derived on its way: planned, handed out once, run, and found again."""

import json
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from driver import write_sweep
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator import cli
from orchestrator.collect import collect
from orchestrator.findings import Planned, plans
from orchestrator.frontier import Frontier
from orchestrator.job import Job
from orchestrator.ledger import Ledger
from orchestrator.plan import Plan, make_plan, trial_id
from orchestrator.spec import Sweep, load_sweep
from orchestrator.storage import LocalStorage
from orchestrator.verify import inspect
from stcnas_core.config import RetrainConfig
from stcnas_core.errors import InputError

CELLS = [f"|{op}~0|+|{op}~0|{op}~1|+|{op}~0|{op}~1|{op}~2|" for op in ("skip_connect", "nor_conv_1x1", "nor_conv_3x3")]


def planned(**parts: Any) -> Plan:
    search = {"space": "nasbench201", "cells": 1, "channels": 4, "epochs": 6}
    return make_plan(
        Sweep(**{"name": "x", "search": search, "retrain": {"cells": 1, "channels": 4, "every_epochs": 2}, **parts})
    )


def id_of(cell: str, seed: int = 0) -> str:
    return trial_id("retrain", RetrainConfig(genotype=cell, cells=1, channels=4, seed=seed), "digits@scikit-learn")


def test_cells_that_are_not_known_yet_are_counted() -> None:
    plan = planned(retrain={"cells": 1, "channels": 4, "every_epochs": 2, "seeds": [0, 3]})
    (search, *later) = plan.trials({})
    # After epochs 2 and 4; the sixth is the last.
    stems = [search.id, f"{search.id}-e2", f"{search.id}-e4"]
    assert [trial.id for trial in later] == [f"{stem}-r{seed}" for stem in stems for seed in (0, 3)]
    assert [trial.epoch for trial in later] == [None, None, 2, 2, 4, 4]


def test_known_cells_have_the_ids_of_their_retrainings_and_equal_ones_are_retrained_once() -> None:
    plan = planned(seeds=[0, 1])
    first, second = plan.searches
    derived = {first.id: {2: CELLS[0], 3: CELLS[2], 4: CELLS[1], 6: CELLS[1]}, second.id: {2: CELLS[1], 4: CELLS[0]}}
    trials = plan.trials({first.id: CELLS[1], second.id: CELLS[1]}, derived)[2:]
    assert [(trial.id, trial.epoch) for trial in trials] == [(id_of(CELLS[1]), None), (id_of(CELLS[0]), 2)]
    assert {trial.parent for trial in trials} == {first.id}


def test_an_epoch_that_had_decided_on_no_cell_has_none_to_retrain() -> None:
    plan = planned()
    (search,) = plan.searches
    trials = plan.trials({search.id: CELLS[1]}, {search.id: {4: CELLS[0], 6: CELLS[1]}})
    assert [trial.id for trial in trials[1:]] == [id_of(CELLS[1]), id_of(CELLS[0])]


@settings(max_examples=50)
@given(st.data())
def test_every_cell_is_handed_out_once(data: st.DataObject) -> None:
    plan = planned(seeds=[0, 1, 2])
    cell = st.sampled_from(CELLS)
    cells = {search.id: data.draw(cell) for search in plan.searches}
    derived = {search.id: data.draw(st.dictionaries(st.integers(1, 5), cell)) for search in plan.searches}
    known = data.draw(st.integers(0, 3))
    done = {search.id: cells[search.id] for search in plan.searches[:known]}
    states: Any = dict.fromkeys(done, "done")
    frontier = Frontier(plan, states, done, lambda trial_id: False, None, derived)
    started = []
    while (trial := frontier.take()) is not None:
        started.append(trial.id)
        frontier.ended(trial.id, cells.get(trial.id), derived.get(trial.id, {}))
    assert frontier.finished
    assert sorted(started) == sorted(trial.id for trial in plan.trials(cells, derived) if trial.id not in done)


@pytest.mark.parametrize(
    ("every", "message"),
    [(6, "has no effect, since no search has more than 6 epochs"), (0, "every_epochs"), ("two", "every_epochs")],
)
def test_what_has_no_effect_or_makes_no_sense_is_refused(tmp_path: Path, every: Any, message: str) -> None:
    sweep = write_sweep(tmp_path / "s.yaml", search={"epochs": 6}, retrain={"every_epochs": every})
    with pytest.raises(InputError, match=message) as caught:
        make_plan(load_sweep(sweep))
    assert "line " in str(caught.value)


def test_a_profile_takes_it_back(tmp_path: Path) -> None:
    sweep = write_sweep(
        tmp_path / "s.yaml", retrain={"every_epochs": 1}, profiles={"last": {"retrain": {"every_epochs": None}}}
    )
    assert len(make_plan(load_sweep(sweep)).trials({})) == 6
    assert len(make_plan(load_sweep(sweep, profile="last")).trials({})) == 4


def test_too_many_are_refused() -> None:
    with pytest.raises(InputError, match="100,000"):
        planned(search={"space": "nasbench201", "epochs": 50_000}, seeds=[0, 1, 2], retrain={"every_epochs": 1})


def test_the_ledger_knows_the_cells_on_the_way_of_collected_searches_too(tmp_path: Path) -> None:
    ledger = Ledger(LocalStorage(tmp_path))
    plan = planned(seeds=[0, 1])
    for search, shift in zip(plan.searches, (0, 1), strict=True):
        rows = [
            {"trial_id": search.id, "stage": "search", "epoch": epoch, "genotype": CELLS[(epoch + shift) % 3]}
            | {"skip_connects": None if epoch == 0 else 1, "device_seconds": 1.0}
            for epoch in range(3)
        ]
        row = {"trial_id": search.id, "stage": "search", "state": "finished", "genotype": CELLS[0], "attempt": 1}
        ledger.record(row, rows)
    expected = {2: CELLS[2], 3: CELLS[0]}
    assert ledger.derived([plan.searches[1].id]) == {plan.searches[1].id: expected}
    before = ledger.derived(search.id for search in plan.searches)
    collect(ledger)
    assert ledger.derived(search.id for search in plan.searches) == before
    assert before[plan.searches[0].id] == {2: CELLS[1], 3: CELLS[2]}


def test_a_sweep_runs_to_its_end_and_knows_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stcnas(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["stcnas", *arguments, "--storage", str(tmp_path / "results")])
        with pytest.raises(SystemExit) as end:
            cli.main()
        out, err = capsys.readouterr()
        assert not end.value.code, err
        return out

    changes = {"search": {"epochs": 5}, "retrain": {"every_epochs": 2, "epochs": 1}}
    sweep = str(write_sweep(tmp_path / "s.yaml", seeds=[0], **changes))
    assert json.loads(stcnas("plan", sweep, "--json"))["planned"] == 4
    # Made-up searches derive another cell after every epoch.
    out = stcnas("simulate", sweep, "--deaths", "0.3")
    assert "cell of epoch 2, retrain seed 0: finished" in out
    epochs = pd.read_parquet(tmp_path / "results" / "epochs").query("stage == 'search'").set_index("epoch")
    wanted = {epochs.loc[epoch, "genotype"] for epoch in (1, 3, 4)}
    assert len(wanted) == 3
    trials = pd.read_parquet(tmp_path / "results" / "trials").query("stage == 'retrain'")
    assert sorted(trials["genotype"]) == sorted(wanted)
    found = json.loads(stcnas("status", sweep, "--json"))
    assert (found["planned"], found["missing"]) == (4, 0)
    assert "all 4 trials are done" in stcnas("simulate", sweep)
    assert found["trials"][2]["epoch"] == 2


def test_verify_expects_the_cells_on_the_way(tmp_path: Path) -> None:
    ledger = Ledger(LocalStorage(tmp_path / "results"))
    sweep = write_sweep(tmp_path / "s.yaml", seeds=[0], search={"epochs": 2}, retrain={"every_epochs": 1})
    plan = make_plan(load_sweep(sweep))
    (search,) = plan.searches
    rows = [
        {"trial_id": search.id, "stage": "search", "epoch": epoch, "genotype": CELLS[epoch], "skip_connects": 1}
        for epoch in range(2)
    ]
    row = Job.of(plan, search, "", 0, False).row(1) | {"state": "finished", "genotype": CELLS[1]}
    ledger.record(row, rows)
    expected = {trial.id for trial in plan.trials({search.id: CELLS[1]}, {search.id: {1: CELLS[0]}})}
    assert len(expected) == 3
    assert plans(ledger, inspect(ledger), [sweep], profile=None, overrides=()) == {
        "tiny": Planned(expected, whole=True)
    }
