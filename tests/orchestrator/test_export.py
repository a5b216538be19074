"""`stcnas export`: tables and cells of one sweep, in its own words, whole or not at all."""

import collections
import csv
import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from driver import write_sweep
from recorded import rows_of

from orchestrator import cli
from orchestrator.api import Sweep
from orchestrator.plan import make_plan
from stcnas_core.genotype import Genotype
from stcnas_core.published_cells import named

DARTS_CELLS = ("DARTS_V1", "DARTS_V2")


@pytest.fixture
def stcnas(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]) -> Any:
    """Runs `stcnas` in `tmp_path`; returns exit code, output and errors."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str | Path) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["stcnas", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        out, err = capsysbinary.readouterr()
        return int(end.value.code or 0), out.decode(), err.decode()

    return call


def recorded(folder: Path, file_name: str = "s.yaml", **changes: Any) -> Sweep:
    """A sweep of the DARTS space, all of it recorded: a setting's first seed found DARTS_V1, its second DARTS_V2."""
    file = write_sweep(
        folder / file_name,
        **{"search": {"space": "darts", "cells": 3}, "retrain": {"cells": 3, "auxiliary_weight": 0.0}, **changes},
    )
    sweep = Sweep(file, folder / "results")
    plan = make_plan(sweep.spec)
    cells = {search.id: named(DARTS_CELLS[index % 2]).canonical_text() for index, search in enumerate(plan.searches)}
    for trial in plan.trials(cells):
        sweep.ledger.record(*rows_of(plan, trial, cells.get(trial.id)))
    return sweep


