"""Searches and retrainings on photographs in ImageNet's layout: resumed, smoothed, limited, judged twice."""

from dataclasses import asdict, replace

import pytest
import torch
import torch.nn.functional as F
from photograph_files import write_folder

from stcnas_core.config import RetrainConfig, SearchConfig
from stcnas_core.errors import InputError, OverLimitError
from stcnas_core.published_cells import PUBLISHED_CELLS
from stcnas_core.retrain import Retrain, _among_first
from stcnas_core.search import Search

SIZE = {"dataset": "imagenet", "resolution": 32, "cells": 3, "channels": 4, "epochs": 2}
SEARCH = SearchConfig(**SIZE, batch_size=6, class_share=0.25)
RETRAIN = RetrainConfig(PUBLISHED_CELLS["DARTS_V2"].text, **SIZE, batch_size=16, auxiliary_weight=0)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_folder(tmp_path_factory.mktemp("folder") / "imagenet").parent)


@pytest.mark.parametrize(("kind", "config"), [(Search, SEARCH), (Retrain, RETRAIN)])
def test_what_was_stopped_after_an_epoch_goes_on_bit_for_bit(root: str, kind, config) -> None:
    whole, first, second = (kind(config, data_path=root, device="cpu") for _ in range(3))
    rows = [asdict(whole.run_epoch()) for _ in range(2)]
    again = [asdict(first.run_epoch())]
    second.load_state_dict(first.state_dict())
    again.append(asdict(second.run_epoch()))
    times = ("device_seconds", "step_seconds")
    assert [{k: v for k, v in row.items() if k not in times} for row in again] == [
        {k: v for k, v in row.items() if k not in times} for row in rows
    ]
    state = whole.model.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in second.model.state_dict().items())


def test_a_search_is_the_target_behind_imagenets_stem_on_samples_of_each_class(root: str) -> None:
    search = Search(SEARCH, data_path=root, device="cpu")
    assert (len(search.train_half), len(search.valid_half), search.data.classes) == (12, 12, 4)
    assert search.model.get_submodule("stem0")[0].stride == (2, 2)
    assert search.model.get_submodule("classifier").out_features == 4
    with pytest.raises(InputError, match="batch_size: 6 is above 4, the part of the 48 training images"):
        Search(replace(SEARCH, class_share=None), data_path=root, device="cpu")
    retrain = Retrain(RETRAIN, data_path=root, device="cpu")
    # A search of the target's size counts its cell as the retraining does.
    retrain.genotype = search.genotype
    assert search.cost() == retrain.cost()
    retrain = Retrain(RETRAIN, data_path=root, device="cpu")
    assert retrain.run_epoch().test_top5_accuracy is None  # there are four classes


def test_labels_are_smoothed_on_imagenet_and_where_asked_for(root: str) -> None:
    logits, labels = torch.randn(3, 4), torch.tensor([0, 1, 3])
    for config, share in ((RETRAIN, 0.1), (replace(RETRAIN, label_smoothing=0.0), 0.0)):
        likely = logits.log_softmax(1)
        right = -likely[torch.arange(3), labels].mean()
        expected = (1 - share) * right + share * -likely.mean()
        torch.testing.assert_close(Retrain(config, data_path=root, device="cpu")._loss(logits, labels), expected)
    plain = Retrain(replace(RETRAIN, dataset="digits"), device="cpu")
    assert torch.equal(plain._loss(logits, labels), F.cross_entropy(logits, labels))


def test_the_second_accuracy_is_of_the_five_likeliest() -> None:
    logits = torch.tensor([[9.0, 8, 7, 6, 5, 4, 3], [9.0, 8, 7, 6, 5, 4, 3], [3.0, 4, 5, 6, 7, 8, 9]])
    assert _among_first(logits, torch.tensor([4, 5, 2])).item() == pytest.approx(2 / 3)
    digits = RetrainConfig(RETRAIN.genotype, cells=2, channels=4, epochs=1, train_images=64, auxiliary_weight=0)
    epoch = Retrain(digits, device="cpu").run_epoch()
    assert epoch.test_accuracy is not None
    assert epoch.test_top5_accuracy is not None
    assert epoch.test_accuracy <= epoch.test_top5_accuracy <= 100
    assert epoch.test_top5_accuracy >= 30


def test_a_network_at_the_limit_is_not_trained(root: str) -> None:
    cost = Retrain(RETRAIN, data_path=root, device="cpu").cost()
    above = (cost.macs_with_norms + 1) / 1e6
    Retrain(replace(RETRAIN, macs_limit=above), data_path=root, device="cpu")
    with pytest.raises(OverLimitError, match=rf"{cost.macs_with_norms / 1e6:.1f} million .*\({cost.macs / 1e6:.1f} "):
        Retrain(replace(RETRAIN, macs_limit=cost.macs_with_norms / 1e6), data_path=root, device="cpu")


def test_the_auxiliary_head_asks_for_sides_that_fit_it(root: str) -> None:
    with pytest.raises(InputError, match="needs images of 224, 256 pixels, these have 32"):
        Retrain(replace(RETRAIN, auxiliary_weight=0.4), data_path=root, device="cpu")
    with pytest.raises(InputError, match="needs images of 32, 36, 40 pixels, these have 64"):
        Retrain(replace(RETRAIN, dataset="digits", resolution=64, auxiliary_weight=0.4), device="cpu")
