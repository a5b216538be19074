"""PC-DARTS: partial channels, shuffled, and weights between the edges of a node."""

import pytest
import torch

from stcnas_core import methods, spaces
from stcnas_core.bilevel import Bilevel
from stcnas_core.config import SearchConfig
from stcnas_core.errors import InputError
from stcnas_core.methods.pcdarts import PcDarts
from stcnas_core.partial_cell import PartialCell
from stcnas_core.path import everything
from stcnas_core.search import Search
from stcnas_core.topology import DARTS, NASBENCH201


def test_operations_see_a_quarter_of_the_channels() -> None:
    whole, partial = (spaces.get("darts").supernet(channels=16, cells=3, classes=10, partial=k) for k in (1, 4))
    seen = {}
    for name, network in (("whole", whole), ("partial", partial)):
        cell = network.cells[0].cell  # type: ignore[union-attr]
        seen[name] = cell.edges["2_0"]["sep_conv_3x3"].first.pointwise.weight.shape[:2]
    assert seen == {"whole": (16, 16), "partial": (4, 4)}


def cell(partial: int, stride: int = 1) -> PartialCell:
    return PartialCell(NASBENCH201, everything(NASBENCH201)[0], 8, lambda _: stride, searching=True, partial=partial)


def test_what_passes_by_is_weighed_by_the_edge_and_shuffled() -> None:
    module = cell(4)
    x = torch.randn(2, 8, 6, 6)
    skip = ((0, 1),)  # edge 0, from node 0 to node 1, skip_connect
    (first, *_) = module((x,), skip, [torch.tensor(0.3)]).outputs(activated=False)
    # Groups (0 1) (2 3) (4 5) (6 7) become 0 2 4 6, 1 3 5 7; both the operation's part and the rest are weighed.
    torch.testing.assert_close(first, 0.3 * x[:, [0, 2, 4, 6, 1, 3, 5, 7]])
    two = module((x,), ((0, 0), (0, 1)), [torch.tensor(0.2), torch.tensor(0.3)]).outputs(activated=False)[0]
    torch.testing.assert_close(two[:, 0], 0.3 * x[:, 0])  # `none` adds nothing to the operations' part
    torch.testing.assert_close(two[:, 1], 0.5 * x[:, 2])  # and counts in the edge's weight


def test_what_passes_by_a_strided_edge_is_pooled() -> None:
    x = torch.randn(2, 8, 6, 6)
    (first, *_) = cell(4, stride=2)((x,), ((0, 4),), [None]).outputs(activated=False)
    pooled = torch.nn.functional.max_pool2d(x, 2, 2)
    assert first.shape == (2, 8, 3, 3)
    torch.testing.assert_close(first[:, [1, 2, 3]], pooled[:, [2, 4, 6]])


def test_the_edges_of_a_node_share_a_unit_weight() -> None:
    for topology in (DARTS, NASBENCH201):
        method = methods.build(SearchConfig(space=topology.name, method="pcdarts"), topology, "cpu")
        assert isinstance(method, PcDarts)
        with torch.no_grad():
            method.beta.normal_(generator=torch.Generator().manual_seed(0)).mul_(3)
        weights = method.weights()
        for edges in topology.edges_by_node:
            chosen = list(edges)
            torch.testing.assert_close(weights[:, chosen].sum(dim=(1, 2)), torch.ones(len(topology.kinds)))
            torch.testing.assert_close(method.edge_weights()[:, chosen], method.beta[:, chosen].softmax(dim=1))


def test_a_derived_cell_keeps_the_edges_of_the_largest_product() -> None:
    method = methods.build(SearchConfig(method="pcdarts"), DARTS, "cpu")
    assert isinstance(method, PcDarts)
    with torch.no_grad():
        method.alpha[0, 2, 3] = 5.0  # the surest operation of node 3, on an edge
        method.beta[0, 2] = -9.0  # that counts for nothing
    assert [edge for edge, _ in method.derived()[0] if edge in (2, 3, 4)] == [3, 4]


def test_alphas_and_betas_rest_in_the_first_epochs_while_everything_trains() -> None:
    assert SearchConfig(method="pcdarts").effective()["warmup_epochs"] == 15
    assert SearchConfig(method="pcdarts", warmup_epochs=0).effective()["warmup_epochs"] == 0
    options = {"cells": 1, "channels": 4, "batch_size": 16, "epochs": 4, "train_images": 64}
    search = Search(SearchConfig(space="nasbench201", method="pcdarts", **options), device="cpu")
    assert search.warmup_epochs == 1
    weights = {name: value.clone() for name, value in search.model.named_parameters()}
    start = {name: value.detach().clone() for name, value in search.method.parameters().items()}
    assert search.run_epoch().alpha_loss is None
    assert all(torch.equal(value, start[name]) for name, value in search.method.parameters().items())
    assert all(not torch.equal(value, weights[name]) for name, value in search.model.named_parameters())
    assert search.run_epoch().alpha_loss is not None
    assert all(not torch.equal(value, start[name]) for name, value in search.method.parameters().items())


def test_betas_are_saved_and_restored() -> None:
    config = SearchConfig(space="nasbench201", method="pcdarts", cells=1, channels=4, batch_size=8)
    one, other = Bilevel(config, 10, "cpu"), Bilevel(config, 10, "cpu")
    with torch.no_grad():
        one.method.parameters()["beta"].add_(1.5)
    other.load_state_dict(one.state_dict())
    assert torch.equal(one.method.weights(), other.method.weights())


def test_channels_must_divide() -> None:
    with pytest.raises(InputError, match=r"channels: 18 must be a multiple of partial_channels \(4\)"):
        SearchConfig(method="pcdarts", channels=18)
