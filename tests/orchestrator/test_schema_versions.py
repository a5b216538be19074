"""What any version wrote, every later version reads; what a newer one wrote is refused by name."""

import io
import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from memory import MemoryStorage
from schema_files import FOLDER, ID, columns, example

from orchestrator import records
from orchestrator.collect import collect
from orchestrator.damage import DamagedError
from orchestrator.ledger import Ledger
from orchestrator.schema import EPOCHS, SCHEMA_VERSION, TRIALS
from orchestrator.storage import LocalStorage

VERSIONS = range(1, SCHEMA_VERSION + 1)
KEYS = {table: records.key_of(table, ID) for table in ("trials", "epochs", "alphas", "ranks", "benchmarks")} | {
    "failures": f"failures/{ID}/1.parquet"
}


def committed(version: int) -> Path:
    return FOLDER / f"schema_v{version}"


def expected(version: int, table: str) -> list[dict[str, Any]]:
    """The committed rows with the columns of today."""
    schema = records.SCHEMAS[table]
    rows = json.loads((committed(version) / "rows.json").read_text())[table]
    times = {field.name for field in schema if pa.types.is_timestamp(field.type)}
    return [
        {
            name: datetime.fromisoformat(row[name]) if name in times and row.get(name) else row.get(name)
            for name in schema.names
        }
        for row in rows
    ]


def test_a_changed_schema_has_a_new_version() -> None:
    folder = committed(SCHEMA_VERSION)
    assert folder.is_dir(), "run python tests/schema_files.py and commit what it writes"
    listed = json.loads((folder / "columns.json").read_text())
    assert columns(records.SCHEMAS) == listed, (
        "orchestrator/schema.py has other columns than its version had: raise SCHEMA_VERSION, "
        "run python tests/schema_files.py and commit what it writes"
    )


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("table", records.SCHEMAS)
def test_files_of_every_version_load(version: int, table: str) -> None:
    data = (committed(version) / f"{table}.parquet").read_bytes()
    names = records.SCHEMAS[table].names
    assert records.decode("here", table, KEYS[table], data, names).to_pylist() == expected(version, table)


@pytest.mark.parametrize("version", VERSIONS)
def test_ledgers_of_every_version_load_and_collect(version: int, tmp_path: Path) -> None:
    ledger = Ledger(LocalStorage(tmp_path))
    for table, key in KEYS.items():
        ledger.storage.replace(key, (committed(version) / f"{table}.parquet").read_bytes())
    assert ledger.has(ID)
    assert ledger.trials().loc[0, "setting"] == "setting 0 é"
    assert len(ledger.epochs()) == len(ledger.alphas()) == 3
    assert ledger.rows([ID], ["schema_version"]) == [{"schema_version": version}]
    collect(ledger)
    assert ledger.rows([ID], ["schema_version"]) == [{"schema_version": version}]


def older(version: int = SCHEMA_VERSION - 1) -> bytes:
    """A record of a version that lacked some columns, had one more and another type of number."""
    kept = [field for field in TRIALS if field.name not in ("params", "search_alpha_betas", "finished_at")]
    row = {name: value for name, value in example(TRIALS).items() if name in {field.name for field in kept}}
    row = {**row, "schema_version": version, "started_at": datetime.fromisoformat(row["started_at"])}
    table = pa.Table.from_pylist([row], schema=pa.schema(kept)).append_column("dropped", pa.array([1]))
    narrow = table.set_column(table.column_names.index("seed"), "seed", pa.array([7], pa.int32()))
    return records.encode_table(narrow, version)


def test_columns_that_an_older_version_lacked_are_null() -> None:
    ledger = Ledger(MemoryStorage({KEYS["trials"]: older()}))
    (row,) = ledger.rows([ID], TRIALS.names)
    assert row["params"] is row["search_alpha_betas"] is row["finished_at"] is None
    assert row["seed"] == 7
    assert row["setting"] == "setting 0 é"
    assert list(ledger.trials().columns) == TRIALS.names


@pytest.mark.parametrize("table", ["trials", "epochs", "alphas"])
def test_a_newer_version_is_refused_by_name(table: str) -> None:
    newer = pa.table({"schema_version": [SCHEMA_VERSION + 2], "trial_id": [ID], "later": [[{"deep": 1}]]})
    ledger = Ledger(MemoryStorage({KEYS[table]: records.encode_table(newer, SCHEMA_VERSION + 2)}))
    message = (
        rf"^memory/{KEYS[table]} was written by a newer stcnas "
        rf"\(schema version {SCHEMA_VERSION + 2}; this one knows up to {SCHEMA_VERSION}\): upgrade stcnas$"
    )
    with pytest.raises(DamagedError, match=message):
        {"trials": ledger.trials, "epochs": ledger.epochs, "alphas": ledger.alphas}[table]()
    if table == "trials":
        with pytest.raises(DamagedError, match=message):
            ledger.states([ID])


@pytest.fixture(scope="module")
def record() -> bytes:
    """A record as a worker writes it."""
    return (committed(SCHEMA_VERSION) / "trials.parquet").read_bytes()


