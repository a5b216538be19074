"""Pydantic's findings in a sweep as one message that a person can act on: place, key, what was found, what to do."""

import re
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from orchestrator.sweep_file.sources import Source, dotted, known_keys, unknown_key
from orchestrator.sweep_file.yaml_file import KeyPath
from stcnas_core.errors import InputError

_MUST_BE = {
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "string_type": "text",
    "list_type": "a list",
    "tuple_type": "a list",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "dict_type": "a mapping",
    "finite_number": "a finite number",
}


MOST_LINES = 20
"""Findings that a person is told at once."""


def as_input_error(error: ValidationError, source: Source) -> InputError:
    """One InputError with a line for each finding, as far as a person reads them."""
    found = error.errors(include_url=False)
    lines = [_line(details, source) for details in found[:MOST_LINES]]
    more = [f"and {len(found) - MOST_LINES:,} more"] if len(found) > MOST_LINES else []
    return InputError("\n".join([*lines, *more]))


def place(path: KeyPath, message: str, source: Source) -> str:
    """`message` with the origin of what it speaks of; a message that begins with a field's name is placed there."""
    named = re.match(r"(\w+): ", message)
    if named and (*path, named[1]) in source.origins:
        return f"{source.where((*path, named[1]))}: {dotted(path)}.{message}"
    return f"{source.where(path)}: {dotted(path)}: {message}"


def _line(details: ErrorDetails, source: Source) -> str:
    path: KeyPath = tuple(details["loc"])
    kind, found, context = details["type"], details["input"], details.get("ctx", {})
    if kind == "extra_forbidden":
        return f"{source.where(path)}: {unknown_key(path, known_keys(path[:-1]) or ())}"
    if kind == "missing" and isinstance(path[-1], int):
        return f"{source.where(path[:-1])}: {dotted(path[:-1])} needs an entry {path[-1] + 1}"
    if kind == "missing":
        return f"{source.where(path[:-1])}: the key {dotted(path)} is missing"
    if kind == "value_error":
        return place(path, str(context["error"]), source)
    if kind == "literal_error":
        must = f"must be one of {context['expected']}"
    elif kind == "too_short":
        must = "must not be empty"
    elif kind in _MUST_BE:
        must = f"must be {_MUST_BE[kind]}"
    else:
        must = re.sub(r"^(Input|Value|String|Tuple|List) should", "must", details["msg"])
    return f"{source.where(path)}: {dotted(path)} {must}, found {_described(found)}"


def _described(value: Any) -> str:
    match value:
        case None:
            return "nothing (null)"
        case bool():
            return str(value).lower()
        case str():
            return f"the text {value[:60]!r}"
        case int() | float():
            return f"the number {value!r}"
        case dict():
            return "a mapping"
        case list() | tuple():
            return "an empty list" if not value else f"a list of {len(value)}"
        case _:
            return type(value).__name__
