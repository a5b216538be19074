"""Search and retraining: resumable bit for bit, independent of their surroundings, and honest about what moved."""

import dataclasses
import io
import random
from functools import partialmethod
from typing import Any

import numpy as np
import pytest
import torch
from cells import DARTS_V2, MIXED_201

from stcnas_core.errors import DivergedError, InputError
from stcnas_core.methods import METHODS
from stcnas_core.methods.base import Judge, plain
from stcnas_core.retrain import Retrain, RetrainConfig
from stcnas_core.search import Search, SearchConfig

SMALL: dict[str, Any] = {"channels": 2, "batch_size": 16, "epochs": 4, "train_images": 96}
DARTS_SMALL = SearchConfig(space="darts", cells=3, seed=3, **SMALL)
LITERAL: dict[str, Any] = {"warmup_epochs": 0, "derive_by": "alpha"}
"""STC as the paper reads, which it is not by default in NAS-Bench-201."""
BENCH_SMALL = SearchConfig(space="nasbench201", cells=1, seed=3, **LITERAL, **SMALL)
SEARCHES = {
    "darts space": DARTS_SMALL,
    "nasbench201": BENCH_SMALL,
    "warm-up, two samples": SearchConfig(
        space="nasbench201", cells=1, warmup_epochs=2, derive_by="alpha", samples_per_iteration="two", **SMALL
    ),
    "no cell consistency": SearchConfig(space="nasbench201", cells=1, cell_consistency=False, **LITERAL, **SMALL),
    "darts method": SearchConfig(space="nasbench201", cells=1, method="darts", **SMALL),
    "gdas": SearchConfig(space="nasbench201", cells=1, method="gdas", **SMALL),
    "snas": SearchConfig(space="nasbench201", cells=1, method="snas", **SMALL),
    "pcdarts": SearchConfig(space="nasbench201", cells=1, method="pcdarts", **{**SMALL, "channels": 4}),
    "darts2": SearchConfig(space="nasbench201", cells=1, method="darts2", **SMALL),
    "fairdarts": SearchConfig(space="nasbench201", cells=1, method="fairdarts", **SMALL),
    "nasp": SearchConfig(space="nasbench201", cells=1, method="nasp", **SMALL),
    "sgas": SearchConfig(space="nasbench201", cells=1, method="sgas", **{**SMALL, "epochs": 6}),
    "sgas, darts space": SearchConfig(
        space="darts", cells=3, method="sgas", **{**SMALL, "epochs": 2, "train_images": 32}
    ),
    "pdarts": SearchConfig(
        space="nasbench201",
        cells=3,
        method="pdarts",
        skip_dropout=(0.2, 0.4, 0.7),
        **{**SMALL, "epochs": 6, "train_images": 48},
    ),
    "sdarts-adv": SearchConfig(space="nasbench201", cells=1, method="sdarts-adv", perturbation_steps=2, **SMALL),
    "effects": SearchConfig(
        space="nasbench201", cells=1, derive_by="effects", candidates=12, candidate_batches=1, **SMALL
    ),
    "effects, darts space": SearchConfig(
        space="darts", cells=3, derive_by="effects", candidates=5, **{**SMALL, "epochs": 2, "train_images": 32}
    ),
    "random": SearchConfig(space="nasbench201", cells=1, method="random", **SMALL),
    "rsps": SearchConfig(space="nasbench201", cells=1, method="rsps", candidates=9, candidate_batches=1, **SMALL),
    "setn": SearchConfig(space="nasbench201", cells=1, method="setn", candidates=3, **SMALL),
    "enas": SearchConfig(space="nasbench201", cells=1, method="enas", candidates=3, warmup_epochs=1, **SMALL),
    "data": SearchConfig(space="nasbench201", cells=1, method="data", **SMALL),
    **{
        f"{method}, darts space": SearchConfig(
            space="darts", cells=3, method=method, candidates=3, **{**SMALL, "epochs": 2, "train_images": 32}
        )
        for method in ("rsps", "setn", "enas", "data")
    },
    **{
        f"{method}, {space}": SearchConfig(
            space=space,  # type: ignore[arg-type]
            cells=1,
            method=method,
            **{**SMALL, "epochs": 2, "train_images": 32},
        )
        for method, space in (("proxylessnas", "layerwise"), ("dsnas", "nasbench201"), ("stc", "layerwise"))
    },
    "bf16": SearchConfig(space="nasbench201", cells=1, precision="bf16", **LITERAL, **SMALL),
}
RETRAIN = RetrainConfig(
    genotype=MIXED_201, cells=1, channels=4, batch_size=32, epochs=3, train_images=96, test_images=64, seed=2
)
DROP_PATH = RetrainConfig(
    genotype=Search(DARTS_SMALL).genotype.to_text(),
    cells=3,
    channels=2,
    batch_size=32,
    epochs=3,
    train_images=96,
    test_images=32,
    auxiliary_weight=0.4,
    drop_path=0.3,
    resolution=32,
)


