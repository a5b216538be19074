"""Collecting: each row is there once for every reader at every instant, whatever is killed when."""

import contextlib
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from driver import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st
from memory import Crash, MemoryStorage, crash_at

from orchestrator import collect as module
from orchestrator import ledger as ledger_module
from orchestrator.collect import collect
from orchestrator.damage import DamagedError
from orchestrator.ledger import Ledger
from orchestrator.storage import LocalStorage

Files = dict[str, bytes]


def fill(ledger: Ledger, ids: Sequence[str], failed: Sequence[str] = ()) -> None:
    for trial_id in [*ids, *failed]:
        state = "failed" if trial_id in failed else "finished"
        alphas = [{"trial_id": trial_id, "epoch": 1, "operation": name, "alpha": 0.5} for name in ("none", "skip")]
        epochs = [{"trial_id": trial_id, "stage": "search", "epoch": number} for number in range(2)]
        row = {"trial_id": trial_id, "stage": "search", "state": state, "attempt": 1, "genotype": f"g {trial_id}"}
        assert ledger.record(row, epochs, alphas)


def forget_cache() -> None:
    """As in a new process."""
    ledger_module._ids_by_key.clear()


def seen(ledger: Ledger) -> dict[str, Any]:
    """All that a reader can know of a ledger."""
    ids = ["a", "b", "c", "d", "e", "f", "missing"]
    return {
        "trials": ledger.trials()[["trial_id", "state", "genotype"]].values.tolist(),
        "epochs": ledger.epochs()[["trial_id", "epoch"]].values.tolist(),
        "alphas": ledger.alphas()[["trial_id", "epoch", "operation"]].values.tolist(),
        "states": ledger.states(ids),
        "genotypes": ledger.genotypes(ids),
        "ids": ledger.ids(),
        "has": [ledger.has(trial_id) for trial_id in ids],
        "rows": ledger.rows(["e", "a", "missing"], ["genotype", "state"]),
    }


@pytest.fixture
def files(monkeypatch: pytest.MonkeyPatch) -> Files:
    """Five finished trials and a failed one: two are in a collected file, as many as make a full one are three."""
    monkeypatch.setattr(module, "TRIALS_EACH", 3)
    files: Files = {}
    ledger = Ledger(MemoryStorage(files))
    fill(ledger, ["b", "e"])
    collect(ledger)
    fill(ledger, ["a", "c", "d"], failed=["f"])
    return files


def own_files(files: Files) -> set[str]:
    return {key for key in files if key.count("/") == 1}


def test_moves_all_finished_trials_and_no_failed_one(files: Files) -> None:
    ledger = Ledger(MemoryStorage(files))
    before = seen(ledger)
    done = collect(ledger)
    assert [(table.table, table.moved) for table in done] == [("alphas", 3), ("ranks", 0), ("epochs", 3), ("trials", 3)]
    assert own_files(files) == {f"{table}/f.parquet" for table in ("trials", "epochs", "alphas")}
    assert seen(ledger) == before
    forget_cache()
    assert seen(Ledger(MemoryStorage(files))) == before
    assert not ledger.record({"trial_id": "a", "state": "finished", "attempt": 1})


def test_a_second_time_there_is_nothing_to_do(files: Files) -> None:
    collect(Ledger(MemoryStorage(files)))
    before = dict(files)
    assert all(table.moved == table.written == 0 for table in collect(Ledger(MemoryStorage(files))))
    assert files == before


def test_a_failed_trial_can_still_be_taken_back(files: Files) -> None:
    ledger = Ledger(MemoryStorage(files))
    collect(ledger)
    ledger.forget("f")
    assert ledger.states(["f", "a"]) == {"f": "missing", "a": "done"}
    fill(ledger, ["f"])
    collect(ledger)
    assert ledger.states(["f"]) == {"f": "done"}
    assert own_files(files) == set()


def test_small_files_go_into_larger_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TRIALS_EACH", 8)
    ledger = Ledger(MemoryStorage())
    for number in range(16):
        fill(ledger, [f"{number:02d}"])
        collect(ledger)
        assert len(ledger.collected("trials")) <= 1 + number // 4
    assert len(ledger.trials()) == 16
    assert ledger.trials()["trial_id"].is_unique


