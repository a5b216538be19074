"""The ledger: what is recorded is recorded once, whole and typed; damage is named."""

import contextlib
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from obstore.store import MemoryStore

from orchestrator import records
from orchestrator.damage import DamagedError
from orchestrator.ledger import Ledger
from orchestrator.schema import ALPHAS, EPOCHS, SCHEMA_VERSION, TRIALS
from orchestrator.storage import LocalStorage, ObjectStorage

ID = "0123456789abcdef0123"


def row(trial_id: str = ID, **more: Any) -> dict[str, Any]:
    return {"trial_id": trial_id, "stage": "search", "state": "finished", "attempt": 1, "genotype": "g", **more}


def epoch(number: int, trial_id: str = ID) -> dict[str, Any]:
    return {"trial_id": trial_id, "stage": "search", "epoch": number, "train_loss": 1.5}


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(LocalStorage(tmp_path))


def test_reads_back_what_was_recorded(ledger: Ledger, tmp_path: Path) -> None:
    alpha = {"trial_id": ID, "epoch": 1, "cell": "normal", "node": 2, "source": 0, "operation": "none", "alpha": 0.5}
    assert ledger.record(row(seed=3, search_alpha_betas=(0.5, 0.999)), [epoch(0), epoch(1)], [alpha])
    trials = ledger.trials()
    assert list(trials.columns) == TRIALS.names
    assert trials.loc[0, "seed"] == 3
    assert list(trials.loc[0, "search_alpha_betas"]) == [0.5, 0.999]
    assert trials["error"].isna().all()
    assert (trials["schema_version"] == SCHEMA_VERSION).all()
    assert ledger.epochs()["epoch"].tolist() == [0, 1]
    assert ledger.alphas()["alpha"].tolist() == [0.5]
    assert pd.read_parquet(tmp_path / "trials")["trial_id"].tolist() == [ID]


def test_an_empty_ledger_has_all_columns(ledger: Ledger) -> None:
    for frame, schema in ((ledger.trials(), TRIALS), (ledger.epochs(), EPOCHS), (ledger.alphas(), ALPHAS)):
        assert list(frame.columns) == schema.names
        assert frame.empty


def test_never_rewrites_a_record(ledger: Ledger) -> None:
    assert ledger.record(row(genotype="first"), [epoch(0)])
    assert not ledger.record(row(genotype="second"), [epoch(0), epoch(1)])
    assert ledger.trials()["genotype"].tolist() == ["first"]
    assert len(ledger.epochs()) == 1


def test_rows_of_a_writer_killed_before_its_commit_give_way(ledger: Ledger) -> None:
    ledger.record(row(), [epoch(0), epoch(1)])
    ledger.storage.delete(f"trials/{ID}.parquet")
    assert ledger.states([ID]) == {ID: "missing"}
    ledger.record(row(), [epoch(0)])
    assert len(ledger.epochs()) == 1


def test_refuses_a_key_that_is_no_column(ledger: Ledger) -> None:
    with pytest.raises(ValueError, match="no such column of trials: accuracy"):
        ledger.record(row(accuracy=1.0))
    assert ledger.ids() == set()


def test_states(ledger: Ledger) -> None:
    ledger.record(row("a"))
    ledger.record(row("b", state="failed", error="Traceback\nBoom: 1", error_kind="bug"))
    ledger.record_failure(row("c", state="failed", error_kind="out_of_memory"))
    assert ledger.states(["a", "b", "c", "d"]) == {"a": "done", "b": "failed", "c": "missing", "d": "missing"}
    assert ledger.genotypes(["a", "b", "c", "d"]) == {"a": "g"}
    assert ledger.attempts_failed("b") == 1
    assert ledger.attempts_failed("a") == 0


def test_a_failed_trial_that_is_forgotten_can_finish(ledger: Ledger) -> None:
    ledger.record(row("b", state="failed", error_kind="bug"), [epoch(0, "b")])
    ledger.forget("b")
    assert ledger.states(["b"]) == {"b": "missing"}
    assert ledger.epochs().empty
    ledger.record(row("b", attempt=2))
    assert ledger.states(["b"]) == {"b": "done"}
    assert ledger.attempts_failed("b") == 1


