"""Main effects: what a fit without interactions finds in accuracies that were put together by hand."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stcnas_core.effects import MainEffects

SHAPE = (1, 2, 3)
ALL = [(tuple(enumerate(choice)),) for choice in itertools.product(range(3), repeat=2)]
"""All nine cells of two edges with three operations each."""


def fit(shape: tuple[int, ...], cells, accuracies) -> np.ndarray:
    effects = MainEffects(shape)
    effects.add(cells, accuracies)
    return effects.fit().numpy()


def test_effects_of_a_balanced_experiment_are_shrunk_means() -> None:
    # Edge 0 adds 3, 0, -3, whose standard deviation is sqrt(6); edge 1 nothing. In all nine cells each operation is
    # seen three times, so that least squares gives the mean of what has it, and the penalty of one observation shrinks
    # it by 3 / (3 + 1).
    accuracies = [60.0 + (3, 0, -3)[cell[0][0][1]] for cell in ALL]
    expected = np.array([[2.25, 0.0, -2.25], [0.0, 0.0, 0.0]]) / math.sqrt(6)
    assert fit(SHAPE, ALL, accuracies)[0] == pytest.approx(expected, abs=1e-12)


def test_an_operation_that_no_cell_has_cannot_be_derived() -> None:
    cells = [cell for cell in ALL if cell[0][1][1] != 2]
    effects = fit(SHAPE, cells, [50.0 - cell[0][1][1] for cell in cells])
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
    assert (fit(shape, cells, noisy).argmax(axis=2) == true.argmax(axis=2)).all()


@given(st.integers(0, 10_000), st.floats(-50, 50), st.floats(0.1, 10))
def test_neither_the_level_nor_the_scale_of_a_group_changes_anything(seed: int, shift: float, scale: float) -> None:
    accuracies = np.random.default_rng(seed).uniform(0, 100, len(ALL))
    once = fit(SHAPE, ALL, list(accuracies))
    assert fit(SHAPE, ALL, list(accuracies * scale + shift)) == pytest.approx(once, abs=1e-9)


def test_groups_of_other_levels_add_up_to_one_experiment() -> None:
    # The second group has what the first lacks, thirty points higher: no effect of those thirty is seen.
    accuracies = [60.0 + (3, 0, -3)[cell[0][0][1]] for cell in ALL]
    twice = MainEffects(SHAPE)
    twice.add(ALL, accuracies)
    twice.add(ALL, [accuracy + 30 for accuracy in accuracies])
    # Each operation is seen six times now: 6 / (6 + 1).
    expected = np.array([[18 / 7, 0.0, -18 / 7], [0.0, 0.0, 0.0]]) / math.sqrt(6)
    assert twice.fit().numpy()[0] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("cells", [ALL[:1], ALL])
def test_cells_that_are_equally_good_have_no_effects(cells) -> None:
    effects = MainEffects(SHAPE)
    assert effects.empty
    effects.add(cells, [50.0] * len(cells))
    assert not effects.empty
    seen = effects.fit().isfinite()
    assert effects.fit()[seen].tolist() == [0.0] * int(seen.sum())
    assert torch.equal(seen, effects.gram.diagonal().reshape(SHAPE) > 0)
