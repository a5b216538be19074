"""Points that Optuna draws: the same for the same study, new each time, and an end where there are no more."""

import itertools
from typing import Any

from orchestrator.studies.sampling import Told, build, draw, importances
from orchestrator.sweep_file.space import Optuna, Range

SPACE: dict[str, Any] = {
    "alpha_lr": {"low": 1e-4, "high": 1e-2, "log": True},
    "noise": {"low": 0.0, "high": 0.5},
    "warmup_epochs": {"low": 0, "high": 4},
    "js_scope": ["node", "edge", "cell"],
    "augment": [True, False],
}


def section(space: dict[str, Any] | None = None, **more: Any) -> Optuna:
    content = {"suggestions": 9, "space": space or SPACE, "objectives": [{"metric": "derived_accuracy"}]}
    return Optuna.model_validate({**content, **more})


def value(params: Any) -> float:
    return 100 - 200 * (params["noise"] - 0.2) ** 2 - (params["js_scope"] == "cell")


def play(optuna: Optuna, count: int) -> list[Told]:
    told: list[Told] = []
    for number in range(1, count + 1):
        point = draw(optuna, told, number, lambda point: all(one.params != point for one in told))
        assert point is not None
        told.append(Told(point, "finished", (value(point),)))
    return told


def test_a_sampler_that_is_made_anew_goes_on_as_if_it_had_not_been() -> None:
    for sampler in ("tpe", "random"):
        optuna = section(sampler=sampler, startup=4)
        told = play(optuna, 12)
        points = [one.params for one in told]
        assert all(point not in points[:index] for index, point in enumerate(points))
        for number in (1, 5, 12):
            assert draw(optuna, told[: number - 1], number, lambda point: True) == points[number - 1]
        assert [one.params for one in play(section(sampler=sampler, startup=4, seed=1), 2)] != points[:2]


def test_points_lie_in_the_space_in_the_types_of_their_fields() -> None:
    optuna = section(startup=3)
    for one in play(optuna, 15):
        assert list(one.params) == list(SPACE)
        assert all(kind.holds(one.params[name]) for name, kind in optuna.space.items())
        assert type(one.params["augment"]) is bool


def test_what_is_known_draws_the_sampler_to_it() -> None:
    told = play(section(startup=10), 40)
    early, late = ([abs(one.params["noise"] - 0.2) for one in part] for part in (told[:10], told[25:]))
    assert sum(late) / len(late) < 0.5 * sum(early) / len(early)


def test_a_finite_space_is_gone_through_once_and_then_ends() -> None:
    optuna = section({"js_scope": ["node", "edge", "cell"], "warmup_epochs": {"low": 0, "high": 1}})
    told: list[Told] = []
    while (
        point := draw(optuna, told, len(told) + 1, lambda point: all(one.params != point for one in told))
    ) is not None:
        told.append(Told(point, "finished", (1.0,)))
    found = {(one.params["js_scope"], one.params["warmup_epochs"]) for one in told}
    assert len(told) == 6
    assert found == set(itertools.product(["node", "edge", "cell"], [0, 1]))


def test_points_that_cannot_run_are_passed_over_and_none_is_an_end() -> None:
    optuna = section({"noise": {"low": 0.0, "high": 1.0}})
    for number in range(1, 6):
        point = draw(optuna, [], number, lambda point: point["noise"] > 0.97)
        assert point is not None
        assert point["noise"] > 0.97
    assert draw(optuna, [], 1, lambda point: False) is None


def test_a_huge_range_of_whole_numbers_is_drawn_from_and_not_listed() -> None:
    optuna = section({"epochs": {"low": 1, "high": 2**53}}, sampler="random")
    assert draw(optuna, [], 1, lambda point: point["epochs"] > 2**52) is not None


def test_a_study_is_told_of_every_state_and_of_nothing_outside_the_space() -> None:
    inside = {"noise": 0.2, "js_scope": "node"}
    told = [
        Told(inside, "open", None),
        Told(inside, "finished", (90.0,)),
        Told(inside, "stopped", (80.0,)),
        Told(inside, "failed", None),
        Told({**inside, "noise": 0.9}, "finished", (99.0,)),
        Told({**inside, "js_scope": "all"}, "finished", (99.0,)),
        Told({"noise": 0.2}, "finished", (99.0,)),
    ]
    study = build(section({"noise": {"low": 0, "high": 0.5}, "js_scope": ["node", "edge"]}), told)
    assert [trial.state.name for trial in study.trials] == ["RUNNING", "COMPLETE", "PRUNED", "FAIL"]
    assert study.best_value == 90.0
    assert study.trials[2].intermediate_values == {1: 80.0}


def test_directions_are_those_of_the_metrics() -> None:
    objectives = [{"metric": "derived_accuracy"}, {"metric": "macs"}]
    study = build(section(objectives=objectives), [])
    assert [direction.name for direction in study.directions] == ["MAXIMIZE", "MINIMIZE"]


def test_importance_finds_the_parameter_that_matters() -> None:
    optuna = section(sampler="random")
    told = play(optuna, 30)
    found = importances(optuna, told)
    assert found is not None
    assert next(iter(found[0])) == "noise"
    assert found == importances(optuna, told)
    assert abs(sum(found[0].values()) - 1) < 1e-9
    assert importances(optuna, told[:5]) is None
    assert importances(optuna, [Told(one.params, "finished", (1.0,)) for one in told]) is None


def test_ranges_of_whole_numbers_are_finite() -> None:
    assert tuple(Range(1, 3, False, whole=True).values or ()) == (1, 2, 3)
    assert len(Range(0, 2**53, False, whole=True).values or ()) == 2**53 + 1, "and need not fit into memory"
    assert Range(1, 3, False, whole=False).values is None
