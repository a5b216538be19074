"""All failed attempts of a sweep's trials, by kind: those that were started again as well as those that were not."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from orchestrator.ledger import Ledger
from orchestrator.records import decode

_COLUMNS = ["trial_id", "attempt", "error_kind", "error", "host", "finished_at"]
_LONG_AGO = datetime.min.replace(tzinfo=UTC)


def attempts(ledger: Ledger, ids: Iterable[str]) -> list[dict[str, Any]]:
    """One row for each failed attempt of some trials: `record`, the file's key, and columns of the failures table."""
    wanted = set(ids)
    keys = [key for key in ledger.storage.keys("failures") if key.split("/")[1] in wanted and key.endswith(".parquet")]
    rows: list[dict[str, Any]] = []
    for key, data in zip(keys, ledger.storage.read_many(keys), strict=True):
        if data is not None:
            found = decode(ledger.storage.uri, "failures", key, data, _COLUMNS).to_pylist()
            rows += [{**row, "record": key} for row in found]
    return rows


def by_kind(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """For each kind: how many failed attempts of how many trials, and the last one's last line and record."""
    kinds: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        kinds[row["error_kind"]].append(row)
    summary: list[dict[str, Any]] = []
    for kind, alike in sorted(kinds.items()):
        newest = max(alike, key=lambda row: row["finished_at"] or _LONG_AGO)
        summary.append(
            {
                "kind": kind,
                "attempts": len(alike),
                "trials": len({row["trial_id"] for row in alike}),
                "last_error": last_line(newest["error"]),
                "host": newest["host"],
                "record": newest["record"],
            }
        )
    return summary


def last_line(text: str | None) -> str:
    """The line of a traceback that says what went wrong."""
    lines = (text or "").strip().splitlines()
    return lines[-1] if lines else "no error text"
