"""docs/troubleshooting.md quotes messages that the code has, and every kind of failure."""

import ast
import re
import typing
from functools import cache
from pathlib import Path

import pytest

from orchestrator.policy import RULES, Kind

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
QUOTED = re.findall(r"^\| `([^`]+)` \|[^|]*\|$", PAGE, re.MULTILINE)
VARIES = "\0"


@cache
def templates() -> tuple[str, ...]:
    """Every text of the product's code, with what an f-string puts in as one character that no text has."""
    found: dict[str, None] = {}
    for room in ("orchestrator", "stcnas_core", "analysis"):
        for file in sorted((ROOT / room).rglob("*.py")):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.JoinedStr):
                    parts = (part.value if isinstance(part, ast.Constant) else VARIES for part in node.values)
                    found["".join(map(str, parts))] = None
                elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                    found[node.value] = None
    return tuple(found)


def is_in_the_code(message: str) -> bool:
    """Whether one text of the code has all fixed parts of a message, in their order and with something between."""
    parts = [re.escape(part) for part in message.split("…") if part]
    pattern = re.compile(".+?".join(parts), re.DOTALL)
    return any(pattern.search(text) for text in templates())


@pytest.mark.parametrize("message", QUOTED)
def test_a_quoted_message_is_in_the_code(message: str) -> None:
    assert is_in_the_code(message)


def test_messages_are_quoted_and_others_are_not_found() -> None:
    assert len(QUOTED) > 60
    assert not is_in_the_code("cannot use Ray at …: …; a cluster that asks for a password")


def test_every_kind_of_failure_is_there() -> None:
    kinds = re.findall(r"^\| `(\w+)` \|[^|]*\|[^|]*\|[^|]*\|$", PAGE, re.MULTILINE)
    assert set(kinds) == set(typing.get_args(Kind)) == set(RULES)
