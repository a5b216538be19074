"""Resume checkpoints by trial id, valid for any driver and cluster that sees the storage.

`checkpoints/<id>/<epoch>.ckpt` holds the state after so many epochs, the newest two are kept, each under a checksum;
`checkpoints/<id>/attempt-<n>.json` marks the n-th start of the trial. All of it goes when the trial has its record.
Nothing is unpickled but tensors and plain values (`weights_only`).
"""

import hashlib
import io
import json
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from orchestrator.archive import check_archive
from orchestrator.storage import Storage

_MAGIC = b"stcnas checkpoint 1\n"
_DIGEST = 32


@dataclass(frozen=True)
class Start:
    """One start of a trial: its number from 1, and when the first of its starts was."""

    attempt: int
    first_at: datetime


class Checkpoints:
    """Saves and finds the state of unfinished trials under a storage."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage

    def start(self, trial_id: str, after: int = 0) -> Start:
        """Mark a new start of a trial, numbered after its earlier ones and after the `after` that left no marks."""
        now = datetime.now(UTC)
        marks = self._marks(trial_id)
        first_at = self._first_start(marks[min(marks)]) if marks else None
        attempt = max(after, *marks, 0) + 1
        note = json.dumps({"host": socket.gethostname(), "pid": os.getpid(), "started_at": now.isoformat()}).encode()
        self.storage.note(_mark_key(trial_id, attempt), note)
        return Start(attempt, first_at or now)

    def note_hung(self, trial_id: str, attempt: int, where: str) -> None:
        """Add to the mark of a start, before its process is ended, that it hangs and `where`."""
        key = _mark_key(trial_id, attempt)
        self.storage.note(key, json.dumps({**self._said(key), "hung": where}).encode())

    def hung(self, trial_id: str, attempt: int) -> str | None:
        """Where a start of a trial hung; None where it did not."""
        return self._said(_mark_key(trial_id, attempt)).get("hung")

    def started(self, trial_id: str) -> Start | None:
        """The newest start of a trial that is not finished; None where there was none."""
        marks = self._marks(trial_id)
        return Start(max(marks), self._first_start(marks[min(marks)]) or datetime.now(UTC)) if marks else None

    def save(self, trial_id: str, epoch: int, state: dict[str, Any]) -> None:
        """Keep the state after `epoch` epochs, beside the newest one before it."""
        import torch

        buffer = io.BytesIO()
        torch.save(state, buffer)
        payload = buffer.getvalue()
        self.storage.replace(_key(trial_id, epoch), _MAGIC + hashlib.sha256(payload).digest() + payload)
        saved = self._saved(trial_id)
        for old in sorted(number for number in saved if number < epoch)[:-1]:
            self.storage.delete(saved[old])

    def newest(self, trial_id: str, notice: Callable[[str], None]) -> dict[str, Any] | None:
        """The newest state that is whole, None where there is none; each damaged one is told to `notice`."""
        saved = self._saved(trial_id)
        for number in sorted(saved, reverse=True):
            data = self.storage.read(saved[number])
            if data is None:
                continue
            try:
                return _decode(data)
            except ValueError as error:
                notice(f"{self.storage.uri}/{saved[number]} is damaged ({error}); going on from an earlier state")
        return None

    def delete(self, trial_id: str) -> None:
        """Remove all that is kept of an unfinished trial."""
        self.storage.delete_folder(_folder(trial_id))

    def progress(self, trial_id: str) -> tuple[int, int]:
        """How often an unfinished trial was started, and its epochs done."""
        keys = self.storage.keys(_folder(trial_id))
        starts = [_number(key) for key in keys if "/attempt-" in key]
        return max(starts, default=0), max(self._saved(trial_id), default=0)

    def epochs(self) -> dict[str, int]:
        """Epochs done of each trial that was started and has no record yet, or had none when it was killed."""
        done: dict[str, int] = {}
        for key in self.storage.keys("checkpoints"):
            if key.count("/") != 2:  # foreign; `verify` lists it
                continue
            _, trial_id, name = key.split("/")
            epoch = _number(key) if name.endswith(".ckpt") else 0
            done[trial_id] = max(done.get(trial_id, 0), epoch)
        return done

    def _marks(self, trial_id: str) -> dict[int, str]:
        return {_number(key): key for key in self.storage.keys(_folder(trial_id)) if "/attempt-" in key}

    def _saved(self, trial_id: str) -> dict[int, str]:
        return {_number(key): key for key in self.storage.keys(_folder(trial_id)) if key.endswith(".ckpt")}

    def _first_start(self, key: str) -> datetime | None:
        try:
            return datetime.fromisoformat(self._said(key)["started_at"])
        except (ValueError, KeyError, TypeError):
            return None

    def _said(self, key: str) -> dict[str, Any]:
        """What a mark says; nothing where it is gone or damaged, since it is no part of any result."""
        data = self.storage.read(key)
        try:
            said = json.loads(data) if data else {}
        except ValueError:
            return {}
        return said if isinstance(said, dict) else {}


def check(data: bytes) -> None:
    """Raise ValueError unless a file of a checkpoint is whole and holds nothing but tensors and plain values."""
    _decode(data)


def _folder(trial_id: str) -> str:
    return f"checkpoints/{trial_id}"


def _key(trial_id: str, epoch: int) -> str:
    return f"{_folder(trial_id)}/{epoch:06d}.ckpt"


def _mark_key(trial_id: str, attempt: int) -> str:
    return f"{_folder(trial_id)}/attempt-{attempt}.json"


def _number(key: str) -> int:
    """The number in a checkpoint's or a mark's name; -1 in a name that is neither."""
    stem = key.rsplit("/", 1)[1].split(".", 1)[0].removeprefix("attempt-")
    return int(stem) if stem.isdecimal() else -1


def _decode(data: bytes) -> dict[str, Any]:
    import torch

    start = len(_MAGIC) + _DIGEST
    payload = data[start:]
    if data[: len(_MAGIC)] != _MAGIC:
        raise ValueError("it is no checkpoint of this version")
    if hashlib.sha256(payload).digest() != data[len(_MAGIC) : start]:
        raise ValueError("its checksum is wrong")
    check_archive(payload)
    try:
        state = torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)
    except Exception as error:  # a hostile or foreign archive raises whatever it likes; the content is refused
        raise ValueError(f"it cannot be loaded: {type(error).__name__}") from None
    # The archive may hold an ordered dictionary, inside; a state is a plain one.
    if type(state) is not dict:
        raise ValueError("it holds no state")
    return state
