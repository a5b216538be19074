"""docs/recipes.md and docs/schema.md say what is so: each block runs on a real ledger, the page of columns is made."""

import contextlib
import importlib.util
import io
import shlex
import sys
from pathlib import Path

import pytest
from pages import ROOT, blocks

from orchestrator import cli, records
from orchestrator.pages.schema_page import page, sentences
from orchestrator.schema import COLUMNS
from stcnas_core.config import RetrainConfig, SearchConfig

RECIPES = blocks(ROOT / "docs" / "recipes.md")


@pytest.fixture
def here(real_sweep: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of its own that sees the real sweep."""
    for name in ("sweep.yaml", "results"):
        (tmp_path / name).symlink_to(real_sweep / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("reader", ["pandas", "duckdb", "polars", "stcnas"])
def test_recipes_run(reader: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if reader != "stcnas" and importlib.util.find_spec(reader) is None:
        pytest.skip(f"{reader} is not installed; it comes with the extra `dev`")
    found = [block for block in RECIPES if block.heading == reader and block.language == "python"]
    assert found
    names: dict[str, object] = {}
    for block in found:
        exec(compile(block.text, f"docs/recipes.md, {reader}", "exec"), names)
    out = capsys.readouterr().out
    assert "js_lambda=0->2" in out or reader == "polars"
    if reader == "polars":
        assert "shape: (2, 4)" in out, "two settings"


def test_readers_agree(here: Path) -> None:
    pandas = pytest.importorskip("pandas")
    duckdb = pytest.importorskip("duckdb", reason="duckdb is not installed; it comes with the extra `dev`")
    polars = pytest.importorskip("polars", reason="polars is not installed; it comes with the extra `dev`")
    mine = pandas.read_parquet("results/trials").sort_values("trial_id")
    for other in (
        duckdb.sql("select * from 'results/trials/**/*.parquet' order by trial_id").fetchall(),
        polars.read_parquet("results/trials/**/*.parquet").sort("trial_id").rows(),
    ):
        ids = [row[mine.columns.get_loc("trial_id")] for row in other]
        accuracies = [row[mine.columns.get_loc("test_accuracy")] for row in other]
        assert ids == mine["trial_id"].tolist()
        assert [value for value in accuracies if value is not None] == mine["test_accuracy"].dropna().tolist()


def test_commands_run(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (shell,) = [block.text for block in RECIPES if block.language == "sh"]
    lines = shell.splitlines()
    assert len(lines) == 4
    for line in lines:
        command, _, target = (part.strip() for part in line.partition("#")[0].partition(">"))
        monkeypatch.setattr(sys, "argv", shlex.split(command))
        out = io.TextIOWrapper(io.BytesIO(), write_through=True)
        with contextlib.redirect_stdout(out), pytest.raises(SystemExit) as end:
            cli.main()
        assert end.value.code in (0, None)
        if target:
            Path(target).write_bytes(out.buffer.getvalue())  # type: ignore[attr-defined]
    assert {path.name for path in Path("exported").iterdir()} == {
        "trials.csv",
        "epochs.csv",
        "alphas.csv",
        "ranks.csv",
        "genotypes.json",
    }
    assert Path("trials.csv").read_bytes() == Path("exported/trials.csv").read_bytes()
    assert Path("cells.json").read_bytes() == Path("exported/genotypes.json").read_bytes()
    assert Path("tables/ablation.tex").read_text().startswith(r"\begin{table}")


def test_the_page_of_columns_is_current() -> None:
    assert (ROOT / "docs" / "schema.md").read_text() == page(), (
        "run python -m orchestrator.pages.schema_page > docs/schema.md and commit what it writes"
    )


def test_every_column_has_a_sentence() -> None:
    said = {table: {column.name: column.says for column in columns} for table, columns in COLUMNS.items()}
    for prefix, config in (("search", SearchConfig), ("retrain", RetrainConfig)):
        said["trials"] |= {f"{prefix}_{name}": text for name, text in sentences(config).items()}
    for table, schema in records.SCHEMAS.items():
        for name in schema.names:
            assert said[table][name].endswith("."), f"{table}.{name}"