def read(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_tables_are_csv_in_the_order_of_the_plan(stcnas: Any, tmp_path: Path) -> None:
    sweep = recorded(tmp_path)
    code, out, _ = stcnas("export", sweep.file, "trials")
    assert code == 0
    rows = read(out)
    assert [(row["stage"], row["seed"], row["retrain_seed"]) for row in rows] == [
        ("search", "0", ""),
        ("search", "1", ""),
        ("retrain", "0", "0"),
        ("retrain", "1", "0"),
    ]
    assert [row["trial_id"] for row in rows] == sweep.plan()["id"].tolist()
    assert [(row["valid_accuracy"], row["test_accuracy"]) for row in rows[::2]] == [("50", ""), ("", "60")]
    assert rows[0]["search_augment"] == "false"
    assert rows[0]["error"] == ""
    assert json.loads(rows[2]["config"])["config"]["genotype"] == rows[2]["genotype"]
    epochs = read(stcnas("export", sweep.file, "epochs")[1])
    assert [(row["trial_id"], row["epoch"]) for row in epochs] == [
        (row["trial_id"], epoch) for row in rows for epoch in ("0", "1")
    ]
    assert {(row["setting"], row["seed"]) for row in epochs} == {("default", "0"), ("default", "1")}


def test_a_list_is_json(stcnas: Any, tmp_path: Path) -> None:
    sweep = recorded(tmp_path, search={"space": "darts", "cells": 3, "method": "darts", "alpha_betas": [0.5, 0.9]})
    assert read(stcnas("export", sweep.file, "trials")[1])[0]["search_alpha_betas"] == "[0.5, 0.9]"


def test_shared_trials_have_the_settings_of_the_sweep_that_is_asked_about(stcnas: Any, tmp_path: Path) -> None:
    recorded(tmp_path, grid={"lr": [0.025, 0.05]})
    other = recorded(tmp_path, "other.yaml", name="other", variants={"mine": {"lr": 0.05}}, grid=None, seeds=[1])
    assert len(other.ledger.ids()) == 6, "it had nothing to record of its own"
    rows = read(stcnas("export", other.file, "trials")[1])
    assert [(row["sweep"], row["stage"], row["setting"], row["seed"]) for row in rows] == [
        ("tiny", "search", "mine", "1"),
        ("tiny", "retrain", "mine", "1"),
    ]
    assert rows[1]["parent"] == rows[0]["trial_id"]
    alphas = read(stcnas("export", other.file, "alphas")[1])
    assert {(row["trial_id"], row["setting"]) for row in alphas} == {(rows[0]["trial_id"], "mine")}


def test_cells_are_json_that_stcnas_reads(stcnas: Any, tmp_path: Path) -> None:
    sweep = recorded(tmp_path, genotypes={"theirs": "PDARTS"})
    found = json.loads(stcnas("export", sweep.file, "genotypes")[1])
    assert found["sweep"] == "tiny"
    cells = {(cell["setting"], cell["seed"]): cell for cell in found["cells"]}
    assert list(cells) == [("default", 0), ("default", 1), ("theirs", None)]
    for key, name in zip(cells, ("DARTS_V1", "DARTS_V2", "PDARTS"), strict=True):
        assert Genotype.parse(cells[key]["text"]) == Genotype.parse(json.dumps(cells[key]["genotype"])) == named(name)
        assert [one["test_accuracy"] for one in cells[key]["trained"]] == [60.0]
    assert cells["default", 0]["derived_accuracy"] == 40.0


def test_darts_text_is_python_of_the_darts_repository(stcnas: Any, tmp_path: Path) -> None:
    variants = {"a loss": {}, "a-loss": {"lr": 0.05}, "b (2)": {"lr": 0.1}}
    sweep = recorded(tmp_path, variants=variants, retrain=None)
    code, out, _ = stcnas("export", sweep.file, "darts")
    assert code == 0
    # What genotypes.py of the DARTS repository defines above the cells.
    names: dict[str, Any] = {
        "Genotype": collections.namedtuple("Genotype", "normal normal_concat reduce reduce_concat")
    }
    exec(out, names)
    made = {name: value for name, value in names.items() if name.startswith("TINY")}
    assert list(made) == [
        "TINY_A_LOSS_SEED_0",
        "TINY_A_LOSS_SEED_1",
        "TINY_A_LOSS_SEED_0_2",
        "TINY_A_LOSS_SEED_1_2",
        "TINY_B_2_SEED_0",
        "TINY_B_2_SEED_1",
    ]
    assert [Genotype.parse(repr(value)) for value in made.values()] == [named(name) for name in DARTS_CELLS] * 3
    assert made["TINY_A_LOSS_SEED_0"].normal[0] == ("sep_conv_3x3", 0)


def test_a_cell_of_another_space_has_no_darts_text(stcnas: Any, real_sweep: Path) -> None:
    code, _, err = stcnas("export", real_sweep / "sweep.yaml", "darts", "--storage", real_sweep / "results")
    assert code == 2
    assert "nasbench201 cannot be written as DARTS does" in err


def test_to_a_file_a_folder_or_several(stcnas: Any, tmp_path: Path) -> None:
    sweep = recorded(tmp_path)
    assert stcnas("export", sweep.file, "trials", "--out", "one.csv")[1] == "one.csv\n"
    (tmp_path / "there").mkdir()
    assert stcnas("export", sweep.file, "trials", "--out", "there")[1] == "there/trials.csv\n"
    assert stcnas("export", sweep.file, "trials", "--out", "new/")[1] == "new/trials.csv\n"
    code, out, _ = stcnas("export", sweep.file, "alphas", "darts", "--out", "two", "--json")
    assert (code, json.loads(out)) == (0, {"files": ["two/alphas.csv", "two/genotypes.py"], "told": {}})
    copies = ("one.csv", "there/trials.csv", "new/trials.csv")
    assert len({(tmp_path / name).read_bytes() for name in copies}) == 1


def test_a_failing_write_leaves_what_was_there(stcnas: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sweep = recorded(tmp_path)
    (tmp_path / "one.csv").write_text("old")

    def full(self: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    code, _, err = stcnas("export", sweep.file, "trials", "--out", "one.csv")
    assert (code, err) == (2, "error: cannot write one.csv: No space left on device\n")
    assert (tmp_path / "one.csv").read_text() == "old"
    assert not list(tmp_path.glob(".one.csv*"))


def test_a_sweep_that_has_not_begun_has_headers_alone(stcnas: Any, tmp_path: Path) -> None:
    sweep = write_sweep(tmp_path / "s.yaml")
    code, out, _ = stcnas("export", sweep, "ranks")
    assert (code, len(out.splitlines())) == (0, 1)
    assert json.loads(stcnas("export", sweep, "genotypes")[1]) == {"sweep": "tiny", "cells": []}
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["weights"], "cannot export 'weights'; there are trials, epochs"),
        (["trials", "epochs"], "--out: name the folder that trials, epochs go into"),
        (["tensorboard"], "--out: name the folder that tensorboard go into"),
        (["tensorboard", "--out", "s3://bucket/x"], "tensorboard writes into a folder, not to s3://bucket/x"),
        (["trials", "--out", "s.yaml/x"], "cannot write s.yaml/x"),
    ],
)
def test_bad_input_is_one_message(stcnas: Any, sweep: Path, tmp_path: Path, arguments: list[str], message: str) -> None:
    (tmp_path / "s.yaml").write_text("")
    code, _, err = stcnas("export", sweep, *arguments)
    assert code == 2
    assert err.startswith("error: ")
    assert message in err
