"""The lookup stage: planned, done by the driver, recorded once, verified, and shown."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from benchmark_tables import REAL, every_cell, needs_the_real_table, worth
from driver import ROOT, Driver, write_sweep

from orchestrator import api, cli, lookups
from orchestrator.frontier import Frontier
from orchestrator.ledger import Ledger
from orchestrator.plan import make_plan
from orchestrator.spec import Sweep, load_sweep
from orchestrator.storage import LocalStorage
from stcnas_core.errors import InputError
from stcnas_core.genotype import Genotype

SEARCH = {"space": "nasbench201", "cells": 1, "channels": 2, "epochs": 2}
CELL = "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|avg_pool_3x3~0|none~1|nor_conv_1x1~2|"
OTHER = CELL.replace("skip_connect", "nor_conv_1x1")


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("table") / "all.parquet"
    every_cell().to_parquet(path)
    return path


@pytest.fixture
def stcnas(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs `stcnas` on one storage in this process; returns exit code, output and errors."""

    def call(*arguments: str | Path) -> tuple[int, str, str]:
        storage = ["--storage", str(tmp_path / "results")]
        monkeypatch.setattr(sys, "argv", ["stcnas", *map(str, arguments), *storage])
        with pytest.raises(SystemExit) as end:
            cli.main()
        out, err = capsys.readouterr()
        return int(end.value.code or 0), out, err

    return call


def plan_of(table: Path, **parts: Any):
    return make_plan(Sweep(**{"name": "x", "search": SEARCH, "lookup": {"path": str(table)}, **parts}))


# Plans


def test_a_search_is_followed_by_a_lookup_and_equal_cells_by_one(table: Path) -> None:
    plan = plan_of(table, seeds=[0, 1, 2])
    unknown = plan.trials({})
    assert [trial.id for trial in unknown[3:]] == [f"{search.id}-lookup" for search in plan.searches]
    assert {trial.stage for trial in unknown[3:]} == {"lookup"}
    cells = dict(zip((search.id for search in plan.searches), (CELL, OTHER, CELL), strict=True))
    first, second = plan.trials(cells)[3:]
    assert (first.seed, second.seed) == (0, 1)
    assert (first.parent, first.data) == (plan.searches[0].id, plan.lookup_data)
    assert len(first.id) == 20


def test_the_table_and_its_columns_are_part_of_a_lookup_and_of_nothing_else(table: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.parquet"
    every_cell().assign(cifar10_test=50.0).to_parquet(other)
    copy = tmp_path / "copy.parquet"
    copy.write_bytes(table.read_bytes())
    variants = [
        plan_of(table),
        plan_of(copy),
        plan_of(other),
        plan_of(table, lookup={"path": str(table), "columns": {"cifar10_test": "cifar10_valid"}}),
    ]
    ids = [plan.lookups(plan.searches[0], CELL)[0].id for plan in variants]
    assert ids[0] == ids[1]
    assert len(set(ids)) == 3
    assert len({lookups.benchmark_id(plan) for plan in variants}) == 3
    assert len({plan.searches[0].id for plan in variants}) == 1


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"search": {"cells": 3, "channels": 4}}, "setting 'default' is of the darts space"),
        ({"grid": {"space": ["nasbench201", "darts"]}}, "setting 'space=darts' is of the darts space"),
        ({"lookup": {"path": "/nowhere.parquet"}}, "there is no /nowhere.parquet"),
        ({"lookup": {}}, "where is the benchmark table"),
    ],
)
def test_what_cannot_be_looked_up_is_refused(table: Path, parts: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        plan_of(table, **parts)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: x\nlookup: {file: a}", "line 2: unknown key lookup.file"),
        ("name: x\nlookup: {columns: {cifar10: a}}", "line 2: .*lookup.columns.*cifar10"),
        ("name: x\nlookup: 3", "line 2: lookup must be a mapping"),
    ],
)
def test_bad_sections_are_refused_with_their_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "s.yaml").write_text(text)
    with pytest.raises(InputError, match=message):
        load_sweep(tmp_path / "s.yaml")


def test_lookups_are_handed_out_to_the_driver_alone(table: Path) -> None:
    plan = plan_of(table, retrain={"cells": 1, "channels": 2})
    frontier = Frontier(plan, {}, {}, lambda trial_id: False)
    search = frontier.take()
    assert search is not None
    new = frontier.ended(search.id, CELL)
    assert [trial.stage for trial in new] == ["lookup", "retrain"]
    assert frontier.take() == new[1]
    assert frontier.take() is None
    frontier.ended(new[1].id, None)
    assert not frontier.finished
    assert frontier.take_lookup() == new[0]
    assert frontier.take_lookup() is None
    frontier.ended(new[0].id, None)
    assert frontier.finished


# The whole path


