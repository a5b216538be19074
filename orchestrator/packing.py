"""How many trials share a GPU: the memory of one, measured once per shape of configuration and kind of card.

A measurement runs a few steps of the real search or retraining alone on a card. What it needed is kept in the storage
(`packing/<shape>-<card>.json`) and becomes Ray's share of a GPU, 1/k, to which the trial's allocator is then held.
"""

import dataclasses
import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.identity import Stage, canonical_config
from orchestrator.storage import Storage
from orchestrator.versions import versions
from stcnas_core.config import RetrainConfig, SearchConfig
from stcnas_core.genotype import Genotype, filled
from stcnas_core.topology import LAYERWISE, Topology

CONTEXT_BYTES = 512 * 1024**2
"""What a process needs on a GPU beside its allocator: CUDA's context and the kernels that libraries load."""

HEADROOM = 1.15
"""Over the measured peak: sampled cells differ from step to step, and fragments add up over a long run."""

STEPS = 4
"""Steps of each of the two measured epochs."""

HEAVIEST = {"darts": "sep_conv_5x5", "nasbench201": "nor_conv_3x3", LAYERWISE: "mbconv_7x7_e6"}
"""The operation of each space that needs the most memory."""

_LIGHT = {
    "seed",
    "genotype",
    "epochs",
    "warmup_epochs",
    "evaluate_every",
    "rank_every",
    "rank_cells",
    "rank_images",
    "lr",
    "lr_min",
    "weight_decay",
    "grad_clip",
    "alpha_lr",
    "alpha_lr_schedule",
    "alpha_betas",
    "alpha_weight_decay",
    "alpha_start",
    "noise",
    "noise_form",
    "temperature",
    "candidates",
    "candidate_batches",
    "entropy_weight",
    "js_lambda",
    "js_scope",
    "js_gradient",
    "zero_one_weight",
    "skip_limit",
    "perturbation",
    "drop_path",
    "cutout",
    "class_share",
    "label_smoothing",
    "macs_limit",
}
"""Fields that a step's memory does not depend on; any other may change it."""

_RAY_UNITS = 10_000
"""Ray counts GPUs in ten-thousandths and rounds: six trials at 1/6 would ask for more than one."""


def heaviest(topology: Topology) -> str:
    """Stands in for the cells that a sweep retrains: measured once, and no cell of the graph needs more."""
    return filled(topology, HEAVIEST[topology.name]).canonical_text()


@dataclass(frozen=True)
class Card:
    """A kind of GPU: its name and its memory in bytes."""

    name: str
    memory: int


@dataclass(frozen=True)
class Shape:
    """What decides a trial's memory: configurations of one shape need the same."""

    stage: Stage
    config: SearchConfig | RetrainConfig
    """One of that shape, small in images and epochs, that is run to measure it."""
    data: str
    data_path: str | None
    digest: str

    @classmethod
    def of(cls, stage: Stage, config: SearchConfig | RetrainConfig, data: str, data_path: str | None) -> "Shape":
        """The shape of a configuration; that of a retraining is the same for all cells of a space."""
        content = json.loads(canonical_config(stage, config, data))
        content["config"] = {name: value for name, value in content["config"].items() if name not in _LIGHT}
        content["torch_version"] = versions()["torch_version"]
        if isinstance(config, RetrainConfig):
            topology = Genotype.parse(config.genotype).topology
            content["space"] = topology.name
            config = dataclasses.replace(config, genotype=heaviest(topology))
            # A layer-wise network's depth is its genotype's and not among the other fields.
            content["config"]["cells"] = config.cells
        text = json.dumps(content, sort_keys=True)
        return cls(stage, config, data, data_path, hashlib.sha256(text.encode()).hexdigest()[:16])

    def key(self, card: Card) -> str:
        """Where the storage keeps what trials of this shape need on such a card."""
        name = re.sub(r"[^A-Za-z0-9]+", "-", card.name).strip("-") or "gpu"
        return f"packing/{self.digest}-{name}-{card.memory // 1024**2}.json"

    def named(self) -> str:
        """The shape in a person's words."""
        method = "" if isinstance(self.config, RetrainConfig) else f" {self.config.method}"
        config = self.config
        return f"{self.stage}{method} ({config.cells} cells, C={config.channels}, batch {config.batch_size})"


