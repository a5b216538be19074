"""One architecture search, an epoch at a time: first-order bilevel alternation over the two halves of a training set.

Killed after any epoch and resumed from `state_dict`, it gives bit for bit what an unbroken run gives on a CPU with the
same number of threads: all randomness is a function of the seed and the epoch (see `randomness`).
"""

import dataclasses
import math
import time
from dataclasses import dataclass
from typing import Any

import torch

from stcnas_core import datasets, inherited
from stcnas_core.bilevel import Bilevel
from stcnas_core.config import SearchConfig
from stcnas_core.cost import Cost, count
from stcnas_core.data import ImageSet
from stcnas_core.datasets import Images
from stcnas_core.errors import DivergedError, InputError
from stcnas_core.genotype import Genotype
from stcnas_core.methods.base import Sample
from stcnas_core.randomness import stream
from stcnas_core.schedules import Ramp, cosine, progress
from stcnas_core.training import Tally, all_finite, default_device, peak_memory, restore_checked

__all__ = ["Search", "SearchConfig", "SearchEpoch"]


@dataclass(frozen=True)
class SearchEpoch:
    """What one epoch measured; accuracies in percent, losses in nats, null where nothing was measured."""

    epoch: int
    train_loss: float
    train_accuracy: float
    alpha_loss: float | None
    alpha_accuracy: float | None
    js_loss: float | None
    js_lambda: float
    noise: float
    lr: float
    alpha_lr: float
    valid_accuracy: float | None
    derived_accuracy: float | None
    genotype: str
    skip_connects: int | None
    step_seconds: float
    device_seconds: float


