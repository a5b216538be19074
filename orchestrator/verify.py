"""`stcnas verify`: reads every file of a ledger and finds what is wrong with it, beside running sweeps too."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

import pyarrow as pa

from orchestrator import records, soundness
from orchestrator.checkpoints import check as check_checkpoint
from orchestrator.damage import DamagedError
from orchestrator.findings import Findings
from orchestrator.ledger import Ledger
from orchestrator.storage import LocalStorage, StorageError, is_key
from orchestrator.studies import suggestions

FOLDERS = ("checkpoints", "failures", "epochs", "alphas", "ranks", "trials", "benchmarks", "studies")
"""In the order in which they are listed, so that what a running trial writes first is not taken for an orphan."""

_CHECKPOINT = re.compile(r"checkpoints/[A-Za-z0-9_-]+/(\d{6,}\.ckpt|attempt-\d+\.json)")
_FAILURE = re.compile(r"failures/[A-Za-z0-9_-]+/\d+\.parquet")
_STUDY = re.compile(r"studies/[^/]+/[0-9a-f]{12}/(suggestions|verdicts)/\d{6}\.json")
_EPOCH_COLUMNS = ["trial_id", "stage", "epoch", *soundness.FINITE]
_MOST_TRIES = 3


def inspect(ledger: Ledger) -> Findings:
    """Read everything; raises StorageError only where there is no storage or it cannot be listed.

    What is wrong is looked at twice: something that was just being written or collected is no problem.
    """
    if isinstance(ledger.storage, LocalStorage) and not ledger.storage.root.is_dir():
        raise StorageError(f"there is no folder {ledger.storage.uri}: give --storage the one that the sweep ran with")
    findings = _look(ledger)
    if findings.problems:
        seen = {(problem.kind, problem.file, problem.reason) for problem in findings.problems}
        findings = _look(ledger)
        findings.problems = [
            problem for problem in findings.problems if (problem.kind, problem.file, problem.reason) in seen
        ]
    return findings


def _look(ledger: Ledger) -> Findings:
    tries, look = 1, _Look(ledger)
    findings = look.take()
    while look.vanished and tries < _MOST_TRIES:
        tries, look = tries + 1, _Look(ledger)
        findings = look.take()
    return findings


class _Look:
    """One pass over all files."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger, self.storage = ledger, ledger.storage
        self.found = Findings()
        self.vanished = False
        self.unread: set[str] = set()
        """Trials whose record is there and may be sound, but cannot be read from here."""
        self.where: dict[str, dict[str, str]] = {}
        """By table, the first file that has rows of a trial."""

    def take(self) -> Findings:
        listed = {folder: self.storage.keys(folder) for folder in FOLDERS}
        kept = {folder: self._ours(folder, keys) for folder, keys in listed.items()}
        begun = {key.split("/")[1] for key in kept["checkpoints"]}
        for key, rows in self._tables("trials", kept["trials"], records.SCHEMAS["trials"].names):
            self._trials(key, rows)
        for key, rows in self._tables("epochs", kept["epochs"], _EPOCH_COLUMNS):
            self._epochs(key, rows, begun)
        for key, rows in self._tables("alphas", kept["alphas"], ["trial_id", "epoch", "alpha", "weight"]):
            self._alphas(key, rows, begun)
        for key, rows in self._tables("ranks", kept["ranks"], ["trial_id", "epoch", "accuracy"]):
            self._ranks(key, rows, begun)
        for _ in self._tables("benchmarks", kept["benchmarks"], records.SCHEMAS["benchmarks"].names):
            pass
        self._missing_rows()
        self._failures(kept["failures"])
        self._checkpoints(kept["checkpoints"])
        self._studies(kept["studies"])
        counts = self.found.counts
        counts["finished"] = sum(record.finished for record in self.found.records.values())
        counts["failed"] = len(self.found.records) - counts["finished"]
        counts["unfinished"] = len(self.found.unfinished)
        return self.found

    def _ours(self, folder: str, keys: list[str]) -> list[str]:
        """The keys that stcnas would write; the others are foreign."""
        kept: list[str] = []
        for key in keys:
            match folder:
                case "checkpoints":
                    ours = _CHECKPOINT.fullmatch(key) is not None
                case "studies":
                    ours = _STUDY.fullmatch(key) is not None
                case "benchmarks":
                    ours = records.id_of(key) is not None
                case "failures":
                    ours = _FAILURE.fullmatch(key) is not None
                case _:
                    ours = records.id_of(key) is not None or records.is_collected(key)
            if ours:
                kept.append(key)
            else:
                # Names that no storage key can be are left to whoever gave them.
                self.found.wrong("foreign", key, "stcnas writes no file of this name", movable=is_key(key))
        return kept

    def _contents(self, keys: list[str]) -> Iterator[tuple[str, bytes]]:
        """What can be read, in order; what cannot is damaged."""
        for key, data in _read_each(self.ledger, keys):
            if isinstance(data, StorageError):
                self.found.wrong("damaged", key, str(data), movable=False)
                self.unread.add(records.id_of(key) or "")
            elif data is None:
                self.vanished |= not key.startswith("checkpoints/")
            else:
                self.found.counts["files"] += 1
                self.found.counts["bytes"] += len(data)
                yield key, data

    def _tables(self, table: str, keys: list[str], columns: list[str]) -> Iterator[tuple[str, pa.Table]]:
        # A trial that is in a collected file and in its own is the collected one, as it is for readers.
        ordered = sorted(keys, key=lambda key: (not records.is_collected(key), key))
        for key, data in self._contents(ordered):
            try:
                rows = records.decode(self.storage.uri, table, key, data, columns)
            except DamagedError as error:
                self.found.wrong(error.kind, key, error.reason, movable=error.kind != "newer")
                if error.kind == "newer":
                    self.unread.add(records.id_of(key) or "")
                continue
            self.found.counts[f"{table}_rows"] += len(rows)
            self.found.counts["collected_files"] += records.is_collected(key)
            yield key, rows

    def _first_of(self, table: str, key: str, ids: Iterable[str]) -> set[str]:
        """Those of the trials in a file that no earlier file has."""
        where = self.where.setdefault(table, {})
        again = [trial_id for trial_id in ids if where.setdefault(trial_id, key) != key]
        if again:
            first, own = where[again[0]], records.id_of(key) is not None
            reason = f"{'its trial is' if own else f'{len(again)} of its trials are'} in {first} too"
            self.found.wrong(
                "duplicated", key, f"{reason}; readers count it once, `stcnas collect` mends it", movable=own
            )
        return set(ids) - set(again)

    def _trials(self, key: str, rows: pa.Table) -> None:
        content = rows.to_pylist()
        ids = [str(row["trial_id"]) for row in content]
        own = records.id_of(key) is not None
        if len(set(ids)) < len(ids):
            self.found.wrong("duplicated", key, "it has a trial twice", movable=False)
        fresh = self._first_of("trials", key, dict.fromkeys(ids))
        for trial_id, row in zip(ids, content, strict=True):
            if trial_id not in fresh:
                continue
            self.found.records[trial_id] = soundness.record_of(row)
            name = "" if own else f"trial {trial_id}: "
            for reason in soundness.misidentified(row):
                self.found.wrong("mismatching", key, name + reason, movable=own)
            for reason in soundness.unsound(row):
                self.found.wrong("unsound", key, name + reason, movable=own)

    def _known(self, key: str, ids: Iterable[str], begun: set[str]) -> set[str]:
        """Those of the trials in a file of epochs or alphas that have a record; the others are orphans or begun."""
        ids = set(ids)
        lonely = ids - self.found.records.keys() - begun - self.unread
        if lonely and records.id_of(key) is not None:
            self.found.wrong("orphaned", key, "its trial has no record that can be read, and no checkpoint")
        elif lonely:
            self.found.wrong("orphaned", key, f"{len(lonely)} of its trials have no record", movable=False)
        return ids & self.found.records.keys()

    def _epochs(self, key: str, rows: pa.Table, begun: set[str]) -> None:
        by_trial: dict[str, list[Mapping[str, Any]]] = {}
        for row in rows.to_pylist():
            by_trial.setdefault(str(row["trial_id"]), []).append(row)
        fresh = self._first_of("epochs", key, by_trial)
        for trial_id in sorted(self._known(key, fresh, begun)):
            self._fits(key, trial_id, soundness.bad_epochs(self.found.records[trial_id], by_trial[trial_id]))

    def _alphas(self, key: str, rows: pa.Table, begun: set[str]) -> None:
        frame = rows.to_pandas(use_threads=False)
        finite = ~(frame[["alpha", "weight"]].isin([float("inf"), float("-inf")]).any(axis=1) | frame["alpha"].isna())
        grouped = frame.assign(finite=finite).groupby("trial_id").agg({"epoch": "unique", "finite": "all"})
        fresh = self._first_of("alphas", key, [str(trial_id) for trial_id in grouped.index])
        for trial_id in sorted(self._known(key, fresh, begun)):
            epochs, sound = grouped.loc[trial_id, "epoch"], bool(grouped.loc[trial_id, "finite"])
            self._fits(key, trial_id, soundness.bad_alphas(self.found.records[trial_id], epochs, sound))

    def _ranks(self, key: str, rows: pa.Table, begun: set[str]) -> None:
        frame = rows.to_pandas(use_threads=False)
        frame["sound"] = frame["accuracy"].between(0, 100)
        grouped = frame.groupby("trial_id").agg({"epoch": "unique", "sound": "all"})
        fresh = self._first_of("ranks", key, [str(trial_id) for trial_id in grouped.index])
        for trial_id in sorted(self._known(key, fresh, begun)):
            epochs, sound = grouped.loc[trial_id, "epoch"], bool(grouped.loc[trial_id, "sound"])
            self._fits(key, trial_id, soundness.bad_ranks(self.found.records[trial_id], epochs, sound))

    def _fits(self, key: str, trial_id: str, reasons: list[str]) -> None:
        name = "" if records.id_of(key) is not None else f"trial {trial_id}: "
        for reason in reasons:
            self.found.wrong("incomplete", key, f"{name}{reason}; its record stands", movable=False)

    def _missing_rows(self) -> None:
        """Records whose rows in the other tables are nowhere."""
        epochs, alphas, ranks = (self.where.get(table, {}) for table in ("epochs", "alphas", "ranks"))
        # Methods without architecture parameters have none.
        with_alphas = {record.method for trial_id, record in self.found.records.items() if trial_id in alphas}
        for trial_id, record in self.found.records.items():
            key = self.where["trials"][trial_id]
            # Whoever records a trial whose worker died knows how far it was, and has no rows.
            if record.finished and record.stage != "lookup" and trial_id not in epochs:
                reason = f"no epochs of trial {trial_id} can be read; the record stands"
                self.found.wrong("incomplete", key, reason, movable=False)
            searched = record.finished and record.stage == "search" and record.method in with_alphas
            if searched and trial_id not in alphas:
                reason = f"no alphas of trial {trial_id} can be read; the record stands"
                self.found.wrong("incomplete", key, reason, movable=False)

            if record.finished and record.ranked and trial_id not in ranks:
                reason = f"no ranks of trial {trial_id} can be read; the record stands"
                self.found.wrong("incomplete", key, reason, movable=False)

    def _failures(self, keys: list[str]) -> None:
        for key, rows in self._tables("failures", keys, ["attempt"]):
            if rows.column("attempt").to_pylist() != [int(key.rsplit("/", 1)[1].removesuffix(".parquet"))]:
                self.found.wrong("mismatching", key, "it holds another attempt than its name says")

    def _checkpoints(self, keys: list[str]) -> None:
        finished = {trial_id for trial_id, record in self.found.records.items() if record.finished}
        orphans = [key for key in keys if key.split("/")[1] in finished]
        for key in orphans:
            self.found.wrong("orphaned", key, "its trial is finished")
        for key, data in self._contents([key for key in keys if key.split("/")[1] not in finished]):
            self.found.unfinished.setdefault(key.split("/")[1], []).append(key)
            try:
                if key.endswith(".ckpt"):
                    check_checkpoint(data)
                else:
                    datetime.fromisoformat(json.loads(data)["started_at"])
            except (ValueError, KeyError, TypeError) as error:
                self.found.wrong("damaged", key, (str(error) or type(error).__name__).splitlines()[0])

    def _studies(self, keys: list[str]) -> None:
        for key, data in self._contents(keys):
            try:
                suggestions.decode(self.storage.uri, key, data)
                self.found.counts["study_files"] += 1
            except DamagedError as error:
                self.found.wrong(error.kind, key, error.reason, movable=error.kind != "newer")


def _read_each(ledger: Ledger, keys: list[str]) -> Iterator[tuple[str, bytes | StorageError | None]]:
    """The content of each file, or why it cannot be read; several at once where waiting dominates."""
    for at in range(0, len(keys), 256):
        some = keys[at : at + 256]
        try:
            read: list[bytes | StorageError | None] = list(ledger.storage.read_many(some))
        except StorageError:
            read = [_read_one(ledger, key) for key in some]
        yield from zip(some, read, strict=True)


def _read_one(ledger: Ledger, key: str) -> bytes | StorageError | None:
    try:
        return ledger.storage.read(key)
    except StorageError as error:
        return error
