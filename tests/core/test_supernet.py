"""The supernet runs a path and nothing else, and a path is the derived network."""

import copy
from pathlib import Path as FilePath

import pandas as pd
import pytest
import torch
from cells import ALL_CONV3X3, DARTS_V2, LAYERS, MIXED_201
from torch import nn

from stcnas_core import cost, spaces
from stcnas_core.errors import InputError
from stcnas_core.genotype import Genotype
from stcnas_core.path import Path, everything, from_genotype
from stcnas_core.spaces import CellNetwork

CASES = [
    ("darts", DARTS_V2, 5),
    ("nasbench201", MIXED_201, 2),
    ("nasbench201", ALL_CONV3X3, 1),
    ("layerwise", LAYERS, 2),
]


def both(space: str, text: str, cells: int) -> tuple[CellNetwork, CellNetwork, Path]:
    """A supernet and the derived network of a genotype with the supernet's weights, in float64."""
    torch.manual_seed(1)
    genotype = Genotype.parse(text)
    room = spaces.get(space)
    supernet = room.supernet(channels=4, cells=cells, classes=7).double()
    network = room.network(genotype, channels=4, cells=cells, classes=7).double()
    missing = network.load_state_dict(supernet.state_dict(), strict=False).missing_keys
    # Nothing but what a search network has no counterpart of: gains, biases and running statistics of norms.
    assert all("norm." in name or "running_" in name or "num_batches" in name for name in missing)
    return supernet.train(), network.train(), Path(from_genotype(genotype))


@pytest.mark.parametrize(("space", "text", "cells"), CASES)
def test_a_path_over_shared_weights_is_the_derived_network(space: str, text: str, cells: int) -> None:
    supernet, network, path = both(space, text, cells)
    images = torch.randn(6, 3, 16, 16, dtype=torch.float64)
    ours, theirs = supernet(images, path), network(images)
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)
    ours.square().sum().backward()
    theirs.square().sum().backward()
    derived = dict(network.named_parameters())
    compared = 0
    for name, parameter in supernet.named_parameters():
        if parameter.grad is None:
            assert name not in derived, f"{name} is on the path and got no gradient"
            continue
        torch.testing.assert_close(parameter.grad, derived[name].grad, rtol=1e-8, atol=1e-10)
        compared += 1
    assert compared > 10


@pytest.mark.parametrize(("space", "text", "cells"), CASES)
def test_operations_outside_the_path_get_no_gradient_and_do_no_work(space: str, text: str, cells: int) -> None:
    supernet, _, path = both(space, text, cells)
    ran: set[nn.Module] = set()
    for module in supernet.modules():
        module.register_forward_hook(lambda module, *_: ran.add(module))
    supernet(torch.randn(4, 3, 16, 16, dtype=torch.float64), path).sum().backward()
    table = supernet.parameters_by_choice()
    on_path = {(kind, *choice) for kind, cell in enumerate(path.chosen) for choice in cell}
    for choice, parameters in table.items():
        assert all((parameter.grad is not None) == (choice in on_path) for parameter in parameters)
    on = {id(p) for choice in on_path for p in table[choice]} | {id(p) for p in supernet.shared_parameters()}
    idle = [m for m in supernet.modules() if any(id(p) not in on for p in m.parameters(recurse=False))]
    assert idle
    assert not ran & set(idle)


