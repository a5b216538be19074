"""What a fuzzer feeds: each target takes any bytes, and raises unless they are read, or refused with an InputError.

A target also raises where something was read that could do harm later: a name that leads out of the storage, a
genotype that is not the same after it is written, a checkpoint that holds more than it weighs.
"""

import hashlib
import io
import json
import re
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from orchestrator import checkpoints, settings
from orchestrator.plan import make_plan
from orchestrator.spec import load_sweep
from orchestrator.storage import LocalStorage
from orchestrator.studies import suggestions
from orchestrator.sweep_file.fields import SearchSection
from stcnas_core.errors import InputError
from stcnas_core.genotype import Genotype

LARGEST_PLAN = 200
"""Trials that a fuzzed sweep may have: the limit itself is tested elsewhere, and expansion takes time."""

LONGEST_MESSAGE = 20_000
"""Characters that a person is told of what is wrong."""

SEPARATOR = b"\x1f"
"""In a fuzzed sweep, between the file, the profile and the overrides."""

_ID = re.compile(r"[0-9a-f]{20}((-e[0-9]+)?-r[0-9]+|-lookup)?")
_FOLDER = Path(tempfile.gettempdir()).absolute()
_CELLS = {"darts": 2, "nasbench201": 1, "layerwise": 1}


def sweep(data: bytes) -> bool:
    """A sweep file, then a profile and overrides; returns whether it was taken."""
    content, *more = data.split(SEPARATOR)
    texts = [part.decode("utf-8", "replace") for part in more]
    with tempfile.NamedTemporaryFile(suffix=".yaml") as file:
        file.write(content)
        file.flush()
        try:
            read = load_sweep(file.name, profile=texts[0] or None if texts else None, overrides=texts[1:])
            before, settings.LARGEST_PLAN = settings.LARGEST_PLAN, LARGEST_PLAN
            try:
                plan = make_plan(read, lambda dataset, path: f"{dataset}@fuzz")
            finally:
                settings.LARGEST_PLAN = before
        except InputError as error:
            _check_message(error)
            return False
    root = _FOLDER / "storage"
    folder = (root / "report" / read.name).resolve()
    assert folder.parent == root / "report", f"the name {read.name!r} leads out of the storage"
    assert (read.title or "").isprintable(), "the title holds control characters"
    storage = LocalStorage(root)
    ids = [trial.id for trial in plan.trials({})]
    assert len(set(ids)) == len(ids) <= LARGEST_PLAN, "ids repeat, or the plan is larger than allowed"
    for trial in plan.trials({}):
        assert _ID.fullmatch(trial.id), f"not an id: {trial.id!r}"
        assert trial.setting.isprintable(), f"the setting {trial.setting!r} holds control characters"
        storage._path(f"trials/{trial.id}.parquet")
    return True


def genotype(data: bytes) -> bool:
    """A genotype in any of its forms; returns whether it was taken."""
    try:
        found = Genotype.parse(data.decode("utf-8", "surrogateescape"))
    except InputError as error:
        _check_message(error)
        return False
    assert len(found.cells) == _CELLS[found.space], "a genotype without its cells"
    for text in (found.to_text(), found.canonical_text(), found.to_json()):
        assert Genotype.parse(text) == found, f"{text} reads as another genotype"
    return True


def checkpoint(data: bytes) -> bool:
    """A checkpoint file: as it is, with a good checksum, or as the pickle of a good archive; whether it was taken."""
    kind, content = data[:1], data[1:]
    if kind == b"p":
        content = archive(content)
    if kind in (b"p", b"s"):
        content = sealed(content)
    try:
        state = checkpoints._decode(content)
    except ValueError as error:
        _check_message(error)
        return False
    assert type(state) is dict, "a checkpoint that is no plain dictionary"
    assert _weight(state) <= 4 * len(content), "a checkpoint that holds more than it weighs"
    return True


def study(data: bytes) -> bool:
    """A suggestion's file, as it is or with a good digest; whether it was taken."""
    if data[:1] == b"s":
        try:
            content = json.loads(data[1:])
            data = suggestions.encode(content)
        except (ValueError, TypeError, RecursionError):
            data = data[1:]
    try:
        found = suggestions.decode("storage", "studies/s/0/suggestions/000001.json", data)
    except InputError as error:
        _check_message(error)
        return False
    assert found["number"] == 1, "a suggestion under another's name"
    # What an older or newer search would make of a value is for the plan to refuse.
    assert set(found.get("params", {})) <= set(SearchSection.model_fields), "a field that no search has"
    return True


TARGETS: dict[str, Callable[[bytes], bool]] = {
    "sweep": sweep,
    "genotype": genotype,
    "checkpoint": checkpoint,
    "study": study,
}


def sealed(payload: bytes) -> bytes:
    """A checkpoint file around a payload, its checksum right."""
    return checkpoints._MAGIC + hashlib.sha256(payload).digest() + payload


def archive(pickled: bytes, compression: int = zipfile.ZIP_STORED) -> bytes:
    """An archive as torch.save writes it, with this pickle and one storage of three floats."""
    entries = {
        "data.pkl": pickled,
        ".format_version": b"1",
        ".storage_alignment": b"64",
        "byteorder": b"little",
        "data/0": b"\0" * 12,
        "version": b"3\n",
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression=compression) as file:
        for name, content in entries.items():
            file.writestr(zipfile.ZipInfo(f"archive/{name}"), content, compress_type=compression)
    return buffer.getvalue()


def _check_message(error: Exception) -> None:
    text = str(error)
    assert text.strip(), "refused without a word"
    assert len(text) <= LONGEST_MESSAGE, f"a message of {len(text)} characters"


def _weight(value: object, seen: set[int] | None = None) -> int:
    """Bytes of the tensors in a state, each once."""
    import torch

    seen = set() if seen is None else seen
    if id(value) in seen:
        return 0
    seen.add(id(value))
    if isinstance(value, torch.Tensor):
        return value.untyped_storage().nbytes()
    if isinstance(value, dict):
        return sum(_weight(part, seen) for part in value.values())
    if isinstance(value, list | tuple):
        return sum(_weight(part, seen) for part in value)
    return len(value) if isinstance(value, bytes | bytearray | str) else 0
