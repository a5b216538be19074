"""Main effects: what a fit without interactions finds in accuracies that were put together by hand."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stcnas_core.effects import main_effects

SHAPE = (1, 2, 3)
ALL = [(tuple(enumerate(choice)),) for choice in itertools.product(range(3), repeat=2)]
"""All nine cells of two edges with three operations each."""


def test_effects_of_a_balanced_experiment_are_shrunk_means() -> None:
    # Edge 0 adds 3, 0, -3; edge 1 nothing. In all nine cells each operation is seen three times, so that least squares
    # gives the mean of what has it, and the penalty of one observation shrinks it by 3 / (3 + 1).
    accuracies = [60.0 + (3, 0, -3)[cell[0][0][1]] for cell in ALL]
    effects = main_effects(SHAPE, ALL, accuracies)
    assert effects[0] == pytest.approx(np.array([[2.25, 0.0, -2.25], [0.0, 0.0, 0.0]]), abs=1e-12)


def test_an_operation_that_no_cell_has_cannot_be_derived() -> None:
    cells = [cell for cell in ALL if cell[0][1][1] != 2]
    effects = main_effects(SHAPE, cells, [50.0 - cell[0][1][1] for cell in cells])
    assert effects[0, 1, 2] == -np.inf
    assert np.isfinite(effects).sum() == 5
    assert effects[0, 1].argmax() == 0


@settings(max_examples=20)
@given(st.integers(0, 10_000))
def test_it_finds_the_best_cell_of_noisy_accuracies_where_the_best_judged_cell_is_chance(seed: int) -> None:
    rng = np.random.default_rng(seed)
    shape = (2, 4, 4)
    true = np.stack([rng.permuted(np.tile(np.arange(4.0), (4, 1)), axis=1) for _ in range(2)])
    cells = [tuple(tuple(enumerate(map(int, rng.integers(4, size=4)))) for _ in range(2)) for _ in range(300)]
    noisy = [sum(true[t, e, k] for t, cell in enumerate(cells_) for e, k in cell) + rng.normal() for cells_ in cells]
    assert (main_effects(shape, cells, noisy).argmax(axis=2) == true.argmax(axis=2)).all()


@given(st.integers(0, 10_000), st.floats(-50, 50), st.floats(0.1, 10))
def test_a_shift_changes_nothing_and_a_scale_scales(seed: int, shift: float, scale: float) -> None:
    accuracies = np.random.default_rng(seed).uniform(0, 100, len(ALL))
    once = main_effects(SHAPE, ALL, list(accuracies))
    assert main_effects(SHAPE, ALL, list(accuracies * scale + shift)) == pytest.approx(once * scale, abs=1e-9)
