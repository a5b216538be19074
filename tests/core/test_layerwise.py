"""The layer-wise space: its sizes, what its layers may be, and every method that can search it."""

import typing
from typing import Any

import pytest
import torch
from cells import LAYERS

from stcnas_core import cost, inherited, methods, spaces
from stcnas_core.bilevel import Bilevel
from stcnas_core.config import RetrainConfig, SearchConfig
from stcnas_core.errors import InputError
from stcnas_core.genotype import Genotype, filled
from stcnas_core.method_fields import CELL_METHODS, MethodName
from stcnas_core.path import best_operations, everything, from_genotype, select
from stcnas_core.randomness import stream
from stcnas_core.retrain import Retrain
from stcnas_core.search import Search
from stcnas_core.spaces.layerwise import STRIDES, layer_shapes
from stcnas_core.topology import layerwise, topology_of

SMALL: dict[str, Any] = {
    "space": "layerwise",
    "cells": 1,
    "channels": 2,
    "batch_size": 16,
    "epochs": 1,
    "train_images": 32,
    "candidates": 2,
    "candidate_batches": 1,
    "perturbation_steps": 1,
}
SIX = "Layers(mbconv_3x3_e3, mbconv_5x5_e6, mbconv_7x7_e3, mbconv_3x3_e6, mbconv_5x5_e3, mbconv_7x7_e6)"
SKIP = layerwise(1).operations.index("skip_connect")


def test_parameters_and_multiply_adds_are_those_worked_out_by_hand() -> None:
    network = spaces.get("layerwise").network(Genotype.parse(SIX), channels=2, cells=1, classes=3)
    # Stem 3 to 4, first block 4 to 2, then 3, 5, 10, 12, 24, 40 channels with 6, 18, 15, 60, 36, 144 within the blocks.
    stem, first, head, classifier = 108 + 8, 36 + 8 + 8 + 4, 40 * 160 + 320, 160 * 3 + 3
    blocks = [
        (2 * 6 + 12) + (6 * 9 + 12) + (6 * 3 + 6),
        (3 * 18 + 36) + (18 * 25 + 36) + (18 * 5 + 10),
        (5 * 15 + 30) + (15 * 49 + 30) + (15 * 10 + 20),
        (10 * 60 + 120) + (60 * 9 + 120) + (60 * 12 + 24),
        (12 * 36 + 72) + (36 * 25 + 72) + (36 * 24 + 48),
        (24 * 144 + 288) + (144 * 49 + 288) + (144 * 40 + 80),
    ]
    counted = cost.count(network, (3, 8, 8))
    assert counted.params == stem + first + sum(blocks) + head + classifier == 30_645
    # 64 pixels until the second block halves the image, then 16, 4, 4, 1, 1: a block expands before it halves.
    macs = [
        64 * (108 + 36 + 8),
        64 * (2 * 6 + 6 * 9 + 6 * 3),
        64 * 3 * 18 + 16 * (18 * 25 + 18 * 5),
        16 * 5 * 15 + 4 * (15 * 49 + 15 * 10),
        4 * (10 * 60 + 60 * 9 + 60 * 12),
        4 * 12 * 36 + 1 * (36 * 25 + 36 * 24),
        24 * 144 + 144 * 49 + 144 * 40,
        40 * 160 + 160 * 3,
    ]
    assert counted.macs == sum(macs) == 66_024


def test_a_skipped_layer_costs_nothing_and_changes_nothing() -> None:
    six = Genotype.parse(SIX)
    operations = [edge.operation for edge in six.cell("network")]
    longer = [name for operation in operations[:-1] for name in (operation, "skip_connect")]
    deep = Genotype.parse(f"Layers({', '.join([*longer, operations[-1]])})")
    room = spaces.get("layerwise")
    one, other = (room.network(g, channels=4, cells=1, classes=3).eval() for g in (six, deep))
    assert cost.count(one, (3, 8, 8)) == cost.count(other, (3, 8, 8))
    for theirs, ours in zip(other.parameters(), one.parameters(), strict=True):
        theirs.data.copy_(ours.data)
    images = torch.randn(2, 3, 8, 8)
    torch.testing.assert_close(one(images), other(images))


def test_the_papers_widths_and_strides_on_imagenet() -> None:
    shapes = layer_shapes(layerwise(4), 16, STRIDES["imagenet"][1])
    assert [shapes[i] for i in (0, 1, 4, 8, 12, 16, 20)] == [
        (16, 24, 2),
        (24, 24, 1),
        (24, 40, 2),
        (40, 80, 2),
        (80, 96, 1),
        (96, 192, 2),
        (192, 320, 1),
    ]
    assert len(shapes) == 21
    network = spaces.get("layerwise").network(filled(layerwise(1), "mbconv_3x3_e6"), channels=16, cells=1, classes=7)
    assert network.stem[0].out_channels == 32
    assert network.classifier.in_features == 1280
    small = spaces.get("layerwise").network(Genotype.parse(LAYERS), channels=4, cells=2, classes=7, stem="imagenet")
    seen: list[torch.Size] = []
    small.head.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].shape))
    assert small(torch.randn(2, 3, 64, 64)).shape == (2, 7)
    assert seen == [(2, 80, 2, 2)]  # a 32nd