def test_every_flipped_byte_is_found(record: bytes) -> None:
    """All positions, a bit or all bits of each: the seal covers the footer as well as the pages."""
    for at in range(len(record)):
        for mask in (1 << at % 8, 0xFF):
            flipped = bytearray(record)
            flipped[at] ^= mask
            with pytest.raises(DamagedError):
                records.check("here", KEYS["trials"], bytes(flipped))


def test_every_cut_is_found(record: bytes) -> None:
    for length in range(len(record)):
        with pytest.raises(DamagedError):
            records.check("here", KEYS["trials"], record[:length])
    for junk in (b"\0", b"PAR1", record):
        with pytest.raises(DamagedError):
            records.check("here", KEYS["trials"], record + junk)


def test_the_seal_leaves_an_ordinary_parquet_file(record: bytes) -> None:
    file = pq.ParquetFile(io.BytesIO(record), page_checksum_verification=True)
    assert file.metadata.num_rows == 1
    assert set(file.schema_arrow.names) == set(TRIALS.names)


def sealed(table: pa.Table, **options: Any) -> bytes:
    """A file by whoever knows how seals are made, with whatever they like in it."""
    buffer = io.BytesIO()
    with pq.ParquetWriter(buffer, table.schema, **options) as writer:
        writer.write_table(table)
        writer.add_key_value_metadata({"stcnas": f"stcnas:schema={SCHEMA_VERSION} sha256={'0' * 64}"})
    data = bytearray(buffer.getvalue())
    _, start = records._find_seal(data)
    data[start : start + 64] = records.hashlib.sha256(data).hexdigest().encode()
    records.check_seal(bytes(data))
    return bytes(data)


def full(schema: pa.Schema, **columns: pa.Array) -> pa.Table:
    """One row of nulls with some columns of any type, by the name of the trial."""
    length = len(next(iter(columns.values()))) if columns else 1
    plain = {field.name: pa.nulls(length, field.type) for field in schema}
    return pa.table({**plain, "trial_id": pa.array([ID] * length), **columns})


class Executed(pa.ExtensionType):
    """A type that says when it is made from what a file holds."""

    made: list[bytes] = []  # noqa: RUF012

    def __init__(self) -> None:
        super().__init__(pa.string(), "test.executed")

    def __arrow_ext_serialize__(self) -> bytes:
        return b"payload"

    @classmethod
    def __arrow_ext_deserialize__(cls, storage_type: pa.DataType, serialized: bytes) -> "Executed":
        cls.made.append(serialized)
        return cls()


def test_extension_types_are_not_even_built() -> None:
    pa.register_extension_type(Executed())
    try:
        strange = full(TRIALS, genotype=pa.ExtensionArray.from_storage(Executed(), pa.array(["g"])))
        data = sealed(strange, store_schema=True)
        Executed.made.clear()
        with pytest.raises(DamagedError, match="types of Arrow that no table of stcnas has"):
            records.decode("here", "trials", KEYS["trials"], data, TRIALS.names)
        assert Executed.made == []
        pq.ParquetFile(io.BytesIO(data))
        assert Executed.made != []
    finally:
        pa.unregister_extension_type("test.executed")


HOSTILE = {
    "nested": full(TRIALS, genotype=pa.array([[{"a": [1]}]])),
    "a number as text": full(TRIALS, seed=pa.array(["1"])),
    "bytes": full(TRIALS, genotype=pa.array([b"\xff"])),
    "two rows": full(TRIALS, seed=pa.array([1, 2])),
    "a column twice": pa.table([pa.array([ID])] * 2, names=["trial_id", "trial_id"]),
    "no columns of ours": pa.table({"a": [1]}),
}


@pytest.mark.parametrize("table", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_tables_are_refused(table: pa.Table) -> None:
    data = sealed(table, store_schema=False)
    with pytest.raises(DamagedError, match=r"trials/.* is damaged \(.*stcnas verify"):
        records.decode("here", "trials", KEYS["trials"], data, TRIALS.names)


def test_huge_counts_of_rows_are_refused_before_they_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = 2_000_000
    data = sealed(full(EPOCHS, epoch=pa.nulls(rows, pa.int64())), store_schema=False)
    assert len(data) < 100_000
    monkeypatch.setattr(pq.ParquetFile, "read", lambda *_, **__: pytest.fail("read the rows"))
    with pytest.raises(DamagedError, match=f"it claims {rows} rows"):
        records.decode("here", "epochs", KEYS["epochs"], data, EPOCHS.names)


def test_what_unpacks_to_too_much_is_refused_before_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    data = sealed(full(TRIALS, error=pa.array(["x" * 30_000_000])), store_schema=False, compression="zstd")
    assert len(data) < 100_000
    monkeypatch.setattr(records, "MOST_BYTES", 2**24)
    monkeypatch.setattr(pq.ParquetFile, "read", lambda *_, **__: pytest.fail("read the rows"))
    with pytest.raises(DamagedError, match="it would unpack to"):
        records.decode("here", "trials", KEYS["trials"], data, TRIALS.names)
