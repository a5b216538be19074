"""One architecture search, an epoch at a time: first-order bilevel alternation over the two halves of a training set.

Killed after any epoch and resumed from `state_dict`, it gives bit for bit what an unbroken run gives on a CPU with the
same number of threads: all randomness is a function of the seed and the epoch (see `randomness`).
"""

import math
import time
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch

from stcnas_core import inherited, methods, spaces
from stcnas_core.bilevel import Bilevel
from stcnas_core.config import SearchConfig
from stcnas_core.cost import Cost, count
from stcnas_core.data import ImageSet
from stcnas_core.datasets import Images
from stcnas_core.errors import DivergedError, InputError
from stcnas_core.genotype import Genotype
from stcnas_core.image_sets import ImageBatches, open_images
from stcnas_core.method_fields import METHOD_FIELDS, UNTRAINED
from stcnas_core.methods.base import Sample, plain
from stcnas_core.randomness import stream
from stcnas_core.schedules import cosine, progress, stage
from stcnas_core.spaces.network import CellNetwork
from stcnas_core.training import Tally, all_finite, default_device, peak_memory, restore_checked

__all__ = ["Search", "SearchConfig", "SearchEpoch"]


@dataclass(frozen=True)
class SearchEpoch:
    """What one epoch measured; accuracies in percent, losses in nats, null where nothing was measured."""

    epoch: int
    train_loss: float | None
    train_accuracy: float | None
    alpha_loss: float | None
    alpha_accuracy: float | None
    penalty: float | None
    penalty_weight: float | None
    noise: float | None
    lr: float
    alpha_lr: float
    valid_accuracy: float | None
    derived_accuracy: float | None
    genotype: str
    skip_connects: int | None
    step_seconds: float | None
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
        self.data: ImageBatches
        if images is None:
            self.data = open_images(
                config.dataset,
                "train",
                path=data_path,
                device=self.device,
                limit=config.train_images,
                resolution=config.resolution,
            )
        else:
            self.data = ImageSet(images, self.device, config.resolution)
        self.train_half, self.valid_half = self.data.halves(config.seed, config.value("class_share"))
        if config.batch_size > len(self.train_half):
            raise InputError(
                f"batch_size: {config.batch_size} is above {len(self.train_half)}, the part of the {len(self.data)} "
                "training images that trains one side of the search"
            )

        self.space = spaces.get(config.space, config.cells)
        if config.method in UNTRAINED:
            self._bilevel = None
            self.method = methods.build(config, self.space.topology, self.device)
        else:
            self._bilevel = Bilevel(config, self.data.classes, self.device, self.space)
            self.method = self._bilevel.method
        self.warmup_epochs: int = config.effective().get("warmup_epochs", 0)
        self.epoch = 0

    @property
    def bilevel(self) -> Bilevel:
        """Supernet and optimizers; raises InputError where the method trains nothing."""
        if self._bilevel is None:
            raise InputError(f"a search by {self.config.method} has no supernet: it trains nothing")
        return self._bilevel

    @property
    def model(self) -> CellNetwork:
        """The supernet of the present stage; raises InputError where the method trains nothing."""
        return self.bilevel.model

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
        if self._bilevel is None:
            return self._untrained_epoch(started)
        first, epochs = stage(epoch, config.epochs, config.stages)
        if first == epoch > 0:
            self.bilevel.next_stage()
        searched, searching = epoch - first - self.warmup_epochs, epochs - self.warmup_epochs
        warmup, at = searched < 0, progress(searched, searching)
        noise = config.noise * (1.0 - at)
        self.method.anneal(at)
        self.method.begin(epoch)
        lr = cosine(config.lr, config.lr_min, epoch - first, epochs)
        alpha_lr = self._alpha_lr(searched, searching)
        self.bilevel.set_rates(lr, alpha_lr)
        draws = stream(config.seed, "sampling", epoch)
        train, alpha = Tally(self.device), Tally(self.device)

        self.model.train()
        steps = 0
        for (x, y), (valid_x, valid_y) in zip(self._batches("train"), self._batches("valid"), strict=True):
            steps += 1
            done = self.bilevel.iteration((x, y), (valid_x, valid_y), noise=noise, draws=draws, warmup=warmup)
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
        self.method.end(epoch)
        if not warmup:
            self.method.judge(epoch, self._accuracy)
        self.epoch += 1
        if self.finished:
            self.method.choose(self._accuracy)
        valid = derived = None
        if self.finished or self.epoch % config.evaluate_every == 0:
            judged, cell = self.method.evaluated(), plain(self.method.derived())
            valid = self._accuracy(judged)
            # Where a method is judged by its derived cell, there is one path to run.
            derived = valid if judged == cell else self._accuracy(cell)
        genotype = self.genotype
        decided = not warmup and (self.finished or bool(self.method.parameters()))
        return SearchEpoch(
            epoch=epoch,
            train_loss=measured[0],
            train_accuracy=measured[1],
            alpha_loss=None if alpha.images == 0 else sampled[0],
            alpha_accuracy=None if alpha.images == 0 else sampled[1],
            penalty=None if len(sampled) < 3 else sampled[2],
            penalty_weight=self.method.penalty_weight,
            noise=noise if "noise" in METHOD_FIELDS[config.method] else None,
            lr=lr,
            alpha_lr=alpha_lr,
            valid_accuracy=valid,
            derived_accuracy=derived,
            genotype=genotype.canonical_text(),
            # While no alpha has moved and nothing was chosen, the derived cell is a tie and says nothing.
            skip_connects=genotype.skip_connects if decided else None,
            step_seconds=step_seconds,
            device_seconds=time.perf_counter() - started,
        )

    def _untrained_epoch(self, started: float) -> SearchEpoch:
        """The one epoch of a search that trains nothing: there is a cell, and nothing was measured."""
        self.epoch += 1
        return SearchEpoch(
            epoch=0,
            train_loss=None,
            train_accuracy=None,
            alpha_loss=None,
            alpha_accuracy=None,
            penalty=None,
            penalty_weight=None,
            noise=None,
            lr=0.0,
            alpha_lr=0.0,
            valid_accuracy=None,
            derived_accuracy=None,
            genotype=self.genotype.canonical_text(),
            skip_connects=self.genotype.skip_connects,
            step_seconds=None,
            device_seconds=time.perf_counter() - started,
        )

    @torch.no_grad()
    def _accuracy(self, sample: Sample, batches: int = 0, behind: int = 0) -> float:
        """Percent right on so many batches of the validation half, or all; statistics from each batch."""
        self.model.eval()
        path = self.method.path(sample)
        tally = Tally(self.device)
        images = self.valid_half.roll(-behind * self.config.batch_size)
        every = self.data.batches(images, self.config.batch_size, order=None, augment=None)
        for x, y in islice(every, batches or None):
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
            augment=stream(seed, half, "augment", epoch, device=self.data.draws_on) if self.config.augment else None,
        )

    def _alpha_lr(self, searched: int, searching: int) -> float:
        """The alphas' rate after `searched` of `searching` epochs that move them."""
        rate: float = self.config.value("alpha_lr")
        if searched < 0 or not self.method.parameters():
            return 0.0
        constant = self.config.value("alpha_lr_schedule") == "constant"
        return rate if constant else cosine(rate, 0.0, searched, searching)

    def alpha_rows(self) -> list[dict[str, Any]]:
        """Every alpha as it is, one row per cell kind, edge and possible operation, with the weight it stands for.

        None where the method has no alphas.
        """
        if "alpha" not in self.method.parameters():
            return []
        topology = self.space.topology
        alpha, weight = self.method.alpha.tolist(), self.method.weights().tolist()
        return [
            {
                "cell": kind,
                "node": node,
                "source": source,
                "operation": topology.operations[k],
                "alpha": alpha[t][e][k],
                "weight": weight[t][e][k],
            }
            for t, kind in enumerate(topology.kinds)
            for e, (node, source) in enumerate(topology.edges)
            for k in topology.possible(e)
        ]

    @property
    def ranks(self) -> bool:
        """Whether the configuration asks for a ranking after the epochs that are done."""
        return self.epoch > 0 and self.config.ranks_after(self.epoch)

    def rank_rows(self) -> list[dict[str, Any]]:
        """Drawn cells and their accuracies in percent with the weights as they are, on the validation half."""
        config = self.config
        self.model.eval()
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
            self.genotype,
            channels=self.config.channels,
            cells=self.config.cells,
            classes=self.data.classes,
            stem=self.config.value("stem"),
        )
        return count(network, (3, self.data.size, self.data.size))

    def peak_memory(self) -> int:
        """Largest memory in bytes so far: CUDA's allocator on a GPU, the process's resident set on a CPU."""
        return peak_memory(self.device)

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next epoch depends on, as tensors and plain values."""
        trained = {} if self._bilevel is None else self._bilevel.state_dict()
        return {"config": self.config.effective(), "epoch": self.epoch, **trained}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state_dict` stood; raises InputError for the state of another configuration or shape."""
        restore_checked(state, self.config.effective(), self._restore)

    def _restore(self, state: dict[str, Any]) -> None:
        if self._bilevel is not None:
            self._bilevel.load_state_dict(state)
        self.epoch = int(state["epoch"])
