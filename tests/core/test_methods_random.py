"""The uniformly drawn cell: a function of the seed, uniform over the space, and free."""

from collections import Counter

import pytest

from stcnas_core import methods
from stcnas_core.config import SearchConfig
from stcnas_core.errors import InputError
from stcnas_core.search import Search
from stcnas_core.topology import DARTS, NASBENCH201


def cell(topology, seed: int, **options):
    config = SearchConfig(space=topology.name, method="random", seed=seed, **options)
    return methods.build(config, topology, "cpu").genotype()


def test_every_operation_and_every_pair_of_inputs_is_as_likely_as_any_other() -> None:
    cells = [cell(DARTS, seed) for seed in range(700)]
    operations = Counter(edge.operation for genotype in cells for edge in genotype.cell("reduce"))
    assert set(operations) == set(DARTS.operations)
    for count in operations.values():  # of 5,600; the deviation of a fair count is 26
        assert count == pytest.approx(800, abs=110)
    pairs = Counter(tuple(e.source for e in genotype.cell("normal") if e.node == 3) for genotype in cells)
    assert set(pairs) == {(0, 1), (0, 2), (1, 2)}
    for count in pairs.values():  # of 700; 12
        assert count == pytest.approx(700 / 3, abs=50)


def test_none_is_drawn_only_where_it_may_be() -> None:
    for allowed in (False, True):
        drawn = {e.operation for seed in range(60) for e in cell(NASBENCH201, seed, sample_none=allowed).cell("normal")}
        assert drawn == set(NASBENCH201.operations) - (set() if allowed else {"none"})


def test_a_search_is_one_epoch_that_trains_and_measures_nothing() -> None:
    config = SearchConfig(method="random", epochs=50, warmup_epochs=8, cells=3, channels=4, seed=5)
    search = Search(config, device="cpu")
    assert search.genotype == cell(DARTS, 5)
    epoch = search.run_epoch()
    assert search.finished
    assert epoch.genotype == cell(DARTS, 5).canonical_text()
    assert epoch.skip_connects == cell(DARTS, 5).count("skip_connect")["normal"]
    nothing = ("train_loss", "train_accuracy", "alpha_loss", "valid_accuracy", "derived_accuracy", "step_seconds")
    assert [getattr(epoch, name) for name in nothing] == [None] * 6
    assert epoch.device_seconds < 0.5
    assert search.alpha_rows() == []
    assert search.cost().params > 0
    with pytest.raises(InputError, match="random has no supernet"):
        search.model.train()
    with pytest.raises(InputError, match="all 1 epochs are done"):
        search.run_epoch()


def test_a_search_depends_on_the_space_the_seed_and_the_size_that_is_counted() -> None:
    base = SearchConfig(method="random")
    same = SearchConfig(
        method="random",
        epochs=7,
        lr=1.0,
        batch_size=8,
        alpha_lr=1.0,
        precision="bf16",
        sample_none=True,
    )
    assert same.effective() == base.effective()
    assert base.effective().keys() == {"space", "method", "seed", "dataset", "resolution", "cells", "channels"}
    bench = SearchConfig(method="random", space="nasbench201")
    assert bench.effective().keys() - base.effective().keys() == {"sample_none"}