def through_a_file(state: dict[str, Any]) -> dict[str, Any]:
    """Save and load as a checkpoint does."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=True)


def assert_equal(one: Any, other: Any) -> None:
    """Bit-equal, whatever is nested in it."""
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, other)
    elif isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_equal(one[key], other[key])
    elif isinstance(one, list | tuple):
        assert len(one) == len(other)
        for left, right in zip(one, other, strict=True):
            assert_equal(left, right)
    else:
        assert one == other


def measured(epoch: Any) -> dict[str, Any]:
    """An epoch's record without its duration."""
    return {name: value for name, value in vars(epoch).items() if name not in ("device_seconds", "step_seconds")}


def disturb() -> None:
    """What other work in the process may do between epochs."""
    torch.manual_seed(random.randrange(1000))
    torch.rand(7)
    np.random.default_rng().random()
    random.random()
    Search(BENCH_SMALL).run_epoch()


@pytest.mark.parametrize("name", SEARCHES)
def test_killed_after_any_epoch_and_resumed_a_search_is_bit_equal(name: str) -> None:
    config = SEARCHES[name]
    unbroken = Search(config, device="cpu")
    states, epochs = [through_a_file(unbroken.state_dict())], []
    while not unbroken.finished:
        epochs.append(measured(unbroken.run_epoch()))
        states.append(through_a_file(unbroken.state_dict()))
    for killed_after in range(config.epochs):
        disturb()
        resumed = Search(config, device="cpu")
        resumed.load_state_dict(states[killed_after])
        assert resumed.epoch == killed_after
        assert measured(resumed.run_epoch()) == epochs[killed_after]
        assert_equal(through_a_file(resumed.state_dict()), states[killed_after + 1])
        assert resumed.alpha_rows() is not None
    assert torch.equal(resumed.method.alpha, unbroken.method.alpha)
    assert resumed.genotype == unbroken.genotype


@pytest.mark.parametrize("config", [RETRAIN, DROP_PATH], ids=["nasbench201", "drop path and auxiliary head"])
def test_killed_after_any_epoch_and_resumed_a_retraining_is_bit_equal(config: RetrainConfig) -> None:
    unbroken = Retrain(config, device="cpu")
    states, epochs = [], []
    while not unbroken.finished:
        states.append(through_a_file(unbroken.state_dict()))
        epochs.append(measured(unbroken.run_epoch()))
    for killed_after in range(config.epochs):
        disturb()
        resumed = Retrain(config, device="cpu")
        resumed.load_state_dict(states[killed_after])
        while not resumed.finished:
            assert measured(resumed.run_epoch()) == epochs[resumed.epoch - 1]
        assert_equal(resumed.state_dict(), unbroken.state_dict())


def test_building_and_running_leaves_the_global_generators_alone() -> None:
    torch.manual_seed(17)
    before = torch.random.get_rng_state()
    search = Search(BENCH_SMALL)
    search.run_epoch()
    Retrain(RETRAIN).run_epoch()
    assert torch.equal(torch.random.get_rng_state(), before)


def test_seeds_differ_and_the_same_seed_does_not() -> None:
    one, same, other = (Search(SearchConfig(space="nasbench201", cells=1, seed=s, **SMALL)) for s in (0, 0, 1))
    assert measured(one.run_epoch()) == measured(same.run_epoch()) != measured(other.run_epoch())
    assert set(one.train_half.tolist()).isdisjoint(one.valid_half.tolist())
    assert one.train_half.tolist() != other.train_half.tolist()


