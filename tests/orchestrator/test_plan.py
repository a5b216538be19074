"""Plans: ids that depend on what is computed and on nothing else, settings, and what is refused before any work."""

import dataclasses
import hashlib
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.identity import trial_ids
from orchestrator.plan import canonical_config, make_plan, trial_id
from orchestrator.spec import Sweep, load_sweep
from stcnas_core.config import RetrainConfig, SearchConfig
from stcnas_core.errors import InputError
from stcnas_core.method_fields import METHOD_FIELDS

DIGITS = "digits@scikit-learn"
CELL = "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|avg_pool_3x3~0|none~1|nor_conv_1x1~2|"
OTHER_CELL = CELL.replace("skip_connect", "nor_conv_1x1")
_PAIRS = [("skip_connect", 0), ("sep_conv_5x5", 1)] * 4
DARTS_CELL = f"Genotype(normal={_PAIRS}, normal_concat=range(2, 6), reduce={_PAIRS}, reduce_concat=range(2, 6))"

SMALL = {"space": "nasbench201", "cells": 1, "channels": 4, "epochs": 2}
"""A search that digits allow, of no default size."""


def sweep(**parts):
    return Sweep(**{"name": "x", "search": SMALL, **parts})


def refusal(**parts):
    with pytest.raises(InputError) as caught:
        make_plan(sweep(**parts))
    return str(caught.value)


# ids


def test_canonical_text_and_id_of_a_search():
    config = SearchConfig(**SMALL, lr=1, js_lambda="0->2.0", seed=3, warmup_epochs=0, derive_by="alpha")
    expected = (
        '{"algorithm_version":1,"config":{"alpha_betas":[0.5,0.999],"alpha_lr":0.0003,"alpha_lr_schedule":"cosine",'
        '"alpha_start":1.0,"alpha_weight_decay":0.0,"augment":true,"batch_size":64,"cell_consistency":true,"cells":1,'
        '"channels":4,"dataset":"digits","derive_by":"alpha","discretization_consistency":true,"epochs":2,"evaluate_every":1,'
        '"grad_clip":5.0,"js_gradient":"all","js_lambda":"0->2","js_scope":"node","lr":1.0,"lr_min":0.001,'
        '"method":"stc","momentum":0.9,"noise":0.3,"noise_form":"one_sided","precision":"fp32","resolution":null,'
        '"sample_none":false,"samples_per_iteration":"one","seed":3,"space":"nasbench201","train_images":null,'
        '"warmup_epochs":0,"weight_decay":0.0003,"weighting":"relu"},"data":"digits@scikit-learn","stage":"search"}'
    )
    assert canonical_config("search", config, DIGITS) == expected
    assert trial_id("search", config, DIGITS) == hashlib.sha256(expected.encode()).hexdigest()[:20]


def test_canonical_text_and_id_of_a_retraining():
    config = RetrainConfig(genotype=f" {CELL}\n", cells=1, channels=4, epochs=2, seed=1, weight_decay=1e-5)
    expected = (
        '{"algorithm_version":1,"config":{"augment":true,"batch_size":96,"cells":1,"channels":4,"compile":false,"cutout":16,'
        '"dataset":"digits","epochs":2,"evaluate_every":1,'
        f'"genotype":"{CELL}","grad_clip":5.0,"lr":0.025,"lr_min":0.0,"momentum":0.9,"precision":"fp32",'
        '"resolution":null,"seed":1,"test_images":null,"train_images":null,"weight_decay":1e-05},'
        '"data":"digits@scikit-learn","stage":"retrain"}'
    )
    assert canonical_config("retrain", config, DIGITS) == expected
    assert trial_id("retrain", config, DIGITS) == hashlib.sha256(expected.encode()).hexdigest()[:20]


