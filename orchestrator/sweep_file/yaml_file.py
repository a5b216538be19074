"""A strict reader of small YAML files that knows the line of every key, for files that people write by hand.

Values are what YAML 1.2's core schema makes of them: `true` and `false` alone are booleans, `1e-3` is a number, dates
and `1:30` are text. Duplicate keys, anchors, aliases, tags, deep nesting and large files are refused, so that a
hostile file costs nothing and builds nothing but mappings, lists, text, numbers, booleans and null.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from stcnas_core.errors import InputError

LARGEST_BYTES = 1 << 20
DEEPEST = 20
MOST_VALUES = 250_000
"""Keys, values and list entries of a file; more than the largest plan needs."""

KeyPath = tuple[str | int, ...]
"""Where a value stands in a file: the keys and list positions that lead to it."""

_TAG = "tag:yaml.org,2002:"
_BOOLEANS = {"true": True, "false": False}
_INFINITE = {".inf": float("inf"), ".nan": float("nan")}


@dataclass(frozen=True)
class Document:
    """What a file says, and where: `lines` gives the line (from 1) of each key and list entry by its path."""

    value: Any
    lines: dict[KeyPath, int]


class _RefusedError(Exception):
    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line


class _Loader(yaml.SafeLoader):
    """PyYAML's composer without anchors, aliases and depth, and with the scalars of YAML 1.2's core schema."""

    yaml_implicit_resolvers = {}  # noqa: RUF012 - PyYAML's name for it; filled below
    depth = 0
    values = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        line = event.start_mark.line + 1
        if getattr(event, "anchor", None) is not None:
            raise _RefusedError(line, "anchors (&) and aliases (*) are not accepted; write the value out")
        if self.depth >= DEEPEST:
            raise _RefusedError(line, f"more than {DEEPEST} levels of nesting")
        self.values += 1
        if self.values > MOST_VALUES:
            raise _RefusedError(line, f"more than {MOST_VALUES:,} values")
        self.depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1

    def fetch_flow_collection_start(self, TokenClass: Any) -> None:
        """PyYAML scans a kilobyte ahead of what it composes, in time that grows with the square of the nesting."""
        if self.flow_level >= DEEPEST:
            raise _RefusedError(self.line + 1, f"more than {DEEPEST} levels of nesting")
        super().fetch_flow_collection_start(TokenClass)  # type: ignore[no-untyped-call]


for _kind, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?[0-9]+", list("-+0123456789")),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", list("-+.0123456789")),
    ("float", r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", list("-+.")),
):
    _Loader.add_implicit_resolver(_TAG + _kind, re.compile(rf"(?:{_pattern})\Z", re.ASCII), _first)


def parse(text: str, name: str) -> Document:
    """Read one YAML document; `name` stands for it in messages. Raises InputError with the line of what is wrong."""
    try:
        loader = _Loader(text)
        try:
            root = loader.get_single_node()
        finally:
            loader.dispose()  # type: ignore[no-untyped-call]
        lines: dict[KeyPath, int] = {}
        return Document(None if root is None else _build(root, (), lines), lines)
    except _RefusedError as error:
        raise InputError(f"{name}, line {error.line}: {error}") from None
    except yaml.YAMLError as error:
        raise InputError(_syntax_message(error, name)) from None


def read(path: str | Path) -> Document:
    """Read a YAML file; raises InputError where it is missing, too large, not UTF-8 or not plain YAML."""
    try:
        with Path(path).open("rb") as file:
            content = file.read(LARGEST_BYTES + 1)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from None
    if len(content) > LARGEST_BYTES:
        raise InputError(f"{path}: larger than {LARGEST_BYTES >> 20} MiB, so it is no sweep file")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InputError(f"{path}, line {line}: not UTF-8 text (byte {content[error.start]:#04x})") from None
    return parse(text, str(path))


def _build(node: yaml.Node, path: KeyPath, lines: dict[KeyPath, int]) -> Any:
    lines.setdefault(path, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode) and node.tag == _TAG + "map":
        mapping: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            key = _build(key_node, (), {}) if isinstance(key_node, yaml.ScalarNode) else None
            if not isinstance(key, str):
                raise _RefusedError(line, f"the key {_shown(key_node)} is not text; put it in quotes")
            if key in mapping:
                raise _RefusedError(
                    line, f"the key {_shown(key_node)} is here twice, first on line {lines[(*path, key)]}"
                )
            lines[(*path, key)] = line
            mapping[key] = _build(value_node, (*path, key), lines)
        return mapping
    if isinstance(node, yaml.SequenceNode) and node.tag == _TAG + "seq":
        return [_build(entry, (*path, index), lines) for index, entry in enumerate(node.value)]
    if isinstance(node, yaml.ScalarNode):
        return _scalar(node)
    raise _RefusedError(node.start_mark.line + 1, f"the tag {node.tag[:60]!r} is not accepted")


def _scalar(node: yaml.ScalarNode) -> Any:
    text: str = node.value
    kind = node.tag.removeprefix(_TAG)
    line = node.start_mark.line + 1
    try:
        match kind:
            case "str":
                return text
            case "null":
                return None
            case "bool":
                return _BOOLEANS[text.lower()]
            case "int":
                number = int(text)
                if not -(2**63) <= number < 2**63:
                    raise ValueError("beyond 64 bits")
                return number
            case "float":
                bare = text.lower().lstrip("+-")
                value = _INFINITE[bare] if bare in _INFINITE else float(bare)
                return -value if text.startswith("-") else value
    except (ValueError, KeyError):
        raise _RefusedError(line, f"{_shown(node)} cannot be read as {kind}") from None
    raise _RefusedError(line, f"the tag {node.tag[:60]!r} is not accepted")


def _shown(node: yaml.Node) -> str:
    text = repr(node.value) if isinstance(node, yaml.ScalarNode) else "(a list or mapping)"
    return text if len(text) <= 60 else f"{text[:60]}..."


def _syntax_message(error: yaml.YAMLError, name: str) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error)
    context = getattr(error, "context", None)
    text = (f"{context}, {problem}" if context else problem)[:300]
    hint = "; indent with spaces, not tabs" if "'\\t'" in problem else ""
    where = f"{name}, line {mark.line + 1}" if mark is not None else name
    return f"{where}: not valid YAML: {text}{hint}"
