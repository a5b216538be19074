"""The `optuna` section of a sweep file: what is read from it, and what is refused before anything runs."""

from pathlib import Path
from typing import Any

import pytest
from driver import write_sweep

from orchestrator.plan import make_plan
from orchestrator.shard import Shard
from orchestrator.spec import Sweep, load_sweep
from orchestrator.sweep_file.space import Choices, Range
from stcnas_core.errors import InputError

OPTUNA: dict[str, Any] = {
    "suggestions": 4,
    "space": {"noise": {"low": 0, "high": 0.5}, "js_scope": ["node", "edge"]},
    "objectives": [{"metric": "derived_accuracy"}],
}


def sweep(tmp_path: Path, optuna: dict[str, Any], **changes: Any) -> Sweep:
    changes = {"retrain": None, "optuna": {**OPTUNA, **optuna}, **changes}
    return load_sweep(write_sweep(tmp_path / "s.yaml", **changes))


def test_the_type_of_a_range_is_its_fields(tmp_path: Path) -> None:
    space = {"alpha_lr": {"low": 1e-4, "high": 1, "log": True}, "warmup_epochs": {"low": 0, "high": 1}}
    space |= {"js_lambda": [0, "0->2"], "resolution": [8, None], "alpha_betas": [[0.5, 0.999], [0.9, 0.999]]}
    found = sweep(tmp_path, {"space": space}).optuna
    assert found is not None
    assert found.space["alpha_lr"] == Range(1e-4, 1.0, True, whole=False)
    assert found.space["warmup_epochs"] == Range(0, 1, False, whole=True)
    assert found.space["js_lambda"] == Choices(("0", "0->2"))
    assert found.space["resolution"] == Choices((8, None))
    assert found.space["alpha_betas"] == Choices(((0.5, 0.999), (0.9, 0.999)))


def test_a_drawn_number_is_short_and_within_its_range() -> None:
    kind = Range(0.12344, 0.2, False, whole=False)
    assert kind.nearest(0.1567891) == 0.1568
    assert kind.nearest(0.123441) == 0.12344
    assert not kind.holds(0.1234)
    assert not kind.holds("0.15")
    assert not Choices((1, 2)).holds(True)
    assert Choices((False, None)).holds(None)


def test_metrics_have_a_stage_and_a_direction(tmp_path: Path) -> None:
    objectives = [{"metric": "test_accuracy"}, {"metric": "macs", "stage": "retrain", "over": "median"}]
    found = sweep(tmp_path, {"objectives": objectives}, retrain={"epochs": 1}).optuna
    assert found is not None
    assert [(each.stage, each.maximised) for each in found.objectives] == [("retrain", True), ("retrain", False)]


@pytest.mark.parametrize(
    ("optuna", "changes", "said"),
    [
        ({}, {"grid": {"alpha_lr": [1e-3]}}, "remove optuna, or grid"),
        ({}, {"variants": {"a": {}}}, "remove optuna, or variants"),
        ({}, {"search": {"noise": 0.1}}, "optuna.space: noise is suggested, and search sets it"),
        ({"space": {}}, {}, "optuna.space"),
        ({"space": {"noise": [0.1]}}, {}, "1 choices"),
        ({"space": {"noise": [0.1, 0.1]}}, {}, "0.1 is here twice"),
        ({"space": {"noise": {"low": 0.1}}}, {}, "needs high"),
        ({"space": {"noise": {"low": 0.1, "high": 0.1}}}, {}, "optuna.space.noise.low: 0.1 must be below high"),
        ({"space": {"noise": {"low": 0, "high": 1, "log": True}}}, {}, "above 0 on a logarithmic scale"),
        ({"space": {"warmup_epochs": {"low": 0, "high": 0.5}}}, {}, "high: must be a whole number"),
        ({"space": {"js_scope": {"low": 0, "high": 1}}}, {}, "holds no number"),
        ({"space": {"skip_dropout": {"low": 0, "high": 1}}}, {}, "holds no number"),
        ({"space": {"js_scope": ["node", "nodes"]}}, {}, "choice 2 cannot be"),
        ({"space": {"dataset": ["digits", "cifar10"]}}, {}, "make a sweep for each"),
        ({"space": {"nois": [0, 1]}}, {}, "did you mean 'noise'"),
        ({"objectives": [{"metric": "test_accuracy"}]}, {}, "is of the stage retrain, which this sweep lacks"),
        ({"objectives": [{"metric": "lookup_cifar10_valid"}]}, {}, "add `lookup`"),
        ({"objectives": [{"metric": "valid_accuracy", "stage": "retrain"}]}, {}, "no column of the stage retrain"),
        ({"objectives": [{"metric": "accuracy"}]}, {}, "known: valid_accuracy"),
        ({"objectives": [{"metric": "macs"}, {"metric": "macs", "over": "median"}]}, {}, "the same metric twice"),
        ({"objectives": [{"metric": "macs", "over": "bound"}]}, {"seeds": [3]}, "one seed has no standard error"),
        ({"prune": {"after": 2}}, {}, "optuna.prune: after 2 of 2 seeds"),
        ({"prune": {"after": 1}, "objectives": [{"metric": "macs"}, {"metric": "params"}]}, {}, "two objectives"),
    ],
)
def test_what_cannot_be_is_refused_where_it_stands(
    tmp_path: Path, optuna: dict[str, Any], changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(InputError) as error:
        sweep(tmp_path, optuna, **changes)
    assert said in str(error.value)
    assert "s.yaml, line " in str(error.value)


def test_a_parameter_without_effect_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"the parameter js_scope has no effect with .*method=darts"):
        make_plan(sweep(tmp_path, {"space": {"js_scope": ["node", "edge"]}}, search={"method": "darts"}))
    # Alone, the form of no noise has no effect; beside a range of noise it has.
    space: dict[str, Any] = {"noise_form": ["one_sided", "two_sided"]}
    with pytest.raises(InputError, match=r"the parameter noise_form has no effect with .*noise=0"):
        make_plan(sweep(tmp_path, {"space": space}, search={"noise": 0.0}))
    make_plan(sweep(tmp_path, {"space": {**space, "noise": {"low": 0, "high": 0.3}}}))


def test_an_end_of_the_space_that_cannot_run_is_refused(tmp_path: Path) -> None:
    space = {"warmup_epochs": {"low": 0, "high": 2}}
    with pytest.raises(InputError, match=r"line \d+: setting 'warmup_epochs=2': warmup_epochs: 2 must be below epochs"):
        make_plan(sweep(tmp_path, {"space": space}))


def test_a_plan_knows_its_data_before_anything_is_suggested(tmp_path: Path) -> None:
    plan = make_plan(sweep(tmp_path, {}), lambda dataset, path: f"{dataset}@1")
    assert (plan.searches, plan.suggested_data, plan.to_come, plan.undecided) == ((), "digits@1", 4, False)


def test_shards_are_refused(tmp_path: Path) -> None:
    plan = make_plan(sweep(tmp_path, {}))
    with pytest.raises(InputError, match=r"--shard 1/2: .*raise optuna.parallel"):
        Shard.parse("1/2").part(plan)


def test_more_trials_than_a_sweep_may_have(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"200,000 trials.*10000 suggestions, 20 seeds"):
        make_plan(sweep(tmp_path, {"suggestions": 10_000}, seeds=list(range(20))))