CHANGES = {
    "temperature": "4->2",
    "partial_channels": 2,
    "space": "darts",
    "method": "darts",
    "seed": 1,
    "dataset": "cifar10",
    "train_images": 100,
    "test_images": 100,
    "resolution": 16,
    "augment": False,
    "cells": 3,
    "channels": 8,
    "batch_size": 16,
    "epochs": 7,
    "warmup_epochs": 1,
    "precision": "bf16",
    "evaluate_every": 2,
    "rank_every": 2,
    "rank_cells": 20,
    "rank_images": 64,
    "lr": 0.1,
    "lr_min": 0.01,
    "momentum": 0.8,
    "weight_decay": 1e-3,
    "grad_clip": 4.0,
    "alpha_lr": 1e-3,
    "alpha_lr_schedule": "constant",
    "alpha_betas": (0.9, 0.99),
    "alpha_weight_decay": 0.1,
    "alpha_start": 0.3,
    "weighting": "sigmoid",
    "noise": 0.1,
    "noise_form": "two_sided",
    "js_lambda": "2",
    "js_scope": "edge",
    "js_gradient": "sampled",
    "samples_per_iteration": "two",
    "unsampled": "drift",
    "sample_none": True,
    "cell_consistency": False,
    "discretization_consistency": False,
    "zero_one_weight": 5.0,
    "edge_criterion": "certainty",
    "skip_dropout": (0.1, 0.2, 0.3),
    "skip_limit": 3,
    "perturbation": "0.1",
    "perturbation_steps": 3,
    "ensemble": 3,
    "candidates": 20,
    "derive_by": "effects",
    "candidate_batches": 2,
    "entropy_weight": 0.1,
    "genotype": OTHER_CELL,
    "cutout": 8,
    "auxiliary_weight": 0.2,
    "drop_path": 0.1,
    "compile": True,
    "stem": "imagenet",
    "class_share": 0.2,
    "label_smoothing": 0.1,
    "macs_limit": 600.0,
}
"""Another value for every field of both configurations; a new field has to be added."""

BASE = SearchConfig(**SMALL, warmup_epochs=0, derive_by="alpha")


@pytest.mark.parametrize(
    "base",
    [
        BASE,
        SearchConfig(js_lambda="0"),
        *(SearchConfig(method=method) for method in METHOD_FIELDS if method != "stc"),
        SearchConfig(rank_every=5),
    ],
)
@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(SearchConfig)])
def test_a_search_has_another_id_exactly_where_a_field_has_an_effect(base, name):
    value = CHANGES[name] if base.value(name) != CHANGES[name] else BASE.value(name)
    changed = dataclasses.replace(base, **{name: value})
    differs = trial_id("search", base, DIGITS) != trial_id("search", changed, DIGITS)
    assert differs == (name in base.effective() or name in changed.effective())


@pytest.mark.parametrize("genotype", [CELL, DARTS_CELL])
@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(RetrainConfig)])
def test_a_retraining_has_another_id_exactly_where_a_field_has_an_effect(genotype, name):
    base = RetrainConfig(genotype=genotype)
    changed = dataclasses.replace(base, **{name: CHANGES[name]})
    differs = trial_id("retrain", base, DIGITS) != trial_id("retrain", changed, DIGITS)
    assert differs == (name in base.effective() or name in changed.effective())


def test_null_is_the_value_that_it_stands_for():
    assert trial_id("search", SearchConfig(), DIGITS) == trial_id("search", SearchConfig(alpha_start=1), DIGITS)
    assert trial_id("search", SearchConfig(alpha_weight_decay=-0.0), DIGITS) == trial_id(
        "search", SearchConfig(), DIGITS
    )


def test_data_and_stage_are_part_of_the_id():
    config = SearchConfig()
    assert trial_id("search", config, "a") != trial_id("search", config, "b")


@pytest.mark.parametrize(("name", "value"), [("cells", 8.0), ("lr", float("inf")), ("grad_clip", float("inf"))])
def test_numbers_that_have_no_canonical_form(name, value):
    config = SearchConfig()
    object.__setattr__(config, name, value)
    with pytest.raises(InputError):
        trial_id("search", config, DIGITS)