def test_the_alpha_step_moves_alphas_alone_and_the_weight_step_what_ran_alone() -> None:
    search = Search(DARTS_SMALL)
    sample = search.method.sample(0.3, torch.Generator().manual_seed(0))
    x, y = next(iter(search._batches("valid")))
    weights = {name: value.clone() for name, value in search.model.state_dict().items()}
    alpha = search.method.alpha.detach().clone()
    search.method.anneal(1.0)
    search.bilevel.alpha_step(sample, (x, y), (x, y))
    assert_equal(search.model.state_dict(), weights)
    assert all(parameter.grad is None for parameter in search.model.parameters())
    assert not torch.equal(search.method.alpha, alpha)
    alpha = search.method.alpha.detach().clone()
    for _ in range(2):  # twice, so that momentum and decay would show on what did not run
        search.bilevel.weight_step(sample, x, y)
    assert torch.equal(search.method.alpha, alpha)
    ran = {id(p) for p in search.bilevel.shared}
    ran |= {id(p) for kind, cell in enumerate(sample.runs) for c in cell for p in search.bilevel.by_choice[kind, *c]}
    moved = {id(p) for name, p in search.model.named_parameters() if not torch.equal(p, weights[name])}
    assert moved == ran
    assert len(ran) < len(list(search.model.parameters())) / 2


@pytest.mark.parametrize("unsampled", ["rest", "drift"])
def test_what_is_sampled_no_more_rests_or_drifts_by_momentum_and_decay(unsampled: str) -> None:
    search = Search(dataclasses.replace(DARTS_SMALL, unsampled=unsampled))
    first, second = (search.method.sample(0.3, torch.Generator().manual_seed(seed)) for seed in (0, 1))
    x, y = next(iter(search._batches("valid")))
    search.bilevel.weight_step(first, x, y)
    left = {id(p) for p in search.bilevel.ran(first)} - {id(p) for p in search.bilevel.ran(second)}
    weights = [p for p in search.bilevel.ran(first) if id(p) in left]
    assert weights
    optimizer, lr = search.bilevel.optimizer, search.bilevel.optimizer.param_groups[0]["lr"]
    before = [p.detach().clone() for p in weights]
    speeds = [0.9 * optimizer.state[p]["momentum_buffer"] + 3e-4 * p.detach() for p in weights]
    search.bilevel.weight_step(second, x, y)
    for p, start, speed in zip(weights, before, speeds, strict=True):
        torch.testing.assert_close(p.detach(), start if unsampled == "rest" else start - lr * speed)
        assert torch.equal(p.detach(), start) == (unsampled == "rest")
        assert p.grad is None


@pytest.mark.parametrize("warmup", [0, 1])
def test_drifting_is_another_search_where_any_epoch_leaves_weights_unsampled(warmup: int) -> None:
    options = {**SMALL, **LITERAL, "warmup_epochs": warmup, "cell_consistency": False}
    rest, drift = (
        Search(SearchConfig(space="nasbench201", cells=1, unsampled=unsampled, **options))
        for unsampled in ("rest", "drift")
    )
    rest.run_epoch()
    drift.run_epoch()
    pairs = zip(rest.model.parameters(), drift.model.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs) == (warmup == 0)
    assert (rest.config.effective() == drift.config.effective()) == (warmup == 0)


def test_warm_up_moves_no_alpha() -> None:
    search = Search(SEARCHES["warm-up, two samples"])
    start = search.method.alpha.detach().clone()
    epochs = [search.run_epoch() for _ in range(2)]
    assert torch.equal(search.method.alpha, start)
    assert [epoch.alpha_loss for epoch in epochs] == [None, None]
    assert [epoch.skip_connects for epoch in epochs] == [None, None]
    search.run_epoch()
    assert not torch.equal(search.method.alpha, start)


def test_alphas_stay_in_the_unit_box_and_the_schedules_end_where_they_should() -> None:
    search = Search(SearchConfig(space="nasbench201", cells=1, alpha_lr=0.4, js_lambda="0->2", **LITERAL, **SMALL))
    epochs = []
    while not search.finished:
        epochs.append(search.run_epoch())
        assert 0.0 <= search.method.alpha.min() <= search.method.alpha.max() <= 1.0
    assert [epoch.noise for epoch in epochs] == pytest.approx([0.3, 0.2, 0.1, 0.0])
    assert [epoch.penalty_weight for epoch in epochs] == pytest.approx([0.0, 2 / 3, 4 / 3, 2.0])
    with pytest.raises(InputError, match="all 4 epochs are done"):
        search.run_epoch()


def test_never_sampled_entries_fall_by_the_sum_of_the_rates() -> None:
    # Reading (a) of METHOD: under Adam a gradient of constant sign moves an entry by the rate, whatever its size.
    options = {**SMALL, **LITERAL, "noise": 0.0, "alpha_lr": 0.01}
    search = Search(SearchConfig(space="nasbench201", cells=1, js_lambda="2", alpha_lr_schedule="constant", **options))
    with torch.no_grad():
        search.method.alpha[0, :, :3] = 0.6  # never the argmax
    search.run_epoch()
    assert search.method.alpha[0, :, 1].tolist() == pytest.approx([0.6 - 3 * 0.01] * 6, abs=2e-4)