def test_from_plan_to_report(stcnas: Any, table: Path, tmp_path: Path) -> None:
    sweep = write_sweep(tmp_path / "s.yaml", lookup={"path": str(table)})
    planned = json.loads(stcnas("plan", sweep, "--json")[1])
    assert [row["stage"] for row in planned["trials"]] == ["search"] * 2 + ["lookup", "retrain"] * 2
    code, out, err = stcnas("run", sweep, "--backend", "inline")
    assert (code, err) == (0, "")
    assert "note: the benchmark table" in out
    assert "lookup default, seed 0: looked up, " in out

    ledger = Ledger(LocalStorage(tmp_path / "results"))
    trials = ledger.trials()
    found = trials[trials["stage"] == "lookup"]
    assert len(found) == len(set(found["genotype"])) > 0
    assert set(trials[trials["stage"] == "search"]["genotype"]) == set(found["genotype"])
    for row in found.to_dict("records"):
        assert row["state"] == "finished"
        assert row["lookup_cifar10_test"] == worth(row["genotype"])
        assert pd.isna(row["lookup_cifar100_test"])
        assert row["data"].startswith("nasbench201@parquet:")
    assert trials[trials["stage"] != "lookup"]["lookup_cifar10_test"].isna().all()

    status = json.loads(stcnas("status", sweep, "--json")[1])
    assert status["missing"] == status["failed"] == 0
    # The ledger has its own copy: what only reads needs the file no more.
    table_elsewhere = table.rename(table.with_name("elsewhere.parquet"))
    try:
        assert json.loads(stcnas("status", sweep, "--json")[1])["trials"] == status["trials"]
        assert stcnas("report", sweep)[0] == 0
        assert stcnas("verify", sweep)[0] == 0
        code, out, _ = stcnas("run", sweep, "--backend", "inline")
        assert code == 2
    finally:
        table_elsewhere.rename(table)
    report = tmp_path / "results" / "report" / "tiny"
    runs = pd.read_csv(report / "runs.csv")
    assert list(runs["lookup_cifar10_test"]) == [worth(text) for text in runs["genotype"]]
    assert "CIFAR-10 test, %" in (report / "ablation.md").read_text()

    before = {path: path.read_bytes() for path in (tmp_path / "results" / "trials").iterdir()}
    assert stcnas("run", sweep, "--backend", "inline")[0] == 0
    assert {path: path.read_bytes() for path in before} == before
    assert stcnas("collect")[0] == 0
    assert stcnas("verify", sweep)[0] == 0
    assert json.loads(stcnas("status", sweep, "--json")[1])["missing"] == 0


def test_a_table_that_is_not_named_yet_is_asked_for_by_run_alone(stcnas: Any, table: Path, tmp_path: Path) -> None:
    sweep = write_sweep(tmp_path / "s.yaml", lookup={"path": None}, genotypes={"mine": CELL}, retrain=None, seeds=[0])
    code, out, err = stcnas("plan", sweep, "--json")
    assert (code, err) == (0, "note: lookup.path names no benchmark table yet; `run` asks for it\n")
    stages = [(row["stage"], row["state"]) for row in json.loads(out)["trials"]]
    assert stages == [("search", "missing"), ("lookup", "missing"), ("lookup", "missing")]
    assert [stcnas(verb, sweep)[0] for verb in ("status", "report", "verify")] == [0, 0, 0]
    code, _, err = stcnas("run", sweep, "--backend", "inline")
    assert code == 2
    assert "where is the benchmark table" in err
    # Whoever has looked since before the first lookup sees what it names.
    looking = api.Sweep(sweep, tmp_path / "results", say=lambda line: None)
    assert looking.status()["missing"] == 3
    assert stcnas("run", sweep, "--backend", "inline", "--set", f"lookup.path={table}")[0] == 0
    assert looking.status()["missing"] == 0
    code, out, err = stcnas("status", sweep, "--json")
    assert "is taken to be the recorded one, nasbench201@parquet:" in err
    assert json.loads(out)["done"] == 3


