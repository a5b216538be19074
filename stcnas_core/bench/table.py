"""Results as text."""

from typing import Any


def table(result: dict[str, Any]) -> str:
    """The rows of a result as text, a column per key."""
    rows = result["rows"]
    names = list(rows[0])
    cells = [names, *[[_shown(row[name]) for name in names] for row in rows]]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells]
    head = ", ".join(f"{name} {value}" for name, value in result["setting"].items())
    versions = ", ".join(f"{name} {value}" for name, value in result["versions"].items())
    return "\n".join([head, f"n {result['n']}, {result['threads']} threads, {result['device']}, {versions}", *lines])


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, list):
        return "-".join(map(_shown, value))
    if isinstance(value, float):
        return f"{value:.3f}" if value < 10 else f"{value:.0f}"
    return str(value)
