"""How much memory a trial needs, how it is remembered, and what share of a GPU comes of it."""

import dataclasses
import io
import json
from pathlib import Path

import pytest
from driver import write_sweep
from hypothesis import given
from hypothesis import strategies as st

from orchestrator import packing
from orchestrator.cluster.demands import Demands
from orchestrator.frontier import Frontier
from orchestrator.ledger import Ledger
from orchestrator.packing import CONTEXT_BYTES, Card, Need, Shape, heaviest
from orchestrator.plan import make_plan
from orchestrator.preflight import Demand
from orchestrator.progress import Lines, Tracker
from orchestrator.scheduler import Run
from orchestrator.spec import ANY_GENOTYPE, load_sweep
from orchestrator.storage import LocalStorage
from stcnas_core.config import RetrainConfig, SearchConfig
from stcnas_core.errors import InputError
from stcnas_core.genotype import Genotype, filled
from stcnas_core.topology import DARTS, NASBENCH201, layerwise

GB = 10**9
CARD = Card("NVIDIA H100 80GB HBM3", 80 * GB)
DIGITS = "digits@scikit-learn"


def shape(**changes) -> Shape:
    return Shape.of("search", SearchConfig(**changes), DIGITS, None)


@pytest.mark.parametrize(
    "changes",
    [{"seed": 1}, {"epochs": 7}, {"js_lambda": "1"}, {"lr": 0.1}, {"noise": 0.1}, {"evaluate_every": 5}],
)
def test_what_no_step_needs_memory_for_is_the_same_shape(changes) -> None:
    assert shape(**changes).digest == shape().digest


@pytest.mark.parametrize(
    "changes",
    [
        {"batch_size": 32},
        {"cells": 3},
        {"channels": 8},
        {"method": "darts"},
        {"precision": "bf16"},
        {"cell_consistency": False},
        {"space": "nasbench201"},
        {"resolution": 16},
        {"train_images": 200},
    ],
)
def test_what_changes_a_steps_memory_is_another_shape(changes) -> None:
    assert shape(**changes).digest != shape().digest


def test_retrainings_of_a_space_are_one_shape() -> None:
    def retrain(genotype: str, **changes) -> Shape:
        return Shape.of("retrain", RetrainConfig(genotype=genotype, **changes), DIGITS, None)

    darts, bench = ANY_GENOTYPE["darts"], ANY_GENOTYPE["nasbench201"]
    assert retrain(darts).digest == retrain(heaviest(DARTS), seed=3).digest
    assert retrain(bench).digest == retrain(heaviest(NASBENCH201)).digest
    assert len({retrain(darts).digest, retrain(bench).digest, retrain(darts, batch_size=8).digest}) == 3
    assert isinstance(retrain(darts).config, RetrainConfig)
    assert Genotype.parse(retrain(darts).config.genotype).count("sep_conv_5x5") == {"normal": 8, "reduce": 8}
    layers = [retrain(filled(layerwise(blocks), "mbconv_3x3_e3").to_text()) for blocks in (1, 2)]
    assert layers[0].digest != layers[1].digest == retrain(heaviest(layerwise(2))).digest


