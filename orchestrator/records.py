"""One file of the ledger: rows of one table as Parquet under a seal, refused unless it is whole and what stcnas wrote.

The seal is the SHA-256 of the whole file, the digest's own place read as zeros, in the footer's metadata: Parquet's
page checksums leave the footer uncovered. It is checked before anything is parsed. `<table>/<id>.parquet` holds one
trial, `<table>/collected/<digits of its digest>.parquet` many.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from orchestrator.damage import DamagedError, Fault
from orchestrator.schema import BENCHMARKS, FAILURES, SCHEMA_VERSION, TABLES

Row = Mapping[str, Any]

SCHEMAS = {**TABLES, "failures": FAILURES, "benchmarks": BENCHMARKS}
COLLECTED = "collected"
MOST_ROWS = {
    "trials": 1,
    "epochs": 1_000_000,
    "alphas": 50_000_000,
    "ranks": 5_000_000,
    "failures": 1,
    "benchmarks": 1_000_000,
}
"""Rows of a file of one trial, beyond which it is refused; a collected file may have as many for each of its trials."""
MOST_BYTES = 2**32
"""What the pages of one file may unpack to."""

_MAGIC = b"PAR1"
_TAIL = 8
_DIGITS = 64
_NAMED = 24
_ID = re.compile(r"[A-Za-z0-9_-]+")
# Later versions must keep this form, or versions up to this one would call their files damaged instead of newer.
_SEAL = re.compile(rb"stcnas:schema=(\d{1,9}) sha256=([0-9a-f]{64})")


class _RefusedError(ValueError):
    def __init__(self, kind: Fault, reason: str) -> None:
        super().__init__(reason)
        self.kind: Fault = kind


def key_of(table: str, trial_id: str) -> str:
    """Where the rows of one trial are written."""
    return f"{table}/{trial_id}.parquet"


def id_column(table: str) -> str:
    """The column of a table that holds what its files are named by."""
    return "benchmark_id" if table == "benchmarks" else "trial_id"


def id_of(key: str) -> str | None:
    """The trial of a file named as `key_of` names it, None for any other name."""
    parts = key.split("/")
    stem = parts[-1].removesuffix(".parquet")
    return stem if len(parts) == 2 and parts[1].endswith(".parquet") and _ID.fullmatch(stem) else None


def is_collected(key: str) -> bool:
    """Whether a key lies where collected files do."""
    parts = key.split("/")
    return len(parts) == 3 and parts[1] == COLLECTED and re.fullmatch(r"[0-9a-f]+\.parquet", parts[2]) is not None


def encode(table: str, rows: Sequence[Row]) -> bytes:
    """The file of some rows; columns without a value are null, and a key that is no column is a ValueError."""
    schema = SCHEMAS[table]
    known = set(schema.names)
    for row in rows:
        if unknown := row.keys() - known:
            raise ValueError(f"no such column of {table}: {', '.join(sorted(unknown))}")
    full = [{**dict.fromkeys(schema.names), **row, "schema_version": SCHEMA_VERSION} for row in rows]
    return encode_table(pa.Table.from_pylist(full, schema=schema))


def encode_table(content: pa.Table, version: int = SCHEMA_VERSION) -> bytes:
    """The sealed file of a table as it is; equal tables are equal bytes."""
    buffer = pa.BufferOutputStream()
    # Of a file of one row, statistics, dictionaries and Arrow's copy of the schema would be the larger part, and to
    # compress each of its many short columns takes half of the time; a file with Arrow's copy of the schema is refused.
    with pq.ParquetWriter(
        buffer,
        content.schema,
        compression="zstd" if len(content) > 1 else "none",
        use_dictionary=len(content) > 1,
        write_statistics=False,
        store_schema=False,
        write_page_checksum=True,
    ) as writer:
        writer.write_table(content.combine_chunks())
        writer.add_key_value_metadata({"stcnas": f"stcnas:schema={version} sha256={'0' * _DIGITS}"})
    data = bytearray(buffer.getvalue())
    _, start = _find_seal(data)
    data[start : start + _DIGITS] = hashlib.sha256(data).hexdigest().encode()
    return bytes(data)


def collected_key(table: str, data: bytes) -> str:
    """Where a file of many trials is written; its name is its digest."""
    return f"{table}/{COLLECTED}/{check_seal(data)[1][:_NAMED]}.parquet"


def check_seal(data: bytes) -> tuple[int, str]:
    """The schema version and the digest of a file of which every byte is as it was written; else a ValueError.

    Parses nothing.
    """
    version, start = _find_seal(data)
    digest = hashlib.sha256(memoryview(data)[:start])
    digest.update(b"0" * _DIGITS)
    digest.update(memoryview(data)[start + _DIGITS :])
    if digest.hexdigest().encode() != data[start : start + _DIGITS]:
        raise ValueError("its checksum is wrong")
    return version, digest.hexdigest()


def _find_seal(data: bytes | bytearray) -> tuple[int, int]:
    """The schema version that a file states, and where its digest stands."""
    if len(data) < len(_MAGIC) + _TAIL or data[:4] != _MAGIC or data[-4:] != _MAGIC:
        raise ValueError("it is no whole Parquet file")
    footer = len(data) - _TAIL - int.from_bytes(data[-8:-4], "little")
    if footer < len(_MAGIC):
        raise ValueError("it is no whole Parquet file")
    found = _SEAL.search(data, footer)
    if found is None:
        raise _RefusedError("foreign", "it does not carry the seal of stcnas")
    return int(found[1]), found.start(2)


def check(uri: str, key: str, data: bytes) -> None:
    """Raise DamagedError unless the file under a key is whole; parses nothing."""
    try:
        version, digest = check_seal(data)
        if version > SCHEMA_VERSION:
            reason = f"schema version {version}; this one knows up to {SCHEMA_VERSION}"
            message = f"{uri}/{key} was written by a newer stcnas ({reason}): upgrade stcnas"
            raise DamagedError(message, f"written by a newer stcnas ({reason})", "newer")
        if is_collected(key) and not digest.startswith(key.split("/")[2].removesuffix(".parquet")):
            raise _RefusedError("mismatching", "its name is not that of its content")
    except DamagedError:
        raise
    except ValueError as error:
        raise damaged(uri, key, error) from None


def decode(uri: str, table: str, key: str, data: bytes, columns: Sequence[str]) -> pa.Table:
    """Some columns of a file in the current schema; those that an older version lacked are null.

    Raises DamagedError where the file is anything else than the rows that its name promises.
    """
    check(uri, key, data)
    try:
        return _decode(table, key, data, columns)
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError) as error:
        raise damaged(uri, key, error) from None


def damaged(uri: str, key: str, error: Exception) -> DamagedError:
    """The error that names a file and says what to do."""
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    return DamagedError(
        f"{uri}/{key} is damaged ({reason}): `stcnas verify --storage {uri}` lists all damage, and with --move-aside "
        "clears it away; the next run then runs again what has no record",
        reason,
        error.kind if isinstance(error, _RefusedError) else "damaged",
    )


def _decode(table: str, key: str, data: bytes, columns: Sequence[str]) -> pa.Table:
    version, _ = check_seal(data)
    # Arrow builds the types that this metadata names, and types of other libraries may unpickle.
    if b"ARROW:schema" in memoryview(data)[_footer(data) :].tobytes():
        raise ValueError("it has types of Arrow that no table of stcnas has")
    file = pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True)
    schema, found = SCHEMAS[table], file.schema_arrow
    _check_size(table, key, file.metadata)
    # Arrow builds this list anew whenever it is asked for.
    names = found.names
    if len(set(names)) < len(names):
        raise ValueError("a column is there twice")
    named_by = id_column(table)
    wanted = dict.fromkeys([named_by, *columns])
    there = set(names)
    present = [name for name in wanted if name in there]
    if version == SCHEMA_VERSION and (lacking := wanted.keys() - set(present)):
        raise ValueError(f"it lacks {', '.join(sorted(lacking))}")
    for name in present:
        kind, meant = found.field(name).type, schema.field(name).type
        strange = isinstance(kind, pa.BaseExtensionType) or (pa.types.is_nested(kind) and not pa.types.is_nested(meant))
        if strange or (version == SCHEMA_VERSION and not _same(kind, meant)):
            raise ValueError(f"its column {name} is {kind}, not {meant}")
    # A thread of Arrow's pool that lets go of a Python buffer while the interpreter ends aborts the process.
    read = file.read(columns=present, use_threads=False)
    if not is_collected(key) and set(read.column(named_by).to_pylist()) - {key.split("/")[1].removesuffix(".parquet")}:
        raise _RefusedError("mismatching", "it holds another trial than its name says")
    fields = [schema.field(name) for name in columns]
    arrays = [
        _as(read.column(field.name), field.type) if field.name in there else pa.nulls(len(read), field.type)
        for field in fields
    ]
    return pa.table(arrays, schema=pa.schema(fields))


def _as(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    return column if column.type.equals(kind) else column.cast(kind)


def _footer(data: bytes) -> int:
    return len(data) - _TAIL - int.from_bytes(data[-8:-4], "little")


def _same(kind: pa.DataType, meant: pa.DataType) -> bool:
    """Whether a column is of its type; Parquet calls the entries of a list otherwise than Arrow does."""
    if pa.types.is_list(kind) and pa.types.is_list(meant):
        return kind.value_type == meant.value_type
    return kind == meant


def _check_size(table: str, key: str, metadata: pq.FileMetaData) -> None:
    """Refuse what would unpack to more than any file of the ledger."""
    unpacked = sum(metadata.row_group(group).total_byte_size for group in range(metadata.num_row_groups))
    most = MOST_ROWS[table] if not is_collected(key) else max(MOST_ROWS.values())
    if metadata.num_rows > most:
        raise ValueError(f"it claims {metadata.num_rows} rows, more than the {most} that such a file may have")
    if unpacked > MOST_BYTES:
        raise ValueError(f"it would unpack to {unpacked} bytes, more than the {MOST_BYTES} that a file may have")
