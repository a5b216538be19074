"""The shell commands of the clusters' pages, by page and name, as an operator would copy them."""

import re
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "sweeps" / "clusters"
_BLOCK = re.compile(r"(?:^<!-- ([^\n]*) -->\n)?^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """Some lines of shell on a page, and what the comment before them says of them."""

    page: str
    mark: str
    """`run: NAME`, `not run: REASON`, or `values` where an operator puts in their own; empty where nothing is said."""
    text: str


def blocks() -> list[Block]:
    """All of all pages."""
    pages = sorted(FOLDER.glob("*.md"))
    return [
        Block(page.stem, mark, text)
        for page in pages
        for mark, text in _BLOCK.findall(page.read_text(encoding="utf-8"))
    ]


def command(page: str, name: str) -> str:
    """The commands that a page has under `run: NAME`."""
    (found,) = [block.text for block in blocks() if (block.page, block.mark) == (page, f"run: {name}")]
    return found