@given(st.data())
def test_ids_do_not_depend_on_order_resources_path_or_name(data):
    plain = {
        "name": "a",
        "search": {**SMALL, "lr": 0.05, "noise": 0.2},
        "grid": {"js_lambda": ["0", "2"], "alpha_lr": [1e-3, 1e-4]},
        "seeds": [0, 1],
        "retrain": {"cells": 1, "channels": 4},
    }
    other = dict(data.draw(st.permutations(list(plain.items()))))
    other["search"] = dict(data.draw(st.permutations(list(plain["search"].items()))))
    other["grid"] = {
        axis: data.draw(st.permutations(plain["grid"][axis]))
        for axis in data.draw(st.permutations(list(plain["grid"])))
    }
    other["seeds"] = data.draw(st.permutations(plain["seeds"]))
    other |= {
        "name": data.draw(st.sampled_from(["b", "c-1"])),
        "title": data.draw(st.none() | st.text("abc 7é漢")),
        "resources": {
            "search": {"cpus": data.draw(st.integers(1, 9)), "gpus": data.draw(st.sampled_from(["auto", 0, 0.5]))}
        },
        "data": {"path": data.draw(st.none() | st.just("/somewhere"))},
    }
    first, second = make_plan(Sweep(**plain)), make_plan(Sweep(**other))
    assert {trial.id for trial in first.searches} == {trial.id for trial in second.searches}
    cells = {trial.id: CELL for trial in first.searches}
    assert {trial.id for trial in first.trials(cells)} == {trial.id for trial in second.trials(cells)}


@given(
    st.lists(st.integers(0, 2**63 - 1), min_size=1, max_size=4, unique=True),
    st.lists(st.integers(0, 2**63 - 1), max_size=4),
    st.lists(st.floats(0, 10), min_size=1, max_size=3, unique=True),
    st.floats(10.5, 20),
)
def test_more_seeds_and_values_keep_the_old_ids(seeds, more_seeds, noises, more_noise):
    old = make_plan(sweep(seeds=seeds, grid={"noise": noises}))
    longer = list(dict.fromkeys([*more_seeds, *seeds]))
    new = make_plan(sweep(seeds=longer, grid={"noise": [more_noise, *noises]}))
    assert {trial.id for trial in old.searches} <= {trial.id for trial in new.searches}
    assert len({trial.id for trial in new.searches}) == len(longer) * (len(noises) + 1)


# settings


def test_names_and_order_of_settings():
    def names(**parts):
        return list(dict.fromkeys(trial.setting for trial in make_plan(sweep(**parts)).searches))

    assert names() == ["default"]
    assert names(grid={"js_lambda": [0, "0->2"]}) == ["js_lambda=0", "js_lambda=0->2"]
    assert names(grid={"noise": [0.1, 1], "augment": [True, False]}) == [
        "noise=0.1, augment=true",
        "noise=0.1, augment=false",
        "noise=1, augment=true",
        "noise=1, augment=false",
    ]
    assert names(grid={"train_images": [200, None]}) == ["train_images=200", "train_images=null"]
    assert names(variants={"all": {}, "no cell": {"cell_consistency": False}}) == ["all", "no cell"]
    assert names(variants={"a": {}, "b": {"lr": 0.1}}, grid={"js_lambda": [1, 2]}) == [
        "a, js_lambda=1",
        "a, js_lambda=2",
        "b, js_lambda=1",
        "b, js_lambda=2",
    ]


def test_searches_are_every_setting_at_every_seed():
    plan = make_plan(sweep(variants={"a": {}, "b": {"lr": 0.1}}, grid={"js_lambda": [1, 2]}, seeds=[5, 6]))
    assert [(trial.setting, trial.seed) for trial in plan.searches[:3]] == [
        ("a, js_lambda=1", 5),
        ("a, js_lambda=1", 6),
        ("a, js_lambda=2", 5),
    ]
    last = plan.searches[-1]
    assert last.config == SearchConfig(**SMALL, lr=0.1, js_lambda="2", seed=6)
    assert (last.stage, last.retrain_seed, last.parent, last.data) == ("search", None, None, DIGITS)
    assert last.id == trial_id("search", last.config, DIGITS)
    assert plan.trials({}) == plan.searches


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        (
            {"search": {**SMALL, "method": "darts"}, "grid": {"js_lambda": [0, 2]}},
            "axis js_lambda has no effect with space=nasbench201, method=darts",
        ),
        ({"search": {**SMALL, "method": "darts"}, "grid": {"js_lambda": [2]}}, "axis js_lambda has no effect"),
        (
            {"search": {**SMALL, "discretization_consistency": False}, "grid": {"js_lambda": [0, 2]}},
            "discretization_consistency=false",
        ),
        (
            {"search": {**SMALL, "noise": 0}, "grid": {"lr": [0.1, 0.2], "noise_form": ["one_sided", "two_sided"]}},
            "axis noise_form has no effect",
        ),
        (
            {"search": {**SMALL, "js_lambda": "0"}, "grid": {"js_scope": ["node", "cell"]}},
            "axis js_scope has no effect",
        ),
        ({"grid": {"alpha_start": [None, 1.0]}}, "axis alpha_start has no effect"),
        ({"search": {}, "grid": {"sample_none": [True, False]}}, "axis sample_none has no effect with space=darts"),
    ],
)
def test_an_axis_without_effect_is_refused(parts, words):
    assert words in refusal(**parts)