def test_a_lookup_that_is_added_later_starts_neither_torch_nor_ray(stcnas: Any, table: Path, tmp_path: Path) -> None:
    sweep = write_sweep(tmp_path / "s.yaml", retrain=None)
    assert stcnas("run", sweep, "--backend", "inline")[0] == 0
    arguments = ["stcnas", "run", str(sweep), "--set", f"lookup.path={table}", "--storage", str(tmp_path / "results")]
    program = (
        f"import sys; from orchestrator import cli; sys.argv = {arguments}\n"
        "try: cli.main()\n"
        "except SystemExit as end: print({'torch', 'ray'} & set(sys.modules), end.code)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "set() 0"
    trials = Ledger(LocalStorage(tmp_path / "results")).trials()
    assert set(trials["stage"]) == {"search", "lookup"}


def test_a_cell_that_the_table_lacks_is_a_failed_trial_that_says_so(stcnas: Any, tmp_path: Path) -> None:
    # In the one cell that is there node 2 is the input, so that many others compute the same.
    lone = "|none~0|+|skip_connect~0|none~1|+|none~0|none~1|none~2|"
    table = pd.DataFrame({"arch_str": [lone], "cifar10_test": [10.0]})
    table.to_parquet(tmp_path / "t.parquet")
    sweep = write_sweep(tmp_path / "s.yaml", lookup={"path": str(tmp_path / "t.parquet")}, retrain=None, seeds=[0])
    code, out, _ = stcnas("run", sweep, "--backend", "inline")
    assert code == 3
    assert "is not in the benchmark table (1 cells, nasbench201@parquet:" in out
    found = json.loads(stcnas("status", sweep, "--json")[1])
    (failure,) = found["failures"]
    assert (failure["stage"], failure["error_kind"]) == ("lookup", "not_found")
    assert found["given_up"] == []
    assert stcnas("verify", sweep)[0] == 0
    assert stcnas("report", sweep)[0] == 0

    every_cell().to_parquet(tmp_path / "t.parquet")
    code, out, _ = stcnas("run", sweep, "--backend", "inline")
    assert code == 0


def test_an_isomorphic_cell_is_named_and_not_taken(tmp_path: Path) -> None:
    twin = "|none~0|+|none~0|none~1|+|nor_conv_1x1~0|none~1|none~2|"
    pd.DataFrame({"arch_str": [twin], "cifar10_test": [70.0]}).to_parquet(tmp_path / "t.parquet")
    plan = plan_of(tmp_path / "t.parquet")
    ledger = Ledger(LocalStorage(tmp_path / "results"))
    (trial,) = plan.lookups(plan.searches[0], "|skip_connect~0|+|none~0|skip_connect~1|+|none~0|none~1|nor_conv_1x1~2|")
    said = lookups.Lookups(plan, ledger, lambda line: None).record(trial)
    assert said.state == "failed"
    assert f"the isomorphic {twin} is, but what another training reached" in (said.error or "")


def test_a_table_that_changes_under_a_run_is_refused(tmp_path: Path) -> None:
    every_cell().to_parquet(tmp_path / "t.parquet")
    plan = plan_of(tmp_path / "t.parquet")
    every_cell().assign(cifar10_test=50.0).to_parquet(tmp_path / "t.parquet")
    ledger = Ledger(LocalStorage(tmp_path / "results"))
    with pytest.raises(InputError, match="the sweep was planned with nasbench201@parquet:"):
        lookups.Lookups(plan, ledger, lambda line: None).keep_table()
    assert ledger.benchmark(lookups.benchmark_id(plan)) is None


def test_a_damaged_copy_is_found(stcnas: Any, table: Path, tmp_path: Path) -> None:
    plan = plan_of(table)
    ledger = Ledger(LocalStorage(tmp_path / "results"))
    lookups.Lookups(plan, ledger, lambda line: None).keep_table()
    (copy,) = (tmp_path / "results" / "benchmarks").iterdir()
    assert stcnas("verify")[0] == 0
    content = bytearray(copy.read_bytes())
    content[1000] ^= 1
    copy.write_bytes(content)
    code, out, _ = stcnas("verify")
    assert code == 5
    assert f"damaged: benchmarks/{copy.name}" in out
    assert stcnas("verify", "--move-aside")[0] == 5
    assert not copy.exists()


def test_a_copy_that_is_lost_is_made_again_by_a_run_that_has_nothing_else_to_do(
    stcnas: Any, table: Path, tmp_path: Path
) -> None:
    sweep = write_sweep(tmp_path / "s.yaml", lookup={"path": str(table)}, retrain=None, seeds=[0])
    assert stcnas("run", sweep, "--backend", "inline")[0] == 0
    (copy,) = (tmp_path / "results" / "benchmarks").iterdir()
    content = copy.read_bytes()
    copy.unlink()
    code, out, _ = stcnas("run", sweep, "--backend", "inline")
    assert code == 0
    assert "note: the benchmark table" in out
    assert copy.read_bytes() == content
    assert "note: the benchmark table" not in stcnas("run", sweep, "--backend", "inline")[1]


def test_a_simulated_sweep_makes_lookups_up(driver: Driver, tmp_path: Path) -> None:
    sweep = write_sweep(tmp_path / "s.yaml", lookup={"path": "/nowhere.parquet"})
    done = driver.run("simulate", sweep)
    assert done.returncode == 0, done.stderr
    trials = Ledger(LocalStorage(driver.storage)).trials()
    found = trials[trials["stage"] == "lookup"]
    assert len(found) > 0
    assert set(found["data"]) == {"nasbench201@simulated"}
    assert set(found["device"]) == {"simulated"}


@needs_the_real_table
def test_the_real_table_is_looked_up_at_once(tmp_path: Path) -> None:
    plan = plan_of(REAL)
    best = "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|nor_conv_3x3~2|"
    assert Genotype.parse(best).canonical_text() == best
    ledger = Ledger(LocalStorage(tmp_path / "results"))
    (trial,) = plan.lookups(plan.searches[0], best)
    said = lookups.Lookups(plan, ledger, lambda line: None).record(trial)
    assert said.state == "finished"
    rows = pd.read_parquet(REAL).set_index("arch_str")
    assert said.accuracy == rows.loc[best, "cifar10_test_acc_200"]