@pytest.mark.parametrize("space", ["darts", "nasbench201", "layerwise"])
def test_weights_scale_operations_and_carry_the_gradient_to_alpha(space: str) -> None:
    room = spaces.get(space, cells=1)
    topology = room.topology
    torch.manual_seed(2)
    supernet = room.supernet(channels=4, cells=3 if space == "darts" else 1, classes=5).double()
    images = torch.randn(4, 3, 8, 8, dtype=torch.float64)
    shape = (len(topology.kinds), len(topology.edges), len(topology.operations))
    weights = torch.rand(shape, dtype=torch.float64, requires_grad=True)
    path = Path(everything(topology), weights)
    loss = supernet(images, path).square().mean()
    (gradient,) = torch.autograd.grad(loss, [weights])
    # The derivative along random directions, by central differences.
    for seed in range(3):
        direction = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
        step = 1e-8 if space == "layerwise" else 1e-6  # within a longer one some of its many ReLU6s switch
        with torch.no_grad():
            above = supernet(images, Path(path.chosen, weights + step * direction)).square().mean()
            below = supernet(images, Path(path.chosen, weights - step * direction)).square().mean()
        assert (gradient * direction).sum().item() == pytest.approx(((above - below) / (2 * step)).item(), rel=1e-5)


def test_scaling_by_the_norms_gain_is_scaling_the_output() -> None:
    room = spaces.get("nasbench201")
    supernet = room.supernet(channels=4, cells=1, classes=3).double()
    chosen = ((((0, 3)), (1, 1), (3, 4)),)
    weights = torch.full((1, 6, 5), 0.37, dtype=torch.float64)
    x = torch.randn(3, 4, 8, 8, dtype=torch.float64)
    cell = supernet.cells[0]
    plain = cell((x,), chosen[0], [None] * 3).outputs(activated=False)
    scaled = cell((x,), chosen[0], list(weights[0, 0, :3])).outputs(activated=False)
    for one, other in zip(plain, scaled, strict=True):
        torch.testing.assert_close(other, 0.37 * one)


@pytest.mark.parametrize("space", ["darts", "nasbench201"])
def test_channels_last_single_precision_gives_the_gradients_of_double_precision(space: str) -> None:
    # PyTorch's channels-last batch norm reads a gain of stride 0 past its end in the backward pass.
    room = spaces.get(space)
    torch.manual_seed(4)
    single = room.supernet(channels=8, cells=3 if space == "darts" else 1, classes=5)
    double = copy.deepcopy(single).double()
    single = single.to(memory_format=torch.channels_last)
    images = torch.randn(32, 3, 8, 8, dtype=torch.float64)
    shape = (len(room.topology.kinds), len(room.topology.edges), len(room.topology.operations))
    weights = torch.rand(shape, dtype=torch.float64)
    gradients = []
    for network, dtype in ((single, torch.float32), (double, torch.float64)):
        alpha = weights.to(dtype).requires_grad_()
        loss = network(images.to(dtype), Path(everything(room.topology), alpha)).square().mean()
        gradients.append(torch.autograd.grad(loss, [alpha])[0].double())
    torch.testing.assert_close(*gradients, rtol=2e-2, atol=1e-4)


def test_parameters_and_macs_are_the_published_ones() -> None:
    darts = spaces.get("darts").network(Genotype.parse(DARTS_V2), channels=36, cells=20, classes=10)
    assert cost.count(darts, (3, 32, 32)).params == 3_349_342
    bench = spaces.get("nasbench201").network(Genotype.parse(ALL_CONV3X3), channels=16, cells=5, classes=10)
    counted = cost.count(bench, (3, 32, 32))
    assert counted.params == 1_531_546
    # NAS-Bench-201's own figure, 7,783,050 + 6 x 35,389,440, counts the classifier's 10 additions too.
    assert counted.macs == 7_783_050 + 6 * 35_389_440 - 10


