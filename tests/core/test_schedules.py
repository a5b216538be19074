"""Ramps and annealing, and the texts that describe them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stcnas_core.errors import InputError
from stcnas_core.schedules import Ramp, cosine, progress


@pytest.mark.parametrize(
    ("text", "first", "middle", "last"),
    [("0", 0, 0, 0), ("2", 2, 2, 2), ("0->2", 0, 1, 2), (" 1 -> 2.5 ", 1, 1.75, 2.5)],
)
def test_the_schedules_of_table_7(text: str, first: float, middle: float, last: float) -> None:
    ramp = Ramp.parse(text)
    assert [ramp.at(progress(epoch, 5)) for epoch in (0, 2, 4)] == [first, middle, last]


@given(st.floats(0, 1e6), st.floats(0, 1e6))
def test_a_ramp_is_read_back(start: float, end: float) -> None:
    text = str(Ramp(float(f"{start:g}"), float(f"{end:g}")))
    assert str(Ramp.parse(text)) == text


@pytest.mark.parametrize("text", ["", "two", "-1", "0->", "->2", "0->1->2", "1e999", "0 -> inf", "nan", "1" * 101])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="is no schedule"):
        Ramp.parse(text)


def test_cosine_starts_at_the_start_and_would_end_at_the_end() -> None:
    assert cosine(0.025, 0.001, 0, 50) == pytest.approx(0.025)
    assert cosine(0.025, 0.001, 25, 50) == pytest.approx(0.013)
    assert cosine(0.025, 0.001, 50, 50) == pytest.approx(0.001)
    # METHOD's estimate for reading (a): 98 steps x 49 epochs at the cosine's mean, half the rate, move alpha by 0.71.
    assert 98 * sum(cosine(3e-4, 0.0, epoch, 50) for epoch in range(1, 50)) == pytest.approx(0.71, abs=0.015)


def test_progress_of_a_single_epoch_is_zero() -> None:
    assert progress(0, 1) == 0.0
    assert progress(9, 10) == 1.0