class Search:
    """A bilevel training of a supernet and alphas, fed from the two halves of a data set.

    Raises InputError for data or sizes that cannot be used, DivergedError from `run_epoch` where a loss or an alpha is
    no longer finite. `device` is "cpu", "cuda" or None for CUDA where there is some; `images` stand in for the
    configured data set.
    """

    def __init__(
        self,
        config: SearchConfig,
        *,
        data_path: str | None = None,
        device: str | None = None,
        images: Images | None = None,
    ) -> None:
        self.config = config
        self.device = device or default_device()
        if images is None:
            images = datasets.read(config.dataset, "train", path=data_path, limit=config.train_images)
        self.data = ImageSet(images, self.device, config.resolution)
        order = torch.randperm(len(images.labels), generator=stream(config.seed, "halves"))
        half = len(order) // 2
        if config.batch_size > half:
            raise InputError(f"batch_size: {config.batch_size} is above half of the {len(order)} training images")
        self.train_half, self.valid_half = order[:half], order[half : 2 * half]

        self.bilevel = Bilevel(config, self.data.classes, self.device)
        self.space, self.model, self.method = self.bilevel.space, self.bilevel.model, self.bilevel.method
        self.js_lambda = Ramp.parse(config.js_lambda)
        self.warmup_epochs = config.effective()["warmup_epochs"]
        self.epoch = 0

    @property
    def finished(self) -> bool:
        """Whether all epochs are done."""
        return self.epoch >= self.config.epochs

    @property
    def genotype(self) -> Genotype:
        """The cell derived from the alphas as they are."""
        return self.method.genotype()

    def run_epoch(self) -> SearchEpoch:
        """Train for one pass over the two halves and return what was measured."""
        if self.finished:
            raise InputError(f"the search is finished: all {self.config.epochs} epochs are done")
        started = time.perf_counter()
        config, epoch = self.config, self.epoch
        warmup = epoch < self.warmup_epochs
        at = progress(epoch - self.warmup_epochs, config.epochs - self.warmup_epochs)
        js_lambda, noise = self.js_lambda.at(at), config.noise * (1.0 - at)
        self.method.anneal(at)
        lr, alpha_lr = self._set_rates(warmup)
        draws = stream(config.seed, "sampling", epoch)
        train, alpha = Tally(self.device), Tally(self.device)

        self.model.train()
        steps = 0
        for (x, y), (valid_x, valid_y) in zip(self._batches("train"), self._batches("valid"), strict=True):
            steps += 1
            done = self.bilevel.iteration(
                (x, y), (valid_x, valid_y), noise=noise, js_lambda=js_lambda, draws=draws, warmup=warmup
            )
            train.add(*done.weights)
            if done.alphas is not None:
                alpha.add(*done.alphas)

        measured, sampled = train.result(), alpha.result()
        step_seconds = (time.perf_counter() - started) / steps
        finite = all(map(math.isfinite, (*measured, *sampled))) and self.method.finite() and all_finite(self.model)
        if not finite:
            raise DivergedError(
                f"the search diverged in epoch {epoch}: train loss {measured[0]}, alpha loss {sampled[0]}; "
                "its configuration is recorded as it is, lower lr or alpha_lr in a new setting"
            )
        self.epoch += 1
        valid = derived = None
        if self.finished or self.epoch % config.evaluate_every == 0:
            valid = self._accuracy(self.method.evaluated())
            derived_cell = self.method.derived()
            derived = self._accuracy(Sample(derived_cell, derived_cell, plain=True))
        genotype = self.genotype
        return SearchEpoch(
            epoch=epoch,
            train_loss=measured[0],
            train_accuracy=measured[1],
            alpha_loss=None if alpha.images == 0 else sampled[0],
            alpha_accuracy=None if alpha.images == 0 else sampled[1],
            js_loss=None if len(sampled) < 3 else sampled[2],
            js_lambda=js_lambda,
            noise=noise,
            lr=lr,
            alpha_lr=alpha_lr,
            valid_accuracy=valid,
            derived_accuracy=derived,
            genotype=genotype.canonical_text(),
            # While no alpha has moved, the derived cell is a tie and says nothing.
            skip_connects=None if warmup else genotype.count("skip_connect")["normal"],
            step_seconds=step_seconds,
            device_seconds=time.perf_counter() - started,
        )

    @torch.no_grad()
    def _accuracy(self, sample: Sample) -> float:
        """Percent right on the validation half, statistics from each batch."""
        path = self.method.path(sample)
        tally = Tally(self.device)
        for x, y in self.data.batches(self.valid_half, self.config.batch_size, order=None, augment=None):
            loss, logits = self.bilevel.loss(path, x, y)
            tally.add(loss, y, logits)
        return tally.result()[1]

    def _batches(self, half: str) -> Any:
        """Batches of one half in this epoch's order, augmented by this epoch's draws."""
        seed, epoch = self.config.seed, self.epoch
        return self.data.batches(
            self.train_half if half == "train" else self.valid_half,
            self.config.batch_size,
            order=stream(seed, half, "order", epoch),
            augment=stream(seed, half, "augment", epoch, device=self.device) if self.config.augment else None,
        )

    def _set_rates(self, warmup: bool) -> tuple[float, float]:
        config = self.config
        lr = cosine(config.lr, config.lr_min, self.epoch, config.epochs)
        alpha_lr = 0.0 if warmup else config.alpha_lr
        if config.alpha_lr_schedule == "cosine" and not warmup:
            searching = config.epochs - self.warmup_epochs
            alpha_lr = cosine(config.alpha_lr, 0.0, self.epoch - self.warmup_epochs, searching)
        self.bilevel.set_rates(lr, alpha_lr)
        return lr, alpha_lr

    def alpha_rows(self) -> list[dict[str, Any]]:
        """Every alpha as it is, one row per cell kind, edge and operation, with the weight that it stands for."""
        topology = self.space.topology
        alpha, weight = self.method.alpha.tolist(), self.method.weights().tolist()
        return [
            {
                "cell": kind,
                "node": node,
                "source": source,
                "operation": operation,
                "alpha": alpha[t][e][k],
                "weight": weight[t][e][k],
            }
            for t, kind in enumerate(topology.kinds)
            for e, (node, source) in enumerate(topology.edges)
            for k, operation in enumerate(topology.operations)
        ]

    @property
    def ranks(self) -> bool:
        """Whether the configuration asks for a ranking after the epochs that are done."""
        return self.epoch > 0 and self.config.ranks_after(self.epoch)

    def rank_rows(self) -> list[dict[str, Any]]:
        """Drawn cells and their accuracies in percent with the weights as they are, on the validation half."""
        config = self.config
        cells = inherited.draw(self.method, config.rank_cells, stream(config.seed, "ranking"))
        images = self.valid_half[: config.rank_images]
        batches = self.data.batches(images, config.batch_size, order=None, augment=None)
        found = inherited.accuracies(self.bilevel, cells, batches)
        return [
            {"genotype": cell.canonical_text(), "accuracy": accuracy}
            for cell, accuracy in zip(cells, found, strict=True)
        ]

    def cost(self) -> Cost:
        """Parameters and multiply-adds of the derived network at the search's size."""
        network = self.space.network(
            self.genotype, channels=self.config.channels, cells=self.config.cells, classes=self.data.classes
        )
        return count(network, (3, self.data.size, self.data.size))

    def peak_memory(self) -> int:
        """Largest memory in bytes so far: CUDA's allocator on a GPU, the process's resident set on a CPU."""
        return peak_memory(self.device)

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next epoch depends on, as tensors and plain values."""
        return {"config": dataclasses.asdict(self.config), "epoch": self.epoch, **self.bilevel.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state_dict` stood; raises InputError for the state of another configuration or shape."""
        restore_checked(state, dataclasses.asdict(self.config), self._restore)

    def _restore(self, state: dict[str, Any]) -> None:
        self.bilevel.load_state_dict(state)
        self.epoch = int(state["epoch"])