def test_cells_are_judged_on_one_part_of_the_validation_half_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    search = Search(dataclasses.replace(BENCH_SMALL, epochs=1), device="cpu")
    cell = plain(search.method.uniform(torch.Generator().manual_seed(1)).cell)
    parts: list[float] = []

    def choose(accuracy: Judge) -> None:
        # 48 images are three batches, of which the fourth is the first again.
        parts.extend(accuracy(cell, 1, behind) for behind in range(4))
        parts.append(accuracy(cell, 2, 2))
        parts.append(accuracy(cell, 0, 0))

    monkeypatch.setattr(search.method, "choose", choose)
    search.run_epoch()
    first, second, third, again, last_and_first, whole = parts
    assert len({first, second, third}) > 1
    assert again == first
    assert last_and_first == pytest.approx((third + first) / 2)
    assert whole == pytest.approx((first + second + third) / 3)


def test_a_digit_search_learns() -> None:
    search = Search(SearchConfig(space="nasbench201", cells=1, channels=8, batch_size=32, epochs=6, lr=0.1, **LITERAL))
    epochs = [search.run_epoch() for _ in range(6)]
    assert epochs[-1].train_loss < 0.8 * epochs[0].train_loss
    assert epochs[-1].valid_accuracy is not None
    assert epochs[-1].valid_accuracy > 30


def test_divergence_is_an_error_and_not_a_result() -> None:
    with pytest.raises(DivergedError, match="diverged in epoch 0"):
        Search(SearchConfig(space="nasbench201", cells=1, lr=1e30, **SMALL)).run_epoch()
    with pytest.raises(DivergedError, match="diverged in epoch 0"):
        Retrain(RetrainConfig(genotype=MIXED_201, cells=1, channels=2, lr=1e30, epochs=2, train_images=300)).run_epoch()


@pytest.mark.slow
def test_a_compiled_retraining_is_the_same_but_for_rounding(monkeypatch: pytest.MonkeyPatch) -> None:
    # What is traced and differentiated is the same for every backend; the default one would take minutes here.
    monkeypatch.setattr(torch.nn.Module, "compile", partialmethod(torch.nn.Module.compile, backend="aot_eager"))
    small = {"cells": 3, "channels": 2, "epochs": 2, "train_images": 48, "batch_size": 16, "auxiliary_weight": 0.0}
    config = RetrainConfig(genotype=DARTS_V2, drop_path=0.5, **small)
    plain, compiled = Retrain(config), Retrain(dataclasses.replace(config, compile=True))
    assert config.effective() != compiled.config.effective()
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    for _ in range(2):
        one, other = plain.run_epoch(), compiled.run_epoch()
        assert other.train_loss == pytest.approx(one.train_loss, rel=1e-3)
        assert other.test_loss == pytest.approx(one.test_loss, rel=1e-3)
    assert sum(torch._dynamo.utils.counters["graph_break"].values()) == 0
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] >= 2
    assert compiled.state_dict()["model"].keys() == plain.state_dict()["model"].keys()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("last_step_only", [False, True])
def test_whatever_is_not_finite_is_divergence(value: float, last_step_only: bool) -> None:
    for run in (
        Search(SearchConfig(space="nasbench201", cells=1, **SMALL)),
        Retrain(RetrainConfig(genotype=MIXED_201, cells=1, channels=2, epochs=2, train_images=32, batch_size=32)),
    ):
        weight = run.model.classifier.weight
        if last_step_only:
            batches = 1 if isinstance(run, Retrain) else 3
            seen: list[int] = []

            def spoil(gradient: torch.Tensor, seen: list[int] = seen, last: int = batches) -> torch.Tensor:
                seen.append(1)
                return torch.full_like(gradient, value) if len(seen) == last else gradient

            weight.register_hook(spoil)
        else:
            weight.data[0, 0] = value
        with pytest.raises(DivergedError, match="diverged in epoch 0"):
            run.run_epoch()


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: SearchConfig(space="mars"), "space: 'mars' must be one of 'darts', 'nasbench201'"),
        (lambda: SearchConfig(epochs=0), "epochs: 0 must be a finite number of at least 1"),
        (lambda: SearchConfig(lr=float("nan")), "lr: nan must be"),
        (lambda: SearchConfig(warmup_epochs=50), r"warmup_epochs: 50 must be below epochs \(50\)"),
        (lambda: SearchConfig(js_lambda="up"), "'up' is no schedule"),
        (lambda: SearchConfig(alpha_betas=(0.5, 1.0)), "alpha_betas"),
        (lambda: RetrainConfig(genotype="x"), "is no genotype"),
        (lambda: RetrainConfig(genotype=MIXED_201, drop_path=1.0), "drop_path: 1.0 must be below 1"),
        (
            lambda: Search(SearchConfig(batch_size=64, train_images=100)),
            "batch_size: 64 is above 50, the part of the 100 training",
        ),
        (lambda: Retrain(RetrainConfig(genotype=DROP_PATH.genotype)), "images of 32, 36, 40 pixels, these have 8"),
    ],
)
def test_what_cannot_be_run_is_refused_with_a_reason(make, says: str) -> None:
    with pytest.raises(InputError, match=says):
        make()