@dataclass(frozen=True)
class Need:
    """Bytes that one trial alone reserved on a GPU; None where the whole card was not enough."""

    peak: int | None

    def trials(self, card: Card, most: int) -> int:
        """How many such trials share the card, at least one and `most` at most."""
        if self.peak is None:
            return 1
        return max(1, min(most, card.memory // (math.ceil(self.peak * HEADROOM) + CONTEXT_BYTES)))


def share(trials: int) -> float:
    """Ray's share of a GPU of which so many fit on it."""
    return math.floor(_RAY_UNITS / trials) / _RAY_UNITS


def allocator_share(share: float, memory: int) -> float:
    """Of a GPU of so many bytes, the part that the allocator of a trial with a share of it may take."""
    left = share - CONTEXT_BYTES / memory
    # A share too small for a context is somebody's explicit wish: it holds a little all the same.
    return 1.0 if share >= 1 else left if left > 0 else share / 2


def recall(storage: Storage, shape: Shape, card: Card) -> Need | None:
    """What was measured before; None where nothing was, or nothing that can be read."""
    data = storage.read(shape.key(card))
    try:
        peak = json.loads(data)["peak_bytes"] if data else -1
    except (ValueError, KeyError, TypeError):
        return None
    if peak is None or (isinstance(peak, int) and peak > 0):
        return Need(peak)
    return None


def remember(storage: Storage, shape: Shape, card: Card, need: Need) -> None:
    """Keep a measurement, with what it is of, for whoever reads the file."""
    content = {
        "peak_bytes": need.peak,
        "card": dataclasses.asdict(card),
        "stage": shape.stage,
        "config": dataclasses.asdict(shape.config),
        "data": shape.data,
        "torch_version": versions()["torch_version"],
    }
    storage.replace(shape.key(card), json.dumps(content, indent=1).encode())


def this_card() -> Card:
    """The GPU that this process was given."""
    import torch

    properties = torch.cuda.get_device_properties(0)
    return Card(properties.name, properties.total_memory)


def measure(shape: Shape) -> Need:
    """Run a few steps of a shape on this process's GPU and say what they reserved there.

    Raises whatever the search or the retraining raises, running out of memory aside.
    """
    import torch

    from stcnas_core.image_sets import count_images
    from stcnas_core.retrain import Retrain
    from stcnas_core.search import Search

    config, path = shape.config, shape.data_path
    whole = {"train_images": count_images(config.dataset, "train", path=path, limit=config.train_images)}
    if isinstance(config, RetrainConfig):
        whole["test_images"] = count_images(config.dataset, "test", path=path, limit=config.test_images)
    config = shortened(config, whole)
    try:
        if isinstance(config, RetrainConfig):
            run: Search | Retrain = Retrain(config, data_path=path, device="cuda")
            each = run.train.device_bytes
        else:
            run = Search(config, data_path=path, device="cuda")
            each = run.data.device_bytes
        while not run.finished:
            run.run_epoch()
    except torch.cuda.OutOfMemoryError:
        return Need(None)
    # The whole set lies on the card, as bytes, of which the measured run had a part; one that is streamed does not.
    left_out = sum(count - getattr(config, name) for name, count in whole.items())
    return Need(torch.cuda.max_memory_reserved() + left_out * each)


def shortened(config: SearchConfig | RetrainConfig, whole: Mapping[str, int]) -> SearchConfig | RetrainConfig:
    """The same steps, few of them, on as few images: two epochs, so that what follows the first is among them, or one a
    stage."""
    halves, epochs = 2 if isinstance(config, SearchConfig) else 1, 2
    wanted = {"train_images": halves * STEPS * config.batch_size, "test_images": config.batch_size}
    images: dict[str, Any] = {name: min(wanted[name], count) for name, count in whole.items()}
    if isinstance(config, SearchConfig):
        images |= {"warmup_epochs": 0, "candidates": 1}
        if config.value("class_share") is not None:
            images["class_share"] = 0.5  # halves: shares of a small part would be too few for a batch
        epochs = max(epochs, config.stages)
    return dataclasses.replace(config, epochs=epochs, evaluate_every=1, **images)
