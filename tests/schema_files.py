"""Writes the example files of the current schema version: `python tests/schema_files.py`, once per version.

They stay in the repository for ever, so that every later version is tested to read them. `--unreleased` rewrites those
of a version that no release has written yet.
"""

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

FOLDER = Path(__file__).resolve().parent / "data"
ID = "0123456789abcdef0123"


def columns(schemas: dict[str, pa.Schema]) -> dict[str, dict[str, str]]:
    """Names and types of the columns of each table."""
    return {table: {field.name: str(field.type) for field in schema} for table, schema in schemas.items()}


def example(schema: pa.Schema, number: int = 0) -> dict[str, Any]:
    """A row without nulls, as JSON has it, apart from its version."""
    row: dict[str, Any] = {}
    for index, field in enumerate(schema):
        if pa.types.is_integer(field.type):
            row[field.name] = index + number
        elif pa.types.is_floating(field.type):
            row[field.name] = index + number / 4
        elif pa.types.is_boolean(field.type):
            row[field.name] = index % 2 == 0
        elif pa.types.is_list(field.type):
            row[field.name] = [0.5, 0.999]
        elif pa.types.is_timestamp(field.type):
            row[field.name] = datetime(2026, 1, 2, 3, 4, 5, index, tzinfo=UTC).isoformat()
        else:
            row[field.name] = f"{field.name} {number} é"
    return {**row, next(name for name in ("trial_id", "benchmark_id") if name in row): ID}


def main(*, unreleased: bool) -> None:
    """Write the files, their rows and the listing of their columns."""
    from orchestrator import records
    from orchestrator.schema import SCHEMA_VERSION

    folder = FOLDER / f"schema_v{SCHEMA_VERSION}"
    if folder.exists() and not unreleased:
        raise SystemExit(f"{folder} is there already: raise SCHEMA_VERSION in orchestrator/schema.py first")
    folder.mkdir(parents=True, exist_ok=True)
    rows: dict[str, list[dict[str, Any]]] = {}
    for table, schema in records.SCHEMAS.items():
        count = 1 if records.MOST_ROWS[table] == 1 else 3
        rows[table] = [{**example(schema, number), "schema_version": SCHEMA_VERSION} for number in range(count)]
        times = [field.name for field in schema if pa.types.is_timestamp(field.type)]
        plain = [{**row, **{name: datetime.fromisoformat(row[name]) for name in times}} for row in rows[table]]
        (folder / f"{table}.parquet").write_bytes(records.encode(table, plain))
    for name, content in (("columns", columns(records.SCHEMAS)), ("rows", rows)):
        (folder / f"{name}.json").write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    main(unreleased="--unreleased" in sys.argv[1:])