def test_states_of_many_parse_no_record(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = [f"{number:020x}" for number in range(50)]
    for trial_id in ids:
        ledger.record(row(trial_id))
    monkeypatch.setattr(pq, "ParquetFile", lambda *_, **__: pytest.fail("parsed a record"))
    assert set(ledger.states(ids).values()) == {"done"}


def test_a_damaged_record_is_neither_done_nor_missing(ledger: Ledger, tmp_path: Path) -> None:
    ledger.record(row())
    file = tmp_path / "trials" / f"{ID}.parquet"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(DamagedError, match=f"{ID}.parquet is damaged"):
        ledger.states([ID])
    assert not ledger.record(row())


@pytest.mark.parametrize("name", ["my notes.parquet", "a.copy.parquet", "sub/a.parquet", "collected/x y.parquet"])
def test_a_parquet_file_of_another_name_is_named(ledger: Ledger, tmp_path: Path, name: str) -> None:
    ledger.record(row())
    file = tmp_path / "trials" / name
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(b"PAR1")
    for look in (ledger.trials, ledger.ids, lambda: ledger.states([ID])):
        with pytest.raises(DamagedError, match=r"is no file of stcnas: .*stcnas verify"):
            look()


def test_ignores_files_that_are_no_records(ledger: Ledger, tmp_path: Path) -> None:
    ledger.record(row())
    (tmp_path / "trials" / "notes.txt").write_text("hello")
    (tmp_path / "trials" / f".{ID}.parquet.17.abc").write_bytes(b"torn")
    assert ledger.ids() == {ID}
    assert len(ledger.trials()) == 1


@pytest.mark.parametrize("damage", ["half", "empty", "flipped", "other"])
def test_names_a_damaged_record(ledger: Ledger, tmp_path: Path, damage: str) -> None:
    ledger.record(row("a"))
    ledger.record(row("b"))
    file = tmp_path / "trials" / "b.parquet"
    content = file.read_bytes()
    changed = {
        "half": content[: len(content) // 2],
        "empty": b"",
        "flipped": content[:-6] + bytes([content[-6] ^ 0x40]) + content[-5:],
        "other": (tmp_path / "trials" / "a.parquet").read_bytes(),
    }[damage]
    file.write_bytes(changed)
    with pytest.raises(DamagedError, match=r"trials/b\.parquet is damaged .*: `stcnas verify"):
        ledger.trials()


@given(st.binary(max_size=300), st.integers(0, 10_000))
def test_damage_is_a_clear_error_or_no_damage(noise: bytes, at: int) -> None:
    ledger = Ledger(ObjectStorage(MemoryStore(), "s3://bucket"))
    ledger.record(row("b", sweep="s"))
    key = "trials/b.parquet"
    content = ledger.storage.read(key) or b""
    at %= len(content)
    ledger.storage.replace(key, content[:at] + noise + content[at + len(noise) :])
    with contextlib.suppress(DamagedError):
        assert ledger.rows(["b"], ["trial_id", "sweep"]) == [{"trial_id": "b", "sweep": "s"}]


def test_reads_older_and_refuses_newer_schemas(ledger: Ledger) -> None:
    def write(trial_id: str, version: int) -> None:
        table = pa.table({"schema_version": [version], "trial_id": [trial_id], "state": ["finished"], "later": [1]})
        ledger.storage.replace(f"trials/{trial_id}.parquet", records.encode_table(table, version))

    write("old", SCHEMA_VERSION - 1)
    frame = ledger.trials()
    assert list(frame.columns) == TRIALS.names
    assert frame["genotype"].isna().all()
    write("new", SCHEMA_VERSION + 1)
    with pytest.raises(DamagedError, match=r"trials/new\.parquet was written by a newer stcnas .*: upgrade stcnas"):
        ledger.trials()


def test_a_record_of_this_version_without_a_column_is_damaged(ledger: Ledger) -> None:
    table = pa.table({"schema_version": [SCHEMA_VERSION], "trial_id": ["a"], "state": ["finished"]})
    ledger.storage.replace("trials/a.parquet", records.encode_table(table))
    with pytest.raises(DamagedError, match="it lacks genotype"):
        ledger.genotypes(["a"])


def test_works_on_object_stores() -> None:
    ledger = Ledger(ObjectStorage(MemoryStore(), "s3://bucket"))
    for trial_id in ("a", "b"):
        assert ledger.record(row(trial_id), [epoch(0, trial_id)])
    assert not ledger.record(row("a"))
    assert ledger.trials()["trial_id"].tolist() == ["a", "b"]