def test_rows_bound_a_file_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ROWS_EACH", 6)
    ledger = Ledger(MemoryStorage())
    fill(ledger, [str(number) for number in range(9)])
    collect(ledger)
    assert {table: len(ledger.collected(table)) for table in ("trials", "epochs", "alphas")} == {
        "trials": 2,
        "epochs": 3,
        "alphas": 3,
    }


@pytest.mark.parametrize("warm", [False, pytest.param(True, marks=pytest.mark.long)])
def test_killed_at_any_operation_it_loses_and_repeats_nothing(files: Files, warm: bool) -> None:
    expected = seen(Ledger(MemoryStorage(files)))
    counting = MemoryStorage(dict(files))
    collect(Ledger(counting))
    finished = counting.files
    assert counting.operations > 40
    for operation in range(counting.operations):
        if not warm:
            forget_cache()
        left = dict(files)
        with pytest.raises(Crash):
            collect(Ledger(MemoryStorage(left, crash_at(operation))))
        assert seen(Ledger(MemoryStorage(left))) == expected, operation
        collect(Ledger(MemoryStorage(left)))
        assert seen(Ledger(MemoryStorage(left))) == expected, operation
        assert own_files(left) == own_files(finished), operation
        assert len(left) == len(finished), operation


def test_a_reader_sees_each_row_once_while_it_happens(files: Files) -> None:
    expected = seen(Ledger(MemoryStorage(files)))

    def look(_: int) -> None:
        forget_cache()
        assert seen(Ledger(MemoryStorage(collecting.files))) == expected

    collecting = MemoryStorage(files, look)
    collect(Ledger(collecting))


def test_it_may_happen_at_any_operation_of_a_reader(files: Files) -> None:
    """The whole of it, or all up to one of its operations, between two operations of a reader."""
    expected = seen(Ledger(MemoryStorage(files)))
    counting = MemoryStorage(dict(files))
    collect(Ledger(counting))
    stops = [None, random.Random(0).randrange(counting.operations)]
    reading = MemoryStorage(files)
    seen(Ledger(reading))
    for stop in stops:
        for at in range(reading.operations + 5):
            forget_cache()
            there = dict(files)

            def compact(number: int, at: int = at, there: Files = there, stop: int | None = stop) -> None:
                if number == at:
                    with contextlib.suppress(Crash):
                        collect(Ledger(MemoryStorage(there, None if stop is None else crash_at(stop))))

            assert seen(Ledger(MemoryStorage(there, compact))) == expected, (stop, at)


def test_two_at_once_lose_nothing(files: Files) -> None:
    """A second one runs, whole, between any two operations of the first."""
    expected = seen(Ledger(MemoryStorage(files)))
    counting = MemoryStorage(dict(files))
    collect(Ledger(counting))
    for at in range(counting.operations):
        forget_cache()
        there = dict(files)

        def other(number: int, at: int = at, there: Files = there) -> None:
            if number == at:
                collect(Ledger(MemoryStorage(there)))

        collect(Ledger(MemoryStorage(there, other)))
        assert seen(Ledger(MemoryStorage(there))) == expected, at
        collect(Ledger(MemoryStorage(there)))
        collect(Ledger(MemoryStorage(there)))
        assert seen(Ledger(MemoryStorage(there))) == expected, at
        assert own_files(there) == {f"{table}/f.parquet" for table in ("trials", "epochs", "alphas")}


def test_a_writer_that_comes_too_late_does_not_record_twice() -> None:
    """Another driver's worker looked for the record of a trial before it was committed and collected elsewhere."""
    counting = MemoryStorage()
    fill(Ledger(counting), ["a"])
    # At the last operation it has committed, and looks whether it was first.
    for at in range(counting.operations - 1):
        there: Files = {}

        def other(number: int, at: int = at, there: Files = there) -> None:
            if number == at:
                fill(Ledger(MemoryStorage(there)), ["a"])
                collect(Ledger(MemoryStorage(there)))

        row = {"trial_id": "a", "stage": "search", "state": "finished", "attempt": 2, "genotype": "late"}
        late = Ledger(MemoryStorage(there, other))
        recorded = late.record(row, [{"trial_id": "a", "stage": "search", "epoch": number} for number in range(2)])
        reader = Ledger(MemoryStorage(there))
        assert not recorded
        assert reader.rows(["a"], ["genotype", "attempt"]) == [{"genotype": "g a", "attempt": 1}], at
        assert "trials/a.parquet" not in there
        assert len(reader.epochs()) == 2


