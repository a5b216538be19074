"""The page of what held here of the paper's claims, made from the reports in docs/results.

`python -m analysis.claims_page > docs/claims.md`
"""

import csv
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from analysis.claims import Verdict
from analysis.published import TABLES

RESULTS = Path(__file__).parents[1] / "docs" / "results"

_INTRODUCTION = """# Which claims of the paper held

Every claim that Sun et al., 2022 make with a table or figure of which searches were run here, at sizes that fit two CPU
cores: {tally}. Numbers of the paper are literature values; n is the
searches behind ours, and [statistics.md](statistics.md#the-papers-claims) says what a verdict takes.
[experiments.md](experiments.md) has the conditions and what else was seen; the rows lie in `docs/results/ledger`, the
reports beside it.

This page is made from them by `python -m analysis.claims_page > docs/claims.md`."""


def page(results: Path = RESULTS) -> str:
    """The claims of every report as Markdown, in the paper's order: tables, then figures."""
    folders = {key: results / key.replace("-", "") for key in TABLES}
    folders = {key: folder for key, folder in folders.items() if (folder / "claims.csv").is_file()}
    counts = Counter(verdict for folder in folders.values() for verdict in _verdicts(folder / "claims.csv"))
    tally = ", ".join(f"{counts[verdict]} {verdict}" for verdict in Verdict if counts[verdict])
    parts = [_INTRODUCTION.format(tally=f"of {counts.total()} claims, {tally}")]
    for key, folder in folders.items():
        parts += ["", f"## {TABLES[key].title}", "", f"{_scale(folder)} `docs/results/{folder.name}`.", ""]
        parts += _rows(folder / "claims.md")
    return "\n".join([*parts, ""])


def _verdicts(path: Path) -> Iterator[str]:
    with path.open(encoding="utf-8", newline="") as file:
        yield from (row["verdict"] for row in csv.DictReader(file))


def _scale(folder: Path) -> str:
    """What the caption of the report's first table says of the size of searches and retrainings."""
    caption = (folder / "ablation.md").read_text(encoding="utf-8").splitlines()[0]
    found = re.search(r"Search: .*\.(?=\*\*$)", caption)
    if found is None:
        raise ValueError(f"{folder / 'ablation.md'}: the caption does not say how large the searches were")
    return found.group()


def _rows(path: Path) -> Iterator[str]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return (line for line in lines if line.startswith("|"))


if __name__ == "__main__":
    print(page(), end="")
