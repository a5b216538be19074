"""The page of what a sweep file may hold, made from the code.

`python -m orchestrator.pages.sweep_page > docs/sweep-file.md`
"""

import dataclasses
import types
import typing
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from orchestrator.pages.schema_page import sentences
from orchestrator.spec import Data, Lookup, Sweep
from orchestrator.sweep_file.resources import RetrainResources, StageResources
from orchestrator.sweep_file.space import Objective, Optuna, Prune
from stcnas_core.config import RetrainConfig, SearchConfig
from stcnas_core.method_fields import METHOD_DEFAULTS, METHOD_FIELDS, METHOD_WITHOUT, UNTRAINED, UNTRAINED_FIELDS

_SECTIONS: tuple[tuple[str, type[BaseModel]], ...] = (
    ("resources.search and resources.retrain", StageResources),
    ("resources.retrain alone", RetrainResources),
    ("lookup", Lookup),
    ("data", Data),
    ("optuna", Optuna),
    ("optuna.objectives", Objective),
    ("optuna.prune", Prune),
)
_WORDS = {
    str: "text",
    int: "whole number",
    float: "number",
    bool: "true, false",
    dict: "mapping",
    list: "list",
    Path: "path",
    type(None): "null",
}
_INTRODUCTION = """# The sweep file

Everything that a sweep file may hold. This page is made from `orchestrator/spec.py`,
`orchestrator/sweep_file/space.py` and `stcnas_core/config.py` by
`python -m orchestrator.pages.sweep_page > docs/sweep-file.md`.

A sweep file is YAML, read strictly: a key that is not known, a text where a number belongs, a key that is there twice,
an anchor or a tag is refused with its line, before anything runs. `name` alone is needed. `--set KEY=VALUE` overrides
any value by its path, as `--set search.epochs=3`; `--profile NAME` applies the changes that the file has under
`profiles`.

A field of the search or the retraining is part of a trial's id wherever it has an effect. Everything else is not:
moving the data, another GPU share or another title makes no new trials."""


def page() -> str:
    """All sections as Markdown."""
    parts = [_INTRODUCTION, "", "## Keys", ""]
    parts += _rows(_keys(Sweep))
    parts += [
        "",
        "## search",
        "",
        "The fields of a search, which `grid` and `variants` vary and `optuna.space` ranges over.",
        "",
    ]
    parts += _rows(_fields(SearchConfig, ("seed",)))
    parts += ["", "### Defaults by method", "", *_methods()]
    parts += [
        "",
        "## retrain",
        "",
        "The fields of a retraining. `dataset` and `resolution` are those of `search` unless given. Beside them:",
        "",
        *_rows(_BESIDE),
        "",
    ]
    parts += _rows(_fields(RetrainConfig, ("seed", "genotype")))
    for title, model in _SECTIONS:
        parts += ["", f"## {title}", "", (model.__doc__ or "").strip().split("\n\n")[0], ""]
        parts += _rows(_keys(model))
    return "\n".join(parts) + "\n"


_BESIDE = (
    ("seeds", "list of whole numbers", "`[0]`", "Seeds that every cell is trained with."),
    (
        "every_epochs",
        "whole number or null",
        "`null`",
        "Also retrains the cells that a search had derived on its way, after every so many epochs.",
    ),
)


def _methods() -> list[str]:
    """What the fields that are left null are, by method, and the fields that only some methods read."""
    names = list(dict.fromkeys(name for defaults in METHOD_DEFAULTS.values() for name in defaults))
    lines = [
        "A field that is left null is the method's own, as in its paper but where its line above says otherwise.",
        "What a method does not read is empty here, and a grid over it is refused.",
        "",
        "| method | reads besides | " + " | ".join(f"`{name}`" for name in names) + " |",
        "|---" * (2 + len(names)) + "|",
    ]
    for method, fields in METHOD_FIELDS.items():
        unread = set(names) - UNTRAINED_FIELDS if method in UNTRAINED else METHOD_WITHOUT.get(method, set())
        defaults = {name: value for name, value in METHOD_DEFAULTS[method].items() if name not in unread}
        shown = [_shown(defaults[name]) if name in defaults else "" for name in names]
        own = ", ".join(f"`{field}`" for field in sorted(fields))
        lines.append(f"| `{method}` | {own} | " + " | ".join(shown) + " |")
    return lines


def _keys(model: type[BaseModel]) -> Iterable[tuple[str, str, str, str]]:
    said = sentences(model)
    for name, field in model.model_fields.items():
        if name not in said:  # of the model that this one extends
            continue
        kind = "list or mapping" if name == "genotypes" else _kind(field.annotation)
        yield name, kind, _default(field), said[name]


def _fields(config: type, left_out: tuple[str, ...]) -> Iterable[tuple[str, str, str, str]]:
    said, hints = sentences(config), typing.get_type_hints(config)
    for field in dataclasses.fields(config):
        if field.name not in left_out:
            yield field.name, _kind(hints[field.name]), _shown(field.default), said[field.name]


def _kind(annotation: Any) -> str:
    """A type in a person's words, as a file is written."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return _kind(arguments[0])
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in arguments)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_kind(argument) for argument in arguments)
    if origin is tuple:
        return f"list of {len(arguments)} {_kind(arguments[0])}s"
    if origin is list and arguments:
        inner = _kind(arguments[0])
        return f"list of {inner}s" if inner in _WORDS.values() else "list"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "mapping"
    return _WORDS[origin or annotation]


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "needed"
    value = field.get_default(call_default_factory=True)
    return "see there" if isinstance(value, BaseModel) else _shown(value)


def _shown(value: Any) -> str:
    """A value as a file has it."""
    if value is None or isinstance(value, bool):
        return f"`{str(value).lower().replace('none', 'null')}`"
    if isinstance(value, tuple | list):
        return f"`[{', '.join(map(str, value))}]`"
    return f"`{value}`" if value != {} else "none"


def _rows(rows: Iterable[tuple[str, str, str, str]]) -> list[str]:
    lines = ["| key | type | default | what it is |", "|---|---|---|---|"]
    for row in rows:
        name, kind, default, says = (cell.replace("|", "\\|") for cell in row)
        lines.append(f"| `{name}` | {kind} | {default} | {says} |")
    return lines


if __name__ == "__main__":
    print(page(), end="")
