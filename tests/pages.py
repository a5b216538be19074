"""Code blocks of the documentation, to be run as a reader would."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text, the heading above it."""

    language: str
    text: str
    heading: str


def blocks(page: Path) -> list[Block]:
    """All fenced blocks of a Markdown page."""
    found: list[Block] = []
    heading = ""
    for part in re.finditer(
        r"^#+ (?P<heading>[^\n]+)$|^```(?P<language>\w+)\n(?P<text>.*?)^```$", page.read_text(), re.M | re.S
    ):
        if part["heading"]:
            heading = part["heading"]
        else:
            found.append(Block(part["language"], part["text"], heading))
    return found
