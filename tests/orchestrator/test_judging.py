"""What suggestions are worth, worked out by hand."""

import math
from typing import Any

import pytest

from orchestrator.studies.judging import front, hopeful, worth
from orchestrator.sweep_file.space import Objective, Optuna


def section(*objectives: dict[str, Any], **more: Any) -> Optuna:
    content = {"suggestions": 9, "space": {"noise": [0.0, 0.1]}, "objectives": list(objectives)}
    return Optuna.model_validate({**content, **more})


def test_mean_median_and_bound() -> None:
    seen = {0: (90.0,), 1: (92.0,), 2: (97.0,)}
    error = math.sqrt(13 / 3)  # deviations -3, -1, 4: variance 26 / 2
    for over, value in (("mean", 93.0), ("median", 92.0), ("bound", 93.0 - error)):
        assert worth(section({"metric": "derived_accuracy", "over": over}), seen, [0, 1, 2]) == pytest.approx((value,))
    cost = section({"metric": "macs", "over": "bound"})
    assert worth(cost, seen, [0, 1, 2]) == pytest.approx((93.0 + error,))


def test_half_of_the_seeds_are_enough_and_fewer_are_none() -> None:
    mean = section({"metric": "derived_accuracy"})
    assert worth(mean, {0: (90.0,), 1: None, 2: (92.0,), 3: None}, [0, 1, 2, 3]) == (91.0,)
    assert worth(mean, {0: (90.0,), 1: None, 2: None}, [0, 1, 2]) is None
    # A seed that is not there yet counts as one that failed; one that was not asked for counts for nothing.
    assert worth(mean, {0: (90.0,)}, [0, 1, 2]) is None
    assert worth(mean, {0: (90.0,), 7: (1.0,)}, [0]) == (90.0,)
    bound = section({"metric": "derived_accuracy", "over": "bound"})
    assert worth(bound, {0: (90.0,), 1: None}, [0, 1]) is None


def test_two_objectives_are_aggregated_each_in_its_own_way() -> None:
    both = section({"metric": "derived_accuracy"}, {"metric": "macs", "over": "median"})
    assert worth(both, {0: (90.0, 1.0), 1: (92.0, 2.0), 2: (94.0, 9.0)}, [0, 1, 2]) == (92.0, 2.0)


def test_the_best_share_goes_on() -> None:
    accuracy = section({"metric": "derived_accuracy"}, prune={"after": 1, "keep": 0.5}, startup=3)
    others = [(10.0,), (20.0,), (30.0,)]
    # Four with itself: two go on.
    found = [hopeful(accuracy, (mine,), others)[0] for mine in (31.0, 25.0, 20.0, 15.0)]
    assert found == [True, True, True, False]
    cost = section({"metric": "macs"}, prune={"after": 1, "keep": 0.25}, startup=3)
    assert [hopeful(cost, (mine,), others)[0] for mine in (5.0, 10.0, 15.0)] == [True, True, False]

    # Seven of a hundred are not eight, although 0.07 times 100 is above 7 in binary.
    few = section({"metric": "derived_accuracy"}, prune={"after": 1, "keep": 0.07}, startup=1)
    ninety_nine = [(float(value),) for value in range(99)]
    assert [hopeful(few, (mine,), ninety_nine)[0] for mine in (92.5, 91.5)] == [True, False]


def test_the_first_suggestions_are_never_stopped() -> None:
    patient = section({"metric": "derived_accuracy"}, prune={"after": 1}, startup=4)
    assert hopeful(patient, (1.0,), [(10.0,), (20.0,), (30.0,)])[0]
    assert not hopeful(patient, (1.0,), [(10.0,), (20.0,), (30.0,), (40.0,)])[0]


def test_the_front_holds_what_nothing_surpasses() -> None:
    accuracy, macs = Objective(metric="derived_accuracy"), Objective(metric="macs")
    found = {1: (90.0, 5.0), 2: (90.0, 6.0), 3: (80.0, 1.0), 4: (95.0, 9.0), 5: (79.0, 1.0), 6: (95.0, 9.0)}
    assert front([accuracy, macs], found) == [1, 3, 4, 6]
    assert front([accuracy], {1: (90.0,), 2: (91.0,)}) == [2]
    assert front([accuracy, macs], {}) == []