def test_an_axis_with_an_effect_in_some_settings_alone_leaves_equal_ones():
    message = refusal(grid={"js_lambda": ["0", "2"], "js_scope": ["node", "edge"]})
    assert "'js_lambda=0, js_scope=node' and 'js_lambda=0, js_scope=edge' are the same search" in message
    assert "differ in js_scope alone" in message


def test_equal_variants_are_refused():
    message = refusal(variants={"a": {"lr": 0.025}, "b": {}})
    assert "'a' and 'b' are the same search: nothing differs" in message


def test_a_one_valued_axis_with_an_effect_is_fine():
    assert len(make_plan(sweep(grid={"noise": [0.1]})).searches) == 1


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({"search": {**SMALL, "batch_size": 719}}, "setting 'default': batch_size: 719 is more than half of the 1,437"),
        (
            {"grid": {"train_images": [1000, 100]}},
            "setting 'train_images=100': batch_size: 64 is more than half of the 100",
        ),
        ({"search": {**SMALL, "train_images": 1_000_000, "batch_size": 800}}, "half of the 1,437"),
        ({"search": {**SMALL, "resolution": 3}}, "resolution: images of 3 pixels"),
        (
            {"grid": {"epochs": [3, 5], "warmup_epochs": [1, 4]}},
            "setting 'epochs=3, warmup_epochs=4': warmup_epochs: 4 must be below",
        ),
        ({"search": {}, "retrain": {}}, "retrain.auxiliary_weight: 0.4 asks for the auxiliary head"),
        ({"search": {}, "retrain": {"resolution": 44}}, "and those of digits are 44 here"),
        ({"search": {}, "retrain": {"resolution": 31}}, "the side must be a multiple of 4"),
        ({"retrain": {"resolution": 2}}, "retrain.resolution: images of 2 pixels"),
    ],
)
def test_what_cannot_run_is_refused(parts, words):
    assert words in refusal(**parts)


@pytest.mark.parametrize(
    "parts",
    [
        {"search": {**SMALL, "batch_size": 718}},
        {"search": {**SMALL, "resolution": 4}},
        {"search": {}, "retrain": {"resolution": 32}},
        {"search": {}, "retrain": {"auxiliary_weight": 0}},
        {"retrain": {}},
    ],
)
def test_what_can_just_run_is_not(parts):
    assert make_plan(sweep(**parts)).searches


def test_refusals_name_the_line(tmp_path):
    path = tmp_path / "s.yaml"
    path.write_text(
        "name: x\nsearch:\n  epochs: 3\ngrid:\n  lr: [0.1, 0.2]\n  warmup_epochs: [1, 4]\nretrain:\n  resolution: 16\n"
    )
    with pytest.raises(InputError, match=r"s.yaml, line 6: setting 'lr=0.1, warmup_epochs=4'"):
        make_plan(load_sweep(path))
    with pytest.raises(InputError, match=r"s.yaml, line 7: retrain.auxiliary_weight"):
        make_plan(load_sweep(path, overrides=["grid.warmup_epochs=null"]))
    with pytest.raises(InputError, match=r"--set grid.js_scope=\[\"cell\"\]: the axis js_scope has no effect"):
        make_plan(load_sweep(path, overrides=["grid=null", "search.js_lambda=0", 'grid.js_scope=["cell"]']))


def test_plans_are_limited_before_they_are_expanded():
    started = time.perf_counter()
    axes = {name: [i / 1000 for i in range(1, 1001)] for name in ("lr", "lr_min", "alpha_lr", "noise")}
    message = refusal(grid=axes, seeds=[0, 1], retrain={})
    assert "4,000,000,000,000 trials, more than the 100,000" in message
    assert "1000 lr" in message
    assert time.perf_counter() - started < 20


# retrainings