@given(
    st.lists(st.tuples(st.sampled_from(["record", "collect", "crash"]), st.integers(0, 80)), max_size=12),
    st.integers(1, 4),
)
@settings(max_examples=60)
def test_any_history_of_records_and_killed_collections(steps: list[tuple[str, int]], each: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "TRIALS_EACH", each)
        files: Files = {}
        recorded: list[str] = []
        for action, number in steps:
            if action == "record":
                recorded.append(f"t{len(recorded)}")
                fill(Ledger(MemoryStorage(files)), [recorded[-1]])
            else:
                try:
                    collect(Ledger(MemoryStorage(files, crash_at(number) if action == "crash" else None)))
                except Crash:
                    forget_cache()
            reader = Ledger(MemoryStorage(files))
            assert reader.trials()["trial_id"].tolist() == sorted(recorded)
            assert len(reader.epochs()) == len(reader.alphas()) == 2 * len(recorded)
            assert set(reader.states(recorded).values()) <= {"done"}


@pytest.mark.parametrize("table", ["trials", "epochs"])
def test_stops_at_a_damaged_file_and_deletes_nothing_of_it(files: Files, table: str) -> None:
    key = f"{table}/c.parquet"
    files[key] = files[key][:-20] + b"x" + files[key][-19:]
    with pytest.raises(DamagedError, match=rf"{key} is damaged .*stcnas verify"):
        collect(Ledger(MemoryStorage(files)))
    assert {f"{table}/{trial_id}.parquet" for trial_id in "acd"} <= files.keys()


@pytest.mark.parametrize("damage", ["half", "flipped", "renamed"])
def test_a_damaged_collected_file_is_named_by_every_reader(files: Files, damage: str) -> None:
    key = next(key for key in files if key.startswith("trials/collected/"))
    content = files.pop(key)
    if damage == "renamed":
        key = "trials/collected/0123456789abcdef01234567.parquet"
    files[key] = {"half": content[: len(content) // 2], "renamed": content}.get(damage, content[:99] + content[100:])
    for look in (Ledger.trials, Ledger.ids, lambda it: it.states(["a"]), lambda it: it.has("zz"), collect):
        forget_cache()
        with pytest.raises(DamagedError, match=rf"{key} is damaged .*stcnas verify"):
            look(Ledger(MemoryStorage(files)))


def test_what_was_written_is_read_back_before_anything_is_deleted(files: Files) -> None:
    class Lossy(MemoryStorage):
        def create(self, key: str, data: bytes) -> bool:
            return super().create(key, data[:-50])

    before = own_files(files)
    with pytest.raises(DamagedError, match="is damaged"):
        collect(Ledger(Lossy(files)))
    assert own_files(files) == before


def test_pandas_reads_the_folder_of_a_collected_table(tmp_path: Path) -> None:
    ledger = Ledger(LocalStorage(tmp_path))
    fill(ledger, ["a", "b", "c"], failed=["f"])
    before = pd.read_parquet(tmp_path / "trials").sort_values("trial_id", ignore_index=True)
    collect(ledger)
    assert [file.name for file in (tmp_path / "trials").glob("*.parquet")] == ["f.parquet"]
    after = pd.read_parquet(tmp_path / "trials").sort_values("trial_id", ignore_index=True)
    pd.testing.assert_frame_equal(before, after)


def test_killed_for_real_it_loses_and_repeats_nothing(tmp_path: Path) -> None:
    ledger = Ledger(LocalStorage(tmp_path))
    ids = [f"{number:020x}" for number in range(120)]
    fill(ledger, ids)
    command = [sys.executable, "-m", "orchestrator", "collect", "--storage", str(tmp_path)]
    trials = tmp_path / "trials"
    for left in (120, 60):
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        while process.poll() is None and not (trials / "collected").is_dir():
            time.sleep(0.001)
        while process.poll() is None and len(list(trials.glob("*.parquet"))) > left - 20:
            time.sleep(0.0005)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        reader = Ledger(LocalStorage(tmp_path))
        assert reader.trials()["trial_id"].tolist() == ids
        assert len(reader.epochs()) == len(reader.alphas()) == 240
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    assert not list(trials.glob("*.parquet"))
    assert sorted(pd.read_parquet(trials)["trial_id"]) == ids
