"""The ledger: one Parquet file per finished trial and table, and the only truth about what was done.

`epochs/<id>.parquet` and `alphas/<id>.parquet` are written first; `trials/<id>.parquet`, created only if absent, is
the commit. A failed attempt also leaves `failures/<id>/<attempt>.parquet`, written before a failed record is, so that
names alone tell which records may be failed ones.
"""

import io
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from orchestrator.schema import SCHEMA_VERSION, TABLES
from orchestrator.storage import Storage, StorageError

if TYPE_CHECKING:
    import pandas as pd

State = Literal["done", "failed", "missing"]
Row = Mapping[str, Any]

FAILURES = pa.schema(
    [
        ("schema_version", pa.int32()),
        ("trial_id", pa.string()),
        ("sweep", pa.string()),
        ("stage", pa.string()),
        ("setting", pa.string()),
        ("seed", pa.int64()),
        ("retrain_seed", pa.int64()),
        ("attempt", pa.int64()),
        ("epochs_done", pa.int64()),
        ("error_kind", pa.string()),
        ("error", pa.string()),
        ("device", pa.string()),
        ("host", pa.string()),
        ("finished_at", pa.timestamp("us", tz="UTC")),
    ]
)
_SCHEMAS = {**TABLES, "failures": FAILURES}


class DamagedError(StorageError):
    """A file of the ledger is not what this version of stcnas wrote there; the message names it."""