def test_retrainings_of_unknown_cells_have_provisional_ids():
    plan = make_plan(sweep(seeds=[0, 1], retrain={"seeds": [3, 4]}))
    first, second = plan.searches
    retrainings = plan.trials({})[2:]
    assert [trial.id for trial in retrainings] == [f"{s.id}-r{seed}" for s in (first, second) for seed in (3, 4)]
    assert all(trial.config is None and trial.stage == "retrain" and trial.data == DIGITS for trial in retrainings)
    assert [(trial.parent, trial.seed, trial.retrain_seed) for trial in retrainings[1:3]] == [
        (first.id, 0, 4),
        (second.id, 1, 3),
    ]


def test_retrainings_of_known_cells_have_ids_of_what_they_compute():
    plan = make_plan(sweep(seeds=[0, 1], retrain={"seeds": [3], "cells": 2, "lr": 0.1}))
    first, second = plan.searches
    trials = plan.trials({second.id: CELL})
    config = RetrainConfig(genotype=CELL, seed=3, cells=2, lr=0.1)
    assert [trial.id for trial in trials[2:]] == [f"{first.id}-r3", trial_id("retrain", config, DIGITS)]
    assert trials[3].config == config


def test_equal_cells_are_retrained_once_for_the_first_that_asked():
    plan = make_plan(sweep(grid={"js_lambda": ["0", "2"]}, seeds=[0, 1], retrain={"seeds": [0, 1]}))
    spellings = [CELL, OTHER_CELL, f" {CELL} ", CELL]
    cells = {trial.id: text for trial, text in zip(plan.searches, spellings, strict=True)}
    retrainings = plan.trials(cells)[4:]
    assert [(trial.setting, trial.seed, trial.retrain_seed) for trial in retrainings] == [
        ("js_lambda=0", 0, 0),
        ("js_lambda=0", 0, 1),
        ("js_lambda=0", 1, 0),
        ("js_lambda=0", 1, 1),
    ]
    assert len({trial.id for trial in plan.trials(cells)}) == 8
    assert [trial.id for trial in plan.retrainings(plan.searches[3], CELL)] == [trial.id for trial in retrainings[:2]]


def test_a_damaged_genotype_is_refused():
    plan = make_plan(sweep(retrain={}))
    with pytest.raises(InputError, match="no genotype"):
        plan.trials({plan.searches[0].id: "nonsense"})


# data


def test_fingerprints_are_read_once_for_each_data_set(monkeypatch):
    calls = []
    monkeypatch.setattr(
        "stcnas_core.datasets.fingerprint", lambda dataset, path: calls.append((dataset, path)) or f"{dataset}@x"
    )
    variants = {"a": {}, "b": {"dataset": "cifar10"}, "c": {"dataset": "cifar10", "lr": 0.1}}
    plan = make_plan(sweep(variants=variants, seeds=[0, 1], retrain={"dataset": "cifar100"}, data={"path": "/d"}))
    assert calls == [("digits", "/d"), ("cifar10", "/d"), ("cifar100", "/d")]
    assert [trial.data for trial in plan.searches] == ["digits@x"] * 2 + ["cifar10@x"] * 4
    assert plan.trials({})[-1].data == "cifar100@x"


def test_missing_data_is_refused(tmp_path):
    assert "cifar10" in refusal(search={**SMALL, "dataset": "cifar10"}, data={"path": str(tmp_path)})


# size


@pytest.mark.parametrize(
    "parts",
    [{"seeds": list(range(10_000))}, {"grid": {"lr": [i / 1e5 for i in range(1, 10_001)]}}],
    ids=["seeds", "settings"],
)
def test_ten_thousand_searches_are_planned_in_seconds(parts):
    asked = sweep(retrain={}, **parts)
    started = time.process_time()
    plan = make_plan(asked)
    planned = time.process_time()
    trials = plan.trials({})
    cells = plan.trials({trial.id: CELL for trial in plan.searches})
    assert (len(plan.searches), len(trials), len(cells)) == (10_000, 20_000, 10_001)
    # What grows with the square of the number takes minutes; 0.9, 1.4 and 0.1 s were measured on a busy machine.
    assert planned - started < 20
    assert time.process_time() - planned < 5


def test_ids_of_many_seeds_are_those_of_each():
    config = SearchConfig(js_lambda="1", lr=0.05)
    seeds = [0, 3, 2**40]
    expected = [trial_id("search", dataclasses.replace(config, seed=seed), "digits@x") for seed in seeds]
    assert trial_ids("search", config, "digits@x", seeds) == expected