def test_macs_are_worked_out_by_hand_for_a_small_network() -> None:
    text = "|none~0|+|none~0|none~1|+|skip_connect~0|none~1|nor_conv_1x1~2|"
    network = spaces.get("nasbench201").network(Genotype.parse(text), channels=2, cells=1, classes=3)
    stem = 8 * 8 * 2 * 3 * 9
    conv1x1 = 8 * 8 * 2 * 2 + 4 * 4 * 4 * 4 + 2 * 2 * 8 * 8  # on zeros, as the benchmark runs it
    first = 4 * 4 * (4 * 2 * 9 + 4 * 4 * 9 + 4 * 2)
    second = 2 * 2 * (8 * 4 * 9 + 8 * 8 * 9 + 8 * 4)
    counted = cost.count(network, (3, 8, 8))
    assert counted.macs == stem + conv1x1 + first + second + 8 * 3
    # Values at 8x8, 4x4 and 2x2 pixels: of the cells and, between them, of the residual blocks; the stem and the end.
    cells = 64 * 2 + 16 * 4 + 4 * 8
    blocks = [(64 * 2, 16 * 4), (16 * 4, 4 * 8)]
    norms = 64 * 2 + cells + sum(2 * out for _, out in blocks) + 4 * 8
    rectified = cells + sum(given + out for given, out in blocks) + 4 * 8
    assert counted.macs_with_norms == counted.macs + 2 * norms + rectified


def test_the_imagenet_stem_and_the_auxiliary_head() -> None:
    room = spaces.get("darts")
    network = room.network(Genotype.parse(DARTS_V2), channels=48, cells=14, classes=1000, stem="imagenet")
    assert cost.count(network, (3, 224, 224)).params == 4_718_752  # DARTS's published 4.7M
    assert network.train()(torch.randn(2, 3, 32, 32)).shape == (2, 1000)
    both = room.network(Genotype.parse(DARTS_V2), channels=4, cells=6, classes=5, auxiliary=True)
    logits, side = both.train()(torch.randn(2, 3, 32, 32))
    assert logits.shape == side.shape == (2, 5)
    assert both.eval()(torch.randn(2, 3, 32, 32)).shape == (2, 5)


@pytest.mark.parametrize(
    ("build", "says"),
    [
        (lambda: spaces.get("mars"), "unknown search space 'mars'; known: darts, nasbench201, layerwise"),
        (
            lambda: spaces.get("darts").network(Genotype.parse(ALL_CONV3X3), channels=4, cells=3, classes=2),
            "genotype of space 'nasbench201'",
        ),
        (lambda: spaces.get("darts").supernet(channels=4, cells=3, classes=2, stem="mnist"), "unknown stem 'mnist'"),
        (
            lambda: spaces.get("nasbench201").network(
                Genotype.parse(ALL_CONV3X3), channels=4, cells=1, classes=2, auxiliary=True
            ),
            "no auxiliary head",
        ),
        (
            lambda: spaces.get("darts").supernet(channels=2, cells=1, classes=2)(torch.zeros(2, 3, 8, 8)),
            "needs a path",
        ),
    ],
)
def test_what_cannot_be_built_is_refused_with_a_reason(build, says: str) -> None:
    with pytest.raises(InputError, match=says):
        build()


def test_parameters_and_macs_of_the_benchmarks_own_table() -> None:
    table = FilePath(__file__).resolve().parents[3] / "shared" / "data" / "nb201.parquet"
    if not table.exists():
        pytest.skip("the NAS-Bench-201 table is not beside the repository")
    rows = pd.read_parquet(table, columns=["arch_str", "params_m", "flops_m"]).sample(15, random_state=0)
    for row in rows.itertuples():
        genotype = Genotype.parse(row.arch_str)
        network = spaces.get("nasbench201").network(genotype, channels=16, cells=5, classes=10)
        counted = cost.count(network, (3, 32, 32))
        assert counted.params == round(row.params_m * 1e6)
        assert counted.macs == round(row.flops_m * 1e6) - 10  # the table counts the classifier's additions too


@pytest.mark.parametrize("cells", [1, 2])
def test_a_network_too_short_for_normal_cells_has_none(cells: int) -> None:
    supernet = spaces.get("darts").supernet(channels=2, cells=cells, classes=3)
    path = Path(from_genotype(Genotype.parse(DARTS_V2)))
    assert supernet(torch.randn(4, 3, 8, 8), path).shape == (4, 3)
    assert all(not parameters for (kind, *_), parameters in supernet.parameters_by_choice().items() if kind == 0)
