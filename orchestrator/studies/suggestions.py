"""The suggestions of a study as files that are created once: the truth about what was suggested, before it is run.

`studies/<sweep>/<digest>/suggestions/<n>.json` is the n-th suggestion, `verdicts/<n>.json` beside it whether it gets
the rest of its seeds. The digest is of what all suggestions have in common, the fields of `search` that are not their
defaults and the names of what is varied: a sweep whose base or whose parameters change is another study, as its trials
are other trials, and finds its suggestions again when it is changed back. Ranges, objectives, seeds and the number of
suggestions may change within a study.
"""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from pydantic import ValidationError

from orchestrator.damage import DamagedError
from orchestrator.spec import Sweep
from orchestrator.storage import Storage
from orchestrator.sweep_file.fields import SearchSection
from stcnas_core.config import SearchConfig

VERSION = 1
FOLDER = "studies"


@dataclass(frozen=True)
class Suggestion:
    """One setting that was suggested."""

    number: int
    """From 1."""
    params: Mapping[str, Any]
    """The suggested fields of the search."""
    first: int | None = None
    """How many seeds are run before it is decided whether the others are; None runs all."""
    goes_on: bool | None = None
    """The decision; None where it is not made yet or there is none to make."""

    @property
    def name(self) -> str:
        """The name of its setting."""
        return f"suggestion {self.number}"

    def undecided(self, sweep: Sweep) -> bool:
        """Whether it is yet to be decided if it gets all of its seeds; where nothing is pruned any more it does."""
        return self.first is not None and self.goes_on is None and pruning(sweep)

    def seeds(self, sweep: Sweep) -> list[int]:
        """The seeds that it is run at, as far as that is decided."""
        return sweep.seeds[: self.first] if pruning(sweep) and not self.goes_on else sweep.seeds


def pruning(sweep: Sweep) -> bool:
    """Whether a sweep stops suggestions after their first seeds."""
    return sweep.optuna is not None and sweep.optuna.prune is not None


def study_folder(sweep: Sweep) -> str:
    """Where the suggestions of a sweep lie."""
    assert sweep.optuna is not None
    given = {field.name: getattr(sweep.base, field.name) for field in dataclasses.fields(SearchConfig)}
    given = {name: value for name, value in given.items() if value != getattr(SearchConfig(), name)}
    content = json.dumps([given, sorted(sweep.optuna.space)], sort_keys=True)
    return f"{FOLDER}/{sweep.name}/{hashlib.sha256(content.encode()).hexdigest()[:12]}"


def refuse(error: DamagedError) -> None:
    """What is done about a damaged file where nothing else is said: raise the error."""
    raise error


class Book:
    """Reads and writes the suggestions of one study."""

    def __init__(self, storage: Storage, sweep: Sweep) -> None:
        self.storage, self.folder = storage, study_folder(sweep)

    def read(self, damaged: Callable[[DamagedError], None] = refuse) -> tuple[Suggestion, ...]:
        """All suggestions in their order; `damaged` is told of files that are not as they were written, and are left
        out, or raises the error, as by default.
        """
        verdicts = {number: content["goes_on"] for number, content in self._read("verdicts", damaged).items()}
        found = self._read("suggestions", damaged)
        return tuple(
            Suggestion(number, found[number]["params"], found[number]["first"], verdicts.get(number))
            for number in sorted(found)
        )

    def add(self, suggestion: Suggestion) -> bool:
        """Write a suggestion down; False where another has its number."""
        content = {"params": dict(suggestion.params), "first": suggestion.first, "optuna": version("optuna")}
        return self._create("suggestions", suggestion.number, content)

    def decide(self, number: int, goes_on: bool, why: str) -> bool:
        """Write down whether a suggestion gets all of its seeds; False where that was decided before."""
        return self._create("verdicts", number, {"goes_on": goes_on, "why": why})

    def others(self) -> list[str]:
        """Folders of studies of the same sweep with another base or other parameters."""
        sweep = self.folder.rpartition("/")[0]
        found = dict.fromkeys("/".join(key.split("/")[:3]) for key in self.storage.keys(sweep))
        return [folder for folder in found if folder != self.folder]

    def _create(self, kind: str, number: int, content: dict[str, Any]) -> bool:
        return self.storage.create(f"{self.folder}/{kind}/{number:06d}.json", encode({"number": number, **content}))

    def _read(self, kind: str, damaged: Callable[[DamagedError], None]) -> dict[int, dict[str, Any]]:
        keys = self.storage.keys(f"{self.folder}/{kind}")
        found: dict[int, dict[str, Any]] = {}
        for key, data in zip(keys, self.storage.read_many(keys), strict=True):
            if data is None:
                continue
            try:
                content = decode(self.storage.uri, key, data)
            except DamagedError as error:
                damaged(error)
            else:
                found[content["number"]] = content
        return found


def encode(content: dict[str, Any]) -> bytes:
    """A file of a study: JSON whose last key is the digest of the rest."""
    content = {"version": VERSION, **content}
    return (json.dumps({**content, "sha256": _digest(content)}, indent=1) + "\n").encode()


def decode(uri: str, key: str, data: bytes) -> dict[str, Any]:
    """What `encode` wrote, with parameters in their fields' types; raises DamagedError for anything else."""
    newer = False
    try:
        content = json.loads(data)
        digest = content.pop("sha256")
        if digest != _digest(content):
            raise ValueError("its checksum is wrong")
        newer = content["version"] > VERSION
        if newer:
            raise ValueError("written by a newer stcnas")
        if type(content["number"]) is not int or key.rpartition("/")[2] != f"{content['number']:06d}.json":
            raise ValueError("its name is another's")
        if key.split("/")[-2] == "verdicts":
            if type(content["goes_on"]) is not bool:
                raise ValueError("it decides nothing")
            return content
        params = SearchSection.model_validate(content["params"])
        content["params"] = {name: getattr(params, name) for name in content["params"]}
        first = content["first"]
        if first is not None and (type(first) is not int or first < 1):
            raise ValueError("its first seeds are no number")
        return content
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, ValidationError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        if newer:
            raise DamagedError(f"{uri}/{key} was {reason}: upgrade stcnas", reason, "newer") from None
        raise DamagedError(
            f"{uri}/{key} is damaged ({reason}): `stcnas verify --storage {uri} --move-aside` clears it away, and the "
            "suggestion with it; what was run stays",
            reason,
        ) from None


def _digest(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