def test_a_checkpoint_of_something_else_is_refused() -> None:
    search = Search(BENCH_SMALL)
    for state, says in [
        ({}, "no configuration"),
        ({"config": {}}, "another configuration; it differs in space"),
        ({"config": {**BENCH_SMALL.effective(), "of_tomorrow": 1}}, "it differs in of_tomorrow"),
        ({"config": None}, "no configuration"),
        (Search(SEARCHES["darts method"]).state_dict(), "differs in method"),
        ({**search.state_dict(), "alpha": torch.zeros(2, 2)}, "does not fit"),
        ({**search.state_dict(), "model": {}}, "does not fit"),
    ]:
        with pytest.raises(InputError, match=says):
            search.load_state_dict(state)


def test_a_checkpoint_goes_on_with_every_configuration_of_its_id() -> None:
    """Such as one of a later version, with a field whose default says what was so before there was the field."""
    first = Search(dataclasses.replace(BENCH_SMALL, discretization_consistency=False))
    first.run_epoch()
    state = through_a_file(first.state_dict())
    assert "unsampled" not in state["config"], "ids of before this field omit it, and so does the checkpoint"
    same = Search(dataclasses.replace(first.config, js_lambda="2", js_scope="cell", candidates=7))
    same.load_state_dict(state)
    first.run_epoch()
    same.run_epoch()
    assert_equal(same.state_dict(), first.state_dict())


def test_equal_searches_have_equal_effective_configurations() -> None:
    base = SearchConfig()
    assert SearchConfig(alpha_start=1.0).effective() == base.effective()
    assert SearchConfig(js_lambda="2").effective() != base.effective()
    off = SearchConfig(discretization_consistency=False)
    assert SearchConfig(discretization_consistency=False, js_lambda="2").effective() == off.effective()
    darts = SearchConfig(method="darts")
    assert SearchConfig(method="darts", noise=0.5, js_lambda="1").effective() == darts.effective()
    assert darts.effective()["alpha_weight_decay"] == 1e-3


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_search_and_a_retraining_run_and_resume_on_cuda(precision: str) -> None:
    options = {**SMALL, "precision": precision}
    search = Search(SearchConfig(space="darts", cells=3, **options), device="cuda")
    search.run_epoch()
    resumed = Search(search.config, device="cuda")
    resumed.load_state_dict(search.state_dict())
    resumed.run_epoch()
    assert resumed.method.alpha.device.type == "cuda"
    assert resumed.peak_memory() > 0
    retrain = Retrain(
        RetrainConfig(genotype=MIXED_201, cells=1, channels=2, epochs=1, precision=precision), device="cuda"
    )
    assert retrain.run_epoch().test_accuracy is not None


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("space", ["darts", "nasbench201"])
@pytest.mark.parametrize("method", METHODS)
def test_every_method_runs_and_resumes_on_cuda(method: str, space: str) -> None:
    options: dict[str, Any] = {**SMALL, "channels": 4, "candidates": 3}
    config = SearchConfig(space=space, method=method, cells=3, **options)  # type: ignore[arg-type]
    search = Search(config, device="cuda")
    while not search.finished:
        state = through_a_file(search.state_dict())
        search.run_epoch()
    resumed = Search(config, device="cuda")
    resumed.load_state_dict(state)
    resumed.run_epoch()
    assert resumed.finished
    where = "cpu" if method == "enas" else "cuda"  # the steps of a controller are too small for a device
    assert {value.device.type for value in resumed.method.parameters().values()} <= {where}
