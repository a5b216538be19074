"""`stcnas collect`: many small files of finished trials become few large ones, while sweeps run.

Each batch of trials is written into `<table>/collected/`, read back, and only then its own files are deleted; so at
every instant each row is in a file, for a moment in two, which the ledger's readers count once. The trials go last, so
that a trial whose record is collected has all of its rows collected. Failed trials stay in their own files, since they
can be taken back. A collected file that is small, or shares a trial with another after a killed `collect`, goes into a
new one.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import pyarrow as pa

from orchestrator import records
from orchestrator.ledger import Ledger, by_trial, only

TRIALS_EACH = 1_000
ROWS_EACH = 1_000_000
"""A collected file ends at so many trials or rows; one with less than half of both is small."""


@dataclass(frozen=True)
class Collected:
    """What became of one table."""

    table: str
    moved: int
    """Files of single trials that are gone now."""
    written: int
    """Collected files that were written."""
    collected: int
    """Collected files that there are."""


def collect(ledger: Ledger) -> list[Collected]:
    """Compact all finished trials; can be stopped at any time, and run again, also beside running sweeps.

    Raises DamagedError, and changes nothing more, where a file that it meets is not whole.
    """
    return [_collect(ledger, table) for table in ("alphas", "ranks", "epochs", "trials")]


def _collect(ledger: Ledger, table: str) -> Collected:
    storage = ledger.storage
    own = ledger.names(table)
    parts = _parts(ledger, table)
    shared = Counter(trial_id for trials in parts.values() for trial_id in trials)
    own_done = {row["trial_id"] for row in ledger.rows(own, ["trial_id", "state"]) if row["state"] == "finished"} & own
    # What a killed `collect` has left behind is in a collected file already.
    for trial_id in sorted(own_done & shared.keys()):
        storage.delete(records.key_of(table, trial_id))
    new = sorted(own_done - shared.keys())
    merge = [key for key in parts if any(shared[trial_id] > 1 for trial_id in parts[key])]
    small = [key for key in parts if key not in merge and _is_small(ledger, table, key)]
    if merge or len(small) + bool(new) > 1:
        merge += small
    written: set[str] = set()
    for rows, sources in _batches(ledger, table, sorted(merge), new):
        data = records.encode_table(rows)
        key = records.collected_key(table, data)
        storage.create(key, data)
        # Of these rows there is no other copy in a moment.
        records.check(storage.uri, key, storage.read(key) or b"")
        written.add(key)
        for source in sources - {key}:
            storage.delete(source)
    return Collected(table, len(own_done), len(written - parts.keys()), len(ledger.collected(table)))


def _parts(ledger: Ledger, table: str) -> dict[str, frozenset[str]]:
    """The collected files of a table and the trials in each."""
    keys = ledger.collected(table)
    found: dict[str, frozenset[str]] = {}
    for key, data in zip(keys, ledger.storage.read_many(keys), strict=True):
        if data is not None:
            records.check(ledger.storage.uri, key, data)
            found[key] = ledger.ids_in(key, data)
    return found


def _is_small(ledger: Ledger, table: str, key: str) -> bool:
    data = ledger.storage.read(key)
    if data is None or len(ledger.ids_in(key, data)) * 2 >= TRIALS_EACH:
        return False
    rows = records.decode(ledger.storage.uri, table, key, data, ["trial_id"])
    return len(rows) * 2 < ROWS_EACH


def _batches(
    ledger: Ledger, table: str, merge: Iterable[str], new: Iterable[str]
) -> Iterator[tuple[pa.Table, set[str]]]:
    """Rows for one collected file at a time, no trial twice, and the files that can go once it is written.

    A file whose rows go into several is among the sources of the last.
    """
    rows: list[pa.Table] = []
    sources: set[str] = set()
    taken: set[str] = set()
    trials = count = 0
    for key, content in _sources(ledger, table, [*merge, *(records.key_of(table, trial_id) for trial_id in new)]):
        there = set(content.column("trial_id").unique().to_pylist())
        if there & taken:
            content = only(content, there - taken)
        if rows and (trials + len(there) > TRIALS_EACH or count + len(content) > ROWS_EACH):
            yield by_trial(pa.concat_tables(rows)), sources
            rows, sources, trials, count = [], set(), 0, 0
        rows.append(content)
        sources.add(key)
        trials, count = trials + len(there - taken), count + len(content)
        taken |= there
    if rows:
        yield by_trial(pa.concat_tables(rows)), sources


def _sources(ledger: Ledger, table: str, keys: list[str]) -> Iterator[tuple[str, pa.Table]]:
    names = records.SCHEMAS[table].names
    for key, data in zip(keys, ledger.storage.read_many(keys), strict=True):
        if data is not None:
            yield key, records.decode(ledger.storage.uri, table, key, data, names)
