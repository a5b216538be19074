"""The ledger: one Parquet file per finished trial and table, and the only truth about what was done.

`epochs/<id>.parquet`, `alphas/<id>.parquet` and `ranks/<id>.parquet` are written first; `trials/<id>.parquet`, created
only if absent, is the commit. A failed attempt also leaves `failures/<id>/<attempt>.parquet`, written before a failed
record is, so that names alone tell which records may be failed ones. `collect` moves rows of finished trials into
`<table>/collected/`, where a row appears before its own file goes: whoever looks for the own file first and in the
collected ones afterwards never misses it, and one that is in several files counts once. `benchmarks/<id>.parquet` is
the copy of a table that cells were looked up in.
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa
import pyarrow.compute as pc

from orchestrator.damage import DamagedError
from orchestrator.records import (
    COLLECTED,
    SCHEMAS,
    Row,
    check,
    decode,
    encode,
    id_of,
    is_collected,
    key_of,
)
from orchestrator.schema import FAILURES
from orchestrator.storage import Storage

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Ledger", "Row", "State"]

State = Literal["done", "failed", "missing"]

_FEW = 16
"""Up to so many files are asked for by name; for more it is cheaper to list the folder first."""

_ids_by_key: dict[str, frozenset[str]] = {}
"""The trials of collected files, by key: a file's name is its content's digest, so this never grows stale."""


class Ledger:
    """Reads and writes the records under a storage."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage

    def has(self, trial_id: str) -> bool:
        """Whether a trial has a record, finished or failed."""
        return self.storage.read(key_of("trials", trial_id)) is not None or self._is_collected(trial_id)

    def record(
        self, trial: Row, epochs: Sequence[Row] = (), alphas: Sequence[Row] = (), ranks: Sequence[Row] = ()
    ) -> bool:
        """Commit a trial with its rows of the other tables; False, and nothing changed, where it has a record.

        Columns without a value are null; a key that is no column is a ValueError.
        """
        trial_id = trial["trial_id"]
        if self.has(trial_id):
            return False
        if trial["state"] == "failed":
            self.record_failure(trial)
        for table, rows in (("epochs", epochs), ("alphas", alphas), ("ranks", ranks)):
            key = key_of(table, trial_id)
            # What a writer that was killed before its commit left there gives way: it described the same trial.
            if rows:
                self.storage.replace(key, encode(table, rows))
            else:
                self.storage.delete(key)
        if not self.storage.create(key_of("trials", trial_id), encode("trials", [trial])):
            return False
        if self._is_collected(trial_id):
            # Between the look above and the commit another writer's record was committed and collected.
            self.storage.delete(key_of("trials", trial_id))
            return False
        return True

    def record_failure(self, trial: Row) -> None:
        """Note a failed attempt of a trial, whether or not it is its last; `trial` is a row of the trials table."""
        row = {name: trial.get(name) for name in FAILURES.names}
        key = f"failures/{trial['trial_id']}/{trial['attempt']}.parquet"
        self.storage.replace(key, encode("failures", [row]))

    def forget(self, trial_id: str) -> None:
        """Take back a trial's own files, so that it can run again; its failures, and collected rows, stay."""
        for table in ("trials", "epochs", "alphas", "ranks"):
            self.storage.delete(key_of(table, trial_id))

    def ids(self) -> set[str]:
        """Ids of all recorded trials, from names, and from collected files that were not read yet."""
        return self.names("trials") | self._collected_ids()

    def attempts_failed(self, trial_id: str) -> int:
        """The number of the last failed attempt of a trial, 0 where none failed."""
        keys = self.storage.keys(f"failures/{trial_id}")
        numbers = [key.rsplit("/", 1)[1].removesuffix(".parquet") for key in keys]
        return max((int(number) for number in numbers if number.isdigit()), default=0)

    def states(self, ids: Iterable[str]) -> dict[str, State]:
        """What became of each trial; each record is found whole, those of trials that failed once are opened.

        Raises DamagedError where a record is there and not whole: it is neither done nor to be run again.
        """
        ids = list(ids)
        suspects = {key.split("/")[1] for key in self.storage.keys("failures")}
        keys = [key_of("trials", trial_id) for trial_id in sorted(self.names("trials") & set(ids))]
        recorded: set[str] = set()
        for key, data in zip(keys, self.storage.read_many(keys), strict=True):
            if data is not None:
                check(self.storage.uri, key, data)
                recorded.add(id_of(key) or "")
        done = self._collected_ids()
        columns = ["trial_id", "state"]
        failed = {
            row["trial_id"] for row in self.rows((suspects & recorded) - done, columns) if row["state"] == "failed"
        }
        done |= recorded - failed
        return {
            trial_id: "done" if trial_id in done else "failed" if trial_id in failed else "missing" for trial_id in ids
        }

    def genotypes(self, ids: Iterable[str]) -> dict[str, str]:
        """Canonical text of the genotype of each finished trial among `ids`."""
        rows = self.rows(ids, ["trial_id", "state", "genotype"])
        return {row["trial_id"]: row["genotype"] for row in rows if row["state"] == "finished"}

    def derived(self, ids: Iterable[str]) -> dict[str, dict[int, str]]:
        """Of each search among `ids`, the cell after each epoch (from 1) that had decided on one."""
        found: dict[str, dict[int, str]] = {}
        for row in self._read("epochs", ["trial_id", "epoch", "genotype", "skip_connects"], set(ids)).to_pylist():
            # While nothing was decided there is no count, and the cell is a tie.
            if row["skip_connects"] is not None:
                found.setdefault(row["trial_id"], {})[row["epoch"] + 1] = row["genotype"]
        return found

    def rows(self, ids: Iterable[str], columns: Sequence[str]) -> list[dict[str, Any]]:
        """Some columns of the records of those trials that have one, sorted by id, as plain dictionaries."""
        return self._read("trials", columns, set(ids)).to_pylist()

    def table(self, table: str, ids: Iterable[str]) -> pa.Table:
        """The rows of some trials in one of `schema.TABLES`, with all of its columns, sorted by id."""
        return self._read(table, SCHEMAS[table].names, set(ids))

    def trials(self) -> "pd.DataFrame":
        """All records, one row a trial, with all columns of `schema.TRIALS`."""
        return self._frame("trials")

    def epochs(self) -> "pd.DataFrame":
        """One row per trial and epoch, with all columns of `schema.EPOCHS`."""
        return self._frame("epochs")

    def alphas(self) -> "pd.DataFrame":
        """Architecture parameters of all searches at some of their epochs, the last always, as `schema.ALPHAS`."""
        return self._frame("alphas")

    def ranks(self) -> "pd.DataFrame":
        """Accuracies of uniformly drawn cells with inherited weights, by trial and epoch, as `schema.RANKS`."""
        return self._frame("ranks")

    def add_benchmark(self, benchmark_id: str, entries: Sequence[Row]) -> None:
        """Keep a copy of a benchmark table, unless there is one."""
        rows = [{**entry, "benchmark_id": benchmark_id} for entry in entries]
        self.storage.create(key_of("benchmarks", benchmark_id), encode("benchmarks", rows))

    def has_benchmark(self, benchmark_id: str) -> bool:
        """Whether there is a copy of a benchmark table."""
        return self.storage.read(key_of("benchmarks", benchmark_id)) is not None

    def benchmark(self, benchmark_id: str | None) -> "pd.DataFrame | None":
        """The copy of a benchmark table, a row per cell as `schema.BENCHMARKS`; None where there is none."""
        key = key_of("benchmarks", benchmark_id or "")
        data = None if benchmark_id is None else self.storage.read(key)
        if data is None:
            return None
        names = SCHEMAS["benchmarks"].names
        return decode(self.storage.uri, "benchmarks", key, data, names).to_pandas(use_threads=False)

    def names(self, table: str) -> set[str]:
        """Ids of the trials that have a file of their own in a table; a Parquet file of another name is an error."""
        keys = [key for key in self.storage.keys(table) if key.endswith(".parquet")]
        for key in keys:
            if id_of(key) is None and not is_collected(key):
                raise DamagedError(
                    f"{self.storage.uri}/{shown(key)} is no file of stcnas: move it away, or see "
                    f"`stcnas verify --storage {self.storage.uri}`, which does so with --move-aside",
                    "it is no file of stcnas",
                    "foreign",
                )
        return {trial_id for key in keys if (trial_id := id_of(key)) is not None}

    def collected(self, table: str) -> list[str]:
        """Keys of a table's collected files."""
        return [key for key in self.storage.keys(f"{table}/{COLLECTED}") if is_collected(key)]

    def ids_in(self, key: str, data: bytes) -> frozenset[str]:
        """The trials that a collected file has rows of; raises DamagedError where it is not whole."""
        if key not in _ids_by_key:
            column = decode(self.storage.uri, key.split("/")[0], key, data, ["trial_id"]).column("trial_id")
            _ids_by_key[key] = frozenset(column.unique().to_pylist())
        return _ids_by_key[key]

    def _collected_ids(self) -> set[str]:
        return {trial_id for trials in self._collected_trials() for trial_id in trials}

    def _is_collected(self, trial_id: str) -> bool:
        """Asked twice for every trial that ends, so without a set of all that ever ended."""
        return any(trial_id in trials for trials in self._collected_trials())

    def _collected_trials(self) -> list[frozenset[str]]:
        """The trials of each collected file."""
        while True:
            keys = self.collected("trials")
            new = [key for key in keys if key not in _ids_by_key]
            for key, data in zip(new, self.storage.read_many(new), strict=True):
                if data is None:  # it has gone into another
                    break
                self.ids_in(key, data)
            else:
                return [_ids_by_key[key] for key in keys]

    def _frame(self, table: str) -> "pd.DataFrame":
        return self._read(table, SCHEMAS[table].names).to_pandas(use_threads=False)

    def _read(self, table: str, columns: Sequence[str], ids: set[str] | None = None) -> pa.Table:
        """Rows of a table, of some trials or of all, sorted by trial; rows in several files are taken once."""
        names = list(dict.fromkeys(["trial_id", *columns]))
        own = self._read_own(table, names, ids)
        parts = None
        while parts is None:
            parts = self._read_collected(table, names, ids)
        taken = {trial_id for _, trials in parts for trial_id in trials}
        tables = [part for part, _ in parts] + [rows for trial_id, rows in own.items() if trial_id not in taken]
        if not tables:
            # Not `empty_table`, which imports pandas to make its arrays.
            return pa.Table.from_batches([], pa.schema([SCHEMAS[table].field(name) for name in columns]))
        whole = pa.concat_tables(tables)
        return (by_trial(whole) if parts else whole).select(list(columns))

    def _read_own(self, table: str, columns: Sequence[str], ids: set[str] | None) -> dict[str, pa.Table]:
        """By trial, the rows that are in a file of its own."""
        if ids is None or len(ids) > _FEW:
            listed = self.names(table)
            ids = listed if ids is None else listed & ids
        keys = [key_of(table, trial_id) for trial_id in sorted(ids)]
        return {
            id_of(key) or "": decode(self.storage.uri, table, key, data, columns)
            for key, data in zip(keys, self.storage.read_many(keys), strict=True)
            if data is not None
        }

    def _read_collected(
        self, table: str, columns: Sequence[str], ids: set[str] | None
    ) -> list[tuple[pa.Table, set[str]]] | None:
        """Rows in collected files and whose they are, no trial twice; None where a file has gone into another."""
        keys = self.collected(table)
        if ids is not None:
            keys = [key for key in keys if key not in _ids_by_key or _ids_by_key[key] & ids]
        parts: list[tuple[pa.Table, set[str]]] = []
        taken: set[str] = set()
        for key, data in zip(keys, self.storage.read_many(keys), strict=True):
            if data is None:
                return None
            there = self.ids_in(key, data)
            new = set(there if ids is None else there & ids) - taken
            if not new:
                continue
            rows = decode(self.storage.uri, table, key, data, columns)
            if len(new) < len(there):
                rows = only(rows, new)
            parts.append((rows, new))
            taken |= new
        return parts


def only(rows: pa.Table, ids: Iterable[str]) -> pa.Table:
    """The rows of some trials."""
    options = pc.SetLookupOptions(value_set=pa.array(sorted(ids), pa.string()))
    return rows.filter(pc.call_function("is_in", [rows.column("trial_id")], options))


def by_trial(rows: pa.Table) -> pa.Table:
    """Rows sorted by trial, those of one trial in the order in which they were."""
    return rows.take(pc.call_function("sort_indices", [rows], pc.SortOptions([("trial_id", "ascending")])))


def shown(key: str) -> str:
    """A key as it can be printed, whatever bytes its name is made of."""
    return "".join(part if part.isprintable() else part.encode("unicode_escape").decode() for part in key)
