"""Path data of SVG in few characters: a page of a thousand searches is mostly lines."""

import re
from collections.abc import Iterable

_COMMAND = re.compile(r"([MLCQz])([^MLCQz]*)")
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e[-+]?\d+)?")
_PATH = re.compile(r"(?:[MLCQz]|[-+\d.e\s])*")


def short_path(text: str) -> str:
    """The same path with its points rounded to a tenth and each told by its distance from the one before.

    Points are rounded before their distances are taken, so that no error adds up. Understands what matplotlib writes,
    absolute moves, lines, curves and closings; anything else is returned as it is.
    """
    if not _PATH.fullmatch(text):
        return text
    out: list[str] = []
    here = start = (0, 0)
    last = ""
    for command, numbers in _COMMAND.findall(text):
        if command == "z":
            out.append("z")
            here, last = start, "z"
            continue
        tenths = [round(float(number) * 10) for number in _NUMBER.findall(numbers)]
        points = list(zip(tenths[::2], tenths[1::2], strict=True))
        if command == "M":
            # The first is absolute, which in a path's beginning is the same.
            letter, steps = ("m" if out else "M"), [_from(here, points[0])]
            start = points[0]
        elif command == "L":
            letter, steps = _line(_from(here, points[0]))
        else:
            letter, steps = command.lower(), [_from(here, point) for point in points]
        flat = [number for step in steps for number in step]
        # A letter need not be said again, but what follows a move's point would be a line.
        again = letter == last != "m"
        out.append(("" if again else letter) + _joined(flat, continued=again))
        here, last = points[-1], letter
    return "".join(out)


def _from(here: tuple[int, int], point: tuple[int, int]) -> tuple[int, ...]:
    return point[0] - here[0], point[1] - here[1]


def _line(step: tuple[int, ...]) -> tuple[str, list[tuple[int, ...]]]:
    if step[1] == 0:
        return "h", [step[:1]]
    return ("v", [step[1:]]) if step[0] == 0 else ("l", [step])


def _joined(tenths: Iterable[int], *, continued: bool) -> str:
    """Numbers of tenths with a space only where a sign does not part them already."""
    out = ""
    for value in tenths:
        number = f"{value / 10:.1f}".removesuffix(".0")
        out += (" " if (out or continued) and not number.startswith("-") else "") + number
    return out