class Ledger:
    """Reads and writes the records under a storage."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage

    def has(self, trial_id: str) -> bool:
        """Whether a trial has a record, finished or failed."""
        return self.storage.read(_key("trials", trial_id)) is not None

    def record(self, trial: Row, epochs: Sequence[Row] = (), alphas: Sequence[Row] = ()) -> bool:
        """Commit a trial with its rows of the other tables; False, and nothing changed, where it has a record.

        Columns without a value are null; a key that is no column is a ValueError.
        """
        trial_id = trial["trial_id"]
        if self.has(trial_id):
            return False
        if trial["state"] == "failed":
            self.record_failure(trial)
        for table, rows in (("epochs", epochs), ("alphas", alphas)):
            key = _key(table, trial_id)
            # What a writer that was killed before its commit left there gives way: it described the same trial.
            if rows:
                self.storage.replace(key, _encode(table, rows))
            else:
                self.storage.delete(key)
        return self.storage.create(_key("trials", trial_id), _encode("trials", [trial]))

    def record_failure(self, trial: Row) -> None:
        """Note a failed attempt of a trial, whether or not it is its last; `trial` is a row of the trials table."""
        row = {name: trial.get(name) for name in FAILURES.names}
        key = f"failures/{trial['trial_id']}/{trial['attempt']}.parquet"
        self.storage.replace(key, _encode("failures", [row]))

    def forget(self, trial_id: str) -> None:
        """Take back a trial's record, so that it can run again; its failures stay."""
        for table in ("trials", "epochs", "alphas"):
            self.storage.delete(_key(table, trial_id))

    def ids(self) -> set[str]:
        """Ids of all recorded trials, from file names alone."""
        return set(self._names("trials"))

    def attempts_failed(self, trial_id: str) -> int:
        """The number of the last failed attempt of a trial, 0 where none failed."""
        keys = self.storage.keys(f"failures/{trial_id}")
        numbers = [key.rsplit("/", 1)[1].removesuffix(".parquet") for key in keys]
        return max((int(number) for number in numbers if number.isdigit()), default=0)

    def states(self, ids: Iterable[str]) -> dict[str, State]:
        """What became of each trial, opening only records of trials that have failed at least once."""
        ids = list(ids)
        recorded = self.ids()
        suspects = {key.split("/")[1] for key in self.storage.keys("failures")} & recorded & set(ids)
        failed = {row["trial_id"] for row in self.rows(suspects, ["trial_id", "state"]) if row["state"] == "failed"}
        return {
            trial_id: "missing" if trial_id not in recorded else "failed" if trial_id in failed else "done"
            for trial_id in ids
        }

    def genotypes(self, ids: Iterable[str]) -> dict[str, str]:
        """Canonical text of the genotype of each finished trial among `ids`."""
        rows = self.rows(set(ids) & self.ids(), ["trial_id", "state", "genotype"])
        return {row["trial_id"]: row["genotype"] for row in rows if row["state"] == "finished"}

    def rows(self, ids: Iterable[str], columns: Sequence[str]) -> list[dict[str, Any]]:
        """Some columns of the records of trials that have one, sorted by id, as plain dictionaries."""
        return self._read("trials", [_key("trials", trial_id) for trial_id in sorted(ids)], columns).to_pylist()

    def trials(self) -> "pd.DataFrame":
        """All records, one row a trial, with all columns of `schema.TRIALS`."""
        return self._frame("trials")

    def epochs(self) -> "pd.DataFrame":
        """One row per trial and epoch, with all columns of `schema.EPOCHS`."""
        return self._frame("epochs")

    def alphas(self) -> "pd.DataFrame":
        """Architecture parameters of all searches at some of their epochs, the last always, as `schema.ALPHAS`."""
        return self._frame("alphas")

    def _frame(self, table: str) -> "pd.DataFrame":
        keys = [_key(table, trial_id) for trial_id in self._names(table)]
        return self._read(table, keys, _SCHEMAS[table].names).to_pandas(use_threads=False)

    def _names(self, table: str) -> list[str]:
        """Ids in a table's file names; names with a dot are not trials'."""
        names = [key.split("/", 1)[1] for key in self.storage.keys(table) if key.endswith(".parquet")]
        stems = [name.removesuffix(".parquet") for name in names]
        return [stem for stem in stems if "." not in stem and "/" not in stem]

    def _read(self, table: str, keys: Sequence[str], columns: Sequence[str]) -> pa.Table:
        schema = pa.schema([_SCHEMAS[table].field(name) for name in columns])
        parts: list[pa.Table] = []
        for key, data in zip(keys, self.storage.read_many(keys), strict=True):
            if data is not None:
                parts.append(self._decode(table, key, data, columns))
        if not parts:
            return schema.empty_table()
        return pa.concat_tables(parts)

    def _decode(self, table: str, key: str, data: bytes, columns: Sequence[str]) -> pa.Table:
        """The wanted columns of one file, in the current schema; columns that an older version lacked are null."""
        try:
            file = pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True)
            present = set(file.schema_arrow.names)
            wanted = dict.fromkeys(["schema_version", "trial_id", *columns])
            # A thread of Arrow's pool that lets go of a Python buffer while the interpreter ends aborts the process.
            read = file.read(columns=[name for name in wanted if name in present], use_threads=False)
            version = max(read.column("schema_version").to_pylist(), default=SCHEMA_VERSION)
            if version > SCHEMA_VERSION:
                raise DamagedError(
                    f"{self.storage.uri}/{key} was written by a newer stcnas (schema {version}, this one knows up to "
                    f"{SCHEMA_VERSION}): upgrade stcnas to read it"
                )
            if version == SCHEMA_VERSION and (lacking := wanted.keys() - present):
                raise ValueError(f"it lacks {', '.join(sorted(lacking))}")
            if set(read.column("trial_id").to_pylist()) - {key.split("/")[1].removesuffix(".parquet")}:
                raise ValueError("it holds another trial than its name says")
            fields = [_SCHEMAS[table].field(name) for name in columns]
            arrays = [
                read.column(field.name).cast(field.type) if field.name in present else pa.nulls(len(read), field.type)
                for field in fields
            ]
            return pa.table(arrays, schema=pa.schema(fields))
        except StorageError:
            raise
        except (pa.ArrowException, OSError, ValueError, KeyError, TypeError) as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise DamagedError(
                f"{self.storage.uri}/{key} is damaged ({reason}): move it away and run the sweep again, "
                "which runs that trial again"
            ) from None


def _key(table: str, trial_id: str) -> str:
    return f"{table}/{trial_id}.parquet"


def _encode(table: str, rows: Sequence[Row]) -> bytes:
    schema = _SCHEMAS[table]
    known = set(schema.names)
    for row in rows:
        if unknown := row.keys() - known:
            raise ValueError(f"no such column of {table}: {', '.join(sorted(unknown))}")
    full = [{**dict.fromkeys(schema.names), **row, "schema_version": SCHEMA_VERSION} for row in rows]
    buffer = io.BytesIO()
    # Of a file of one row, statistics, dictionaries and Arrow's copy of the schema would be the larger part.
    many = len(rows) > 1
    pq.write_table(
        pa.Table.from_pylist(full, schema=schema),
        buffer,
        compression="zstd",
        use_dictionary=many,
        write_statistics=many,
        store_schema=False,
        write_page_checksum=True,
    )
    return buffer.getvalue()