@given(peak=st.integers(GB // 5, 200 * GB), memory=st.integers(GB, 200 * GB), most=st.integers(1, 100))
def test_so_many_fit_on_a_card_as_their_share_of_it_holds(peak: int, memory: int, most: int) -> None:
    trials = Need(peak).trials(Card("", memory), most)
    assert 1 <= trials <= most
    share = packing.share(trials)
    # Ray rounds to ten-thousandths; as many as were meant must fit, and no more.
    assert round(share * 10_000) * trials <= 10_000
    assert int(1 / share) == trials
    if trials > 1:
        assert packing.allocator_share(share, memory) * memory >= peak
        assert trials * (packing.allocator_share(share, memory) * memory + CONTEXT_BYTES) <= memory * 1.000001
    else:
        assert packing.allocator_share(share, memory) == 1.0


def test_more_than_a_card_has_is_one_to_a_card() -> None:
    assert Need(None).trials(CARD, 8) == Need(79 * GB).trials(CARD, 8) == 1
    assert Need(2 * GB).trials(CARD, 8) == 8
    assert Need(12 * GB).trials(CARD, 8) == 5


def test_measurements_are_kept_by_shape_and_card(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    assert packing.recall(storage, shape(), CARD) is None
    packing.remember(storage, shape(), CARD, Need(5 * GB))
    packing.remember(storage, shape(cells=20), CARD, Need(None))
    assert packing.recall(storage, shape(seed=4), CARD) == Need(5 * GB)
    assert packing.recall(storage, shape(cells=20), CARD) == Need(None)
    assert packing.recall(storage, shape(), Card("Tesla V100", 16 * GB)) is None
    (file,) = [file for file in tmp_path.glob("packing/*") if shape().digest in file.name]
    assert file.name == f"{shape().digest}-NVIDIA-H100-80GB-HBM3-76293.json"
    assert json.loads(file.read_text())["card"] == {"name": CARD.name, "memory": CARD.memory}


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"peak_bytes": "much"}', '{"peak_bytes": -1}'])
def test_a_damaged_measurement_is_measured_again(tmp_path: Path, content: str) -> None:
    storage = LocalStorage(tmp_path)
    storage.replace(shape().key(CARD), content.encode())
    assert packing.recall(storage, shape(), CARD) is None


def test_a_measured_run_is_the_same_step_on_few_images() -> None:
    config = SearchConfig(batch_size=64, epochs=50, warmup_epochs=8, evaluate_every=5, cells=20)
    short = packing.shortened(config, {"train_images": 50_000})
    assert short == dataclasses.replace(
        config, epochs=2, warmup_epochs=0, candidates=1, evaluate_every=1, train_images=512
    )
    assert packing.shortened(config, {"train_images": 200}).train_images == 200
    assert packing.shortened(SearchConfig(method="pdarts"), {"train_images": 200}).epochs == 3  # one of each stage
    retrain = RetrainConfig(genotype=ANY_GENOTYPE["darts"], batch_size=96)
    short = packing.shortened(retrain, {"train_images": 50_000, "test_images": 10_000})
    assert short == dataclasses.replace(retrain, epochs=2, train_images=384, test_images=96)


def demands(tmp_path: Path, nodes, **changes) -> Demands:
    plan = make_plan(load_sweep(write_sweep(tmp_path / "s.yaml", **changes)))
    ledger = Ledger(LocalStorage(tmp_path / "results"))
    tracker = Tracker(plan.trials({}), lambda trial: 1, lambda: 0.0)
    run = Run(plan, ledger, Frontier(plan, {}, {}, ledger.has), Lines(tracker, io.StringIO()))
    return Demands(run, nodes)


AUTO = {"search": {"gpus": "auto"}, "retrain": {"gpus": "auto", "most_per_gpu": 4}}


def test_each_shape_gets_its_share(tmp_path: Path) -> None:
    nodes = [{"CPU": 16, "GPU": 2}]
    found = demands(tmp_path, nodes, resources=AUTO, grid={"channels": [2, 4], "js_lambda": ["0", "2"]})
    most = {(shape.stage, shape.config.channels): most for shape, most in found.shapes().items()}
    assert most == {("search", 2): 8, ("search", 4): 8, ("retrain", 2): 4}
    by_channels = {(shape.stage, shape.config.channels): shape.digest for shape in found.shapes()}
    found.shares = {by_channels["search", 2]: 0.125, by_channels["search", 4]: 0.5, by_channels["retrain", 2]: 0.25}
    trials = found.run.plan.trials({})
    asked = {(t.stage, t.setting): found.of(t).gpus for t in trials}
    assert asked["search", "channels=2, js_lambda=0"] == asked["search", "channels=2, js_lambda=2"] == 0.125
    assert asked["search", "channels=4, js_lambda=2"] == 0.5
    assert asked["retrain", "channels=4, js_lambda=0"] == 0.25
    found.run.alone.add(trials[0].id)
    assert found.of(trials[0]).gpus == 1.0
    assert found.of(trials[1]).gpus == 0.125


def test_an_explicit_share_is_kept_and_one_to_a_gpu_is_not_measured(tmp_path: Path) -> None:
    resources = {"search": {"gpus": 0.5}, "retrain": {"gpus": "auto", "most_per_gpu": 1}}
    found = demands(tmp_path, [{"CPU": 16, "GPU": 2}], resources=resources)
    assert found.shapes() == {}
    assert [found.of(trial).gpus for trial in found.run.plan.trials({})] == [0.5, 0.5, 1.0, 1.0]


def test_without_gpus_trials_pack_by_cores(tmp_path: Path) -> None:
    resources = {"search": {"gpus": "auto", "cpus": 0.25}, "retrain": {"gpus": "auto", "cpus": 2}}
    found = demands(tmp_path, [{"CPU": 4}], resources=resources)
    found.check()
    assert found.shapes() == {}
    search, _, retrain, _ = found.run.plan.trials({})
    # A quarter of a core would be four threads a core.
    assert found.of(search) == Demand(1.0, 0)
    assert found.of(retrain) == Demand(2.0, 0)
    assert found.of(search).slots(found.nodes) == 4


@pytest.mark.parametrize("gpus", [1, 0.5])
def test_gpus_that_no_node_has_are_refused(tmp_path: Path, gpus: float) -> None:
    found = demands(tmp_path, [{"CPU": 4}], resources={"search": {"gpus": gpus}})
    with pytest.raises(InputError, match=r"resources.search: .* no node has them"):
        found.check()


@pytest.mark.gpu
def test_measures_on_a_gpu() -> None:
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    card = packing.this_card()
    assert card.memory > GB
    small = packing.measure(shape(cells=3, channels=8, batch_size=32))
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    large = packing.measure(shape(cells=8, channels=16, batch_size=256))
    assert small.peak is not None
    assert large.peak is not None
    assert 10**7 < small.peak < large.peak < card.memory