def test_no_rule_of_choosing_gives_the_first_layer_of_a_stage_a_skip() -> None:
    topology = layerwise(2)
    firsts = {0, 2, 4, 6, 8, 10}
    assert topology.barred == {(edge, SKIP) for edge in firsts}
    scores = torch.rand(1, 11, 7).numpy()
    scores[:, :, SKIP] = 2.0
    for chosen in (select(topology, scores), best_operations(topology, scores)):
        assert {edge for edge, operation in chosen[0] if operation == SKIP} == set(range(11)) - firsts
    assert set(everything(topology)[0]) == {(e, k) for e in range(11) for k in range(7)} - topology.barred


def test_uniform_networks_are_uniform_over_what_each_layer_may_be() -> None:
    method = methods.build(SearchConfig(**{**SMALL, "cells": 2, "method": "random"}), layerwise(2), "cpu")
    cells = inherited.draw(method, 700, stream(0, "ranking"))
    for layer in (0, 1):
        names = [cell.cell("network")[layer].operation for cell in cells]
        allowed = 6 if layer == 0 else 7
        assert len(set(names)) == allowed
        share = 700 / allowed
        # Within five standard deviations of a binomial share.
        assert all(abs(names.count(name) - share) < 5 * (share * (1 - 1 / allowed)) ** 0.5 for name in set(names))


SEARCHABLE = [name for name in typing.get_args(MethodName) if name not in CELL_METHODS]


@pytest.mark.parametrize("method", SEARCHABLE)
def test_a_method_searches_it_and_its_weights_leave_out_what_cannot_be(method: str) -> None:
    search = Search(SearchConfig(**SMALL, method=method), device="cpu")
    epoch = search.run_epoch()
    genotype = Genotype.parse(epoch.genotype)
    assert (genotype.topology, search.finished) == (layerwise(1), True)
    assert search.cost().params > 0
    assert epoch.skip_connects == 0  # with one layer a stage, all of them are firsts
    rows = search.alpha_rows()
    assert not {row["operation"] for row in rows} & {"skip_connect"}
    assert len(rows) in (0, 36)
    if method in ("stc", "darts", "gdas", "snas", "setn", "fairdarts", "sgas", "sdarts-adv", "proxylessnas", "dsnas"):
        assert not search.method.weights()[:, :, SKIP].any()
    if method == "random":
        return
    moved = search.method.parameters()
    assert all(bool(parameter.isfinite().all()) for parameter in moved.values())


@pytest.mark.parametrize("method", sorted(CELL_METHODS))
def test_methods_of_equal_cells_are_refused(method: str) -> None:
    with pytest.raises(InputError, match=f"method: '{method}' must be another in the layerwise space"):
        SearchConfig(space="layerwise", method=method)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="cells: 101 must be at most 100"):
        SearchConfig(space="layerwise", cells=101)


def test_a_layer_trains_its_own_weights_alone() -> None:
    bilevel = Bilevel(SearchConfig(**{**SMALL, "cells": 2}), 10, "cpu")
    chosen = from_genotype(Genotype.parse(LAYERS))[0]
    table = bilevel.by_choice
    assert len(table) == 11 * 7 - 6
    sizes = [sum(p.numel() for p in table[0, edge, operation]) for edge, operation in chosen]
    network = bilevel.space.network(Genotype.parse(LAYERS), channels=2, cells=2, classes=10)
    convolutions = [p.numel() for p in network.cells[0].parameters() if p.dim() == 4]
    assert sum(sizes) == sum(convolutions)
    assert [size == 0 for size in sizes] == [operation == SKIP for _, operation in chosen]


def test_a_retraining_takes_its_depth_from_the_genotype() -> None:
    config = RetrainConfig(genotype=LAYERS, cells=20, channels=2, batch_size=16, epochs=1, train_images=32, cutout=0)
    assert config.cells == 2
    assert config.effective() == RetrainConfig(**{**vars(config), "cells": 7, "auxiliary_weight": 0.1}).effective()
    retrain = Retrain(config, device="cpu")
    epoch = retrain.run_epoch()
    assert 0 <= (epoch.test_accuracy or 0.0) <= 100
    assert retrain.cost().params == sum(parameter.numel() for parameter in retrain.model.parameters())


def test_the_graph_follows_the_space_and_its_size() -> None:
    assert topology_of("layerwise", 3).nodes == 16
    assert topology_of("darts", 3) is topology_of("darts", 20)
    assert Search(SearchConfig(**{**SMALL, "cells": 3, "method": "random"})).genotype.topology is layerwise(3)


@pytest.mark.parametrize(
    ("build", "says"),
    [
        (lambda room: room.supernet(channels=2, cells=1, classes=2, partial=2), "no partial channels"),
        (lambda room: room.supernet(channels=2, cells=1, classes=2, stem="x"), "unknown stem 'x'; known: cifar, image"),
        (
            lambda room: room.network(Genotype.parse(SIX), channels=2, cells=1, classes=2, auxiliary=True),
            "no auxiliary head",
        ),
    ],
)
def test_what_cannot_be_built_is_refused_with_a_reason(build, says: str) -> None:
    with pytest.raises(InputError, match=says):
        build(spaces.get("layerwise"))
