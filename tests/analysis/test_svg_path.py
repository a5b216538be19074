import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.svg_path import short_path

numbers = st.floats(-2000, 2000).map(lambda value: round(value, 6))
points = st.tuples(numbers, numbers)
lines = st.lists(points, max_size=8).map(lambda found: [("L", [point]) for point in found])
curves = st.tuples(points, points, points).map(lambda found: [("C", list(found))])
bends = st.tuples(points, points).map(lambda found: [("Q", list(found))])
parts = st.tuples(points, st.lists(st.one_of(lines, curves, bends), max_size=4), st.booleans()).map(
    lambda part: [("M", [part[0]]), *(step for steps in part[1] for step in steps), *([("z", [])] if part[2] else [])]
)
paths = st.lists(parts, min_size=1, max_size=3).map(lambda found: [step for part in found for step in part])


def absolute(text: str) -> list[tuple[str, list[tuple[float, float]]]]:
    """A path's commands with absolute points, read as SVG 2 says (section 9.3), in the letters used here."""
    counts = {"m": 2, "l": 2, "h": 1, "v": 1, "c": 6, "q": 4}
    found, here, start = [], (0.0, 0.0), (0.0, 0.0)
    for letter, rest in re.findall(r"([A-Za-z])([^A-Za-z]*)", text):
        if letter == "z":
            found.append(("z", []))
            here = start
            continue
        values = [float(value) for value in re.findall(r"-?(?:\d+\.?\d*|\.\d+)", rest)]
        size = counts[letter.lower()]
        assert len(values) % size == 0
        assert values
        for at in range(0, len(values), size):
            steps = values[at : at + size]
            pairs = {"h": [(steps[0], 0.0)], "v": [(0.0, steps[0])]}.get(letter) or list(
                zip(steps[::2], steps[1::2], strict=True)
            )
            base = (0.0, 0.0) if letter.isupper() else here
            moved = [(base[0] + x, base[1] + y) for x, y in pairs]
            # Numbers after those of a move are lines.
            name = "L" if letter in "hv" or (letter in "mM" and at) else letter.upper()
            found.append((name, moved))
            here = moved[-1]
            start = here if name == "M" else start
    return found


@given(paths)
def test_the_same_points_to_a_tenth_however_long_the_path(path: list[tuple[str, list[tuple[float, float]]]]) -> None:
    text = " ".join(letter + " ".join(f"{x} {y}" for x, y in points) for letter, points in path)
    shorter = absolute(short_path(text))
    assert [letter for letter, _ in shorter] == [letter for letter, _ in path]
    for (_, ours), (_, theirs) in zip(shorter, path, strict=True):
        assert [value for point in ours for value in point] == pytest.approx(
            [value for point in theirs for value in point], abs=0.0501
        )


def test_a_rectangle_takes_a_third_of_the_characters() -> None:
    assert short_path("M 84.6 6.6 L 116.4 6.6 L 116.4 26.4 L 84.6 26.4 z") == "M84.6 6.6h31.8v19.8h-31.8z"


def test_what_matplotlib_does_not_write_stays() -> None:
    assert short_path("M0 0A1 1 0 0 1 2 2") == "M0 0A1 1 0 0 1 2 2"
