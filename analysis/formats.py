"""Numbers and tables as text: the formats of the report, of CSV, of Markdown and of LaTeX."""

import csv
import io
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from analysis.printed import Value
from analysis.statistics import Interval, Summary

MISSING = "–"


@dataclass(frozen=True)
class Table:
    """One table: text cells for people, `records` with unrounded numbers for programs (CSV).

    `numeric` names the columns that align right; `notes` are sentences that belong under the table.
    """

    name: str
    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: frozenset[str]
    records: tuple[Mapping[str, Any], ...]
    notes: tuple[str, ...] = ()


def fixed(value: float | None, digits: int = 2) -> str:
    """A number with so many decimals, with a typographic minus; a dash where there is none."""
    if value is None:
        return MISSING
    text = f"{value:.{digits}f}"
    return text.replace("-", "−") if float(text) != 0 else text.lstrip("-")


def mean_std(summary: Summary, digits: int = 2) -> str:
    """`mean ± std`, the mean alone where there is but one value."""
    spread = "" if summary.std is None else f" ± {fixed(summary.std, digits)}"
    return fixed(summary.mean, digits) + spread


def interval(ends: Interval | None, digits: int = 2) -> str:
    """`low to high`, which no minus sign can make ambiguous."""
    return MISSING if ends is None else f"{fixed(ends.low, digits)} to {fixed(ends.high, digits)}"


def published_value(value: Value | None) -> str:
    """A printed value as the paper prints it; a dash where it prints none."""
    if value is None:
        return MISSING
    if value.std is None:
        return f"{value.mean:g}".replace("-", "−")
    return f"{fixed(value.mean)} ± {fixed(value.std)}"


def count(value: float) -> str:
    """A whole number with thousands separated."""
    return f"{int(value):,}"


def millions(value: float | None) -> str:
    """Three significant digits of a count in millions."""
    return MISSING if value is None else _significant(value / 1e6)


def duration(seconds: float | None) -> str:
    """Seconds in the unit that reads best: s, min, h or days."""
    if seconds is None:
        return MISSING
    for limit, divisor, unit in ((120, 1, "s"), (7200, 60, "min"), (172_800, 3600, "h")):
        if seconds < limit:
            return f"{_significant(seconds / divisor)} {unit}"
    return f"{_significant(seconds / 86_400)} days"


def memory(size: float | None) -> str:
    """Bytes as MB or GB (powers of ten, as the paper's Table 3)."""
    if size is None:
        return MISSING
    return f"{_significant(size / 1e9)} GB" if size >= 1e9 else f"{_significant(size / 1e6)} MB"


def _significant(value: float) -> str:
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2 if abs(value) >= 1 else 3
    return f"{value:.{digits}f}"


def to_csv(table: Table) -> str:
    """The records, unrounded, with a header line; missing values are empty."""
    out = io.StringIO()
    names = list(dict.fromkeys(name for record in table.records for name in record)) or list(table.columns)
    writer = csv.DictWriter(out, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(table.records)
    return out.getvalue()


def to_markdown(table: Table) -> str:
    """A pipe table under its caption, numeric columns to the right."""
    rules = ["---:" if column in table.numeric else ":---" for column in table.columns]
    lines = [
        "| " + " | ".join(map(_markdown, table.columns)) + " |",
        "| " + " | ".join(rules) + " |",
        *("| " + " | ".join(map(_markdown, row)) + " |" for row in table.rows),
    ]
    notes = "".join(f"\n{_markdown(note)}\n" for note in table.notes)
    return f"**{_markdown(table.caption)}**\n\n" + "\n".join(lines) + "\n" + notes


def to_latex(table: Table) -> str:
    """A booktabs table; compiles with `\\usepackage{booktabs}` alone."""
    align = "".join("r" if column in table.numeric else "l" for column in table.columns)
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{_latex(table.caption)}}}",
        rf"\label{{tab:{re.sub(r'[^a-z0-9]+', '-', table.name.casefold())}}}",
        rf"\begin{{tabular}}{{{align}}}",
        r"\toprule",
        " & ".join(map(_latex, table.columns)) + r" \\",
        r"\midrule",
        *(" & ".join(map(_latex, row)) + r" \\" for row in table.rows),
        r"\bottomrule",
        r"\end{tabular}",
        *(rf"\par\footnotesize {_latex(note)}" for note in table.notes),
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _markdown(text: str) -> str:
    one_line = re.sub(r"\s+", " ", text)
    return re.sub(r"([\\|`*_<>\[\]])", r"\\\1", one_line)


_LATEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "±": r"$\pm$",
    "−": "$-$",
    "–": "--",
    "×": r"$\times$",
    "→": r"$\to$",
    "τ": r"$\tau$",
    "ρ": r"$\rho$",
    "ⁿ": r"$^n$",
    "✓": r"$\surd$",
    "✗": r"$\times$",
    "“": "``",
    "”": "''",
}


def _latex(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in re.sub(r"\s+", " ", text))
