"""Where each value of a sweep came from: a line of its file, of a profile there, or a `--set` on the command line.

A profile and an override are both a patch: mappings merge, anything else replaces, null removes the key (or is the
value, for a field that may be null).
"""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from orchestrator.benchmark import METRICS
from orchestrator.sweep_file import fields, resources, space
from orchestrator.sweep_file.yaml_file import Document, KeyPath, parse
from stcnas_core.errors import InputError

TOP_KEYS = (
    "name",
    "paper",
    "title",
    "search",
    "grid",
    "variants",
    "optuna",
    "seeds",
    "genotypes",
    "retrain",
    "lookup",
    "resources",
    "data",
    "profiles",
)
LONGEST_KEY = 100
"""Characters of a key that is not known, in messages."""


@dataclass
class Source:
    """The content of a sweep after its patches, and the origin of each part as a phrase for messages."""

    file: str
    content: dict[str, Any]
    origins: dict[KeyPath, str] = field(default_factory=dict)

    @classmethod
    def of(cls, document: Document, file: str) -> "Source":
        """The file alone; raises InputError where it holds no mapping."""
        if not isinstance(document.value, dict):
            what = "is empty" if document.value is None else "is no mapping of keys to values"
            raise InputError(f"{file}: {what}; a sweep file begins with `name: ...`")
        return cls(file, document.value, {path: f"{file}, line {line}" for path, line in document.lines.items()})

    def where(self, path: KeyPath) -> str:
        """The origin of `path`, or of the nearest thing around it."""
        while path and path not in self.origins:
            path = path[:-1]
        return self.origins.get(path, self.file) if path else self.file

    def patched(self, patch: dict[str, Any], origins: dict[KeyPath, str]) -> "Source":
        """A copy with `patch` merged in; `origins` says where each of its parts came from."""
        result = Source(self.file, dict(self.content), dict(self.origins))
        result.content = result._merge(self.content, patch, (), origins)
        return result

    def with_profile(self, name: str) -> "Source":
        """A copy with a profile of the file merged in; raises InputError for one that does not exist."""
        profiles = self.content.get("profiles") or {}
        if name not in profiles:
            existing = f"it has: {', '.join(profiles)}" if profiles else "it has none"
            raise InputError(f"{self.file}: no profile {name!r}; {existing}")
        prefix: KeyPath = ("profiles", name)
        if "profiles" in profiles[name]:
            raise InputError(f"{self.where((*prefix, 'profiles'))}: a profile cannot hold profiles")
        origins = {path[2:]: origin for path, origin in self.origins.items() if path[:2] == prefix}
        return self.patched(profiles[name], origins)

    def with_override(self, text: str) -> "Source":
        """A copy with `dotted.key=value` (the value in YAML) merged in; raises InputError where it is malformed."""
        name = f"--set {text}"
        key, equals, value = text.partition("=")
        parts = [part.strip() for part in key.split(".")]
        if not equals or not all(parts):
            raise InputError(f"{name}: write it as key=value, such as search.epochs=3")
        if not value.strip():
            raise InputError(f"{name}: no value; to remove the key, set it to null")
        if parts[0] == "profiles":
            raise InputError(f"{name}: choose a profile with --profile; it cannot be set")
        document = parse(value, name)
        patch: Any = document.value
        for part in reversed(parts):
            patch = {part: patch}
        depth = len(parts)
        origins: dict[KeyPath, str] = {tuple(parts[:length]): name for length in range(1, depth + 1)}
        origins |= {(*parts, *path): name for path in document.lines}
        return self.patched(patch, origins)

    def _merge(self, base: Any, patch: dict[str, Any], path: KeyPath, origins: dict[KeyPath, str]) -> dict[str, Any]:
        merged: dict[str, Any] = dict(base) if isinstance(base, dict) else {}
        for key, value in patch.items():
            here = (*path, key)
            where = origins.get(here, self.file)
            known = known_keys(path)
            if known is not None and key not in known:
                raise InputError(f"{where}: {unknown_key(here, known)}")
            if isinstance(value, dict) and isinstance(merged.get(key), dict):
                merged[key] = self._merge(merged[key], value, here, origins)
                continue
            if value is None and not _may_be_null(here):
                if key not in merged and path and path[0] in ("grid", "variants", "optuna"):
                    raise InputError(f"{where}: there is no {dotted(here)} to remove; {_existing(merged)}")
                merged.pop(key, None)
            else:
                merged[key] = self._merge({}, value, here, origins) if isinstance(value, dict) else value
            self._replace_origins(here, origins)
        return merged

    def _replace_origins(self, here: KeyPath, origins: dict[KeyPath, str]) -> None:
        depth = len(here)
        for path in [path for path in self.origins if path[:depth] == here]:
            del self.origins[path]
        self.origins |= {path: origin for path, origin in origins.items() if path[:depth] == here}


def known_keys(path: KeyPath) -> tuple[str, ...] | None:
    """The keys that the mapping at `path` may have; None where the file chooses its own."""
    match path:
        case ():
            return TOP_KEYS
        case ("search",) | ("variants", _):
            return fields.names(fields.SearchSection)
        case ("grid",):
            return fields.names(fields.GridSection)
        case ("retrain",):
            return fields.names(fields.RetrainSection)
        case ("optuna",):
            return tuple(space.Optuna.model_fields)
        case ("optuna", "space"):
            return fields.names(space.SpaceSection)
        case ("optuna", "objectives", int()):
            return tuple(space.Objective.model_fields)
        case ("optuna", "prune"):
            return tuple(space.Prune.model_fields)
        case ("resources",):
            return tuple(resources.Resources.model_fields)
        case ("resources", "retrain"):
            return tuple(resources.RetrainResources.model_fields)
        case ("resources", _):
            return tuple(resources.StageResources.model_fields)
        case ("data",):
            return ("path",)
        case ("lookup",):
            return ("path", "columns")
        case ("lookup", "columns"):
            return METRICS
        case _:
            return None


def unknown_key(path: KeyPath, known: Iterable[str]) -> str:
    """What to say of a key that is not known: the closest known one, or where it is set instead."""
    section, key = path[:-1], str(path[-1])
    if len(key) > LONGEST_KEY:
        return f"unknown key of {len(key):,} characters: {key[:LONGEST_KEY]!r}..."
    elsewhere = fields.ELSEWHERE.get((str(section[0]), key)) if section else None
    if elsewhere:
        return f"{dotted(path)} cannot be set here: {elsewhere}"
    known = list(known)
    close = difflib.get_close_matches(key, known, n=1)
    if close:
        return f"unknown key {dotted(path)}; did you mean {close[0]!r}?"
    homes = [home for home in ("search", "retrain") if not section and key in (known_keys((home,)) or ())]
    if homes:
        return f"unknown key {dotted(path)}; it belongs in {' or '.join(homes)}"
    return f"unknown key {dotted(path)}; known: {', '.join(known)}"


def dotted(path: KeyPath) -> str:
    """A path as it is written in `--set`, list positions in brackets."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")


def _may_be_null(path: KeyPath) -> bool:
    match path:
        case (("search" | "retrain") as section, str(name)):
            return fields.nullable(section, name)
        case ("variants", _, str(name)):
            return fields.nullable("search", name)
        case _:
            return False


def _existing(merged: dict[str, Any]) -> str:
    return f"there are: {', '.join(merged)}" if merged else "there are none"
