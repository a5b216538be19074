"""Training a derived cell from scratch, an epoch at a time (DARTS's protocol, section 4.2 of Sun et al., 2022).

Like a search, it is resumed bit for bit: all randomness is a function of the seed and the epoch.
"""

import math
import time
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stcnas_core import spaces, stems
from stcnas_core.cell import DropPath
from stcnas_core.config import RetrainConfig
from stcnas_core.cost import Cost, count
from stcnas_core.data import batch_sizes
from stcnas_core.errors import DivergedError, InputError, OverLimitError
from stcnas_core.genotype import Genotype
from stcnas_core.image_sets import open_images
from stcnas_core.parallel import ALONE, Group
from stcnas_core.randomness import initialisation, stream
from stcnas_core.schedules import cosine, progress
from stcnas_core.training import Tally, all_finite, default_device, keep_freed_memory, peak_memory, restore_checked

__all__ = ["Retrain", "RetrainConfig", "RetrainEpoch"]

TOP = 5
"""Classes among which ImageNet's second error looks for the right one."""


@dataclass(frozen=True)
class RetrainEpoch:
    """What one epoch measured; accuracies in percent, losses in nats, null where nothing was measured."""

    epoch: int
    train_loss: float
    train_accuracy: float
    lr: float
    test_loss: float | None
    test_accuracy: float | None
    test_top5_accuracy: float | None
    step_seconds: float
    device_seconds: float


class Retrain:
    """A derived network, all training images, and SGD on a cosine.

    Raises InputError for data or sizes that cannot be used, OverLimitError for a network of too many multiply-adds,
    DivergedError from `run_epoch` where the loss is no longer
    finite. `device` is "cpu", "cuda" or None for CUDA where there is some. Each process of a `group` has such an object
    and calls the same methods; the epochs are those of one process but for batch norm, which takes the statistics of a
    process's part of the batch.
    """

    def __init__(
        self,
        config: RetrainConfig,
        *,
        data_path: str | None = None,
        device: str | None = None,
        group: Group = ALONE,
    ) -> None:
        self.config, self.group = config, group
        self.device = device or default_device()
        keep_freed_memory()
        self.genotype = Genotype.parse(config.genotype)
        places = {"path": data_path, "device": self.device, "resolution": config.resolution}
        self.train = open_images(config.dataset, "train", limit=config.train_images, **places)
        self.test = open_images(config.dataset, "test", limit=config.test_images, **places)
        if self.test.classes > self.train.classes:
            raise InputError(
                f"{config.dataset}: the test images have the label {self.test.classes - 1}, and those that train have "
                f"0 to {self.train.classes - 1}; correct the labels"
            )
        self._check_group()
        self.auxiliary = self.genotype.space == "darts" and config.auxiliary_weight > 0
        stem: str = config.value("stem")
        if self.auxiliary and not stems.has_auxiliary(stem, self.train.size):
            raise InputError(
                f"auxiliary_weight: the auxiliary head needs images of {stems.auxiliary_sides(stem)}, these have "
                f"{self.train.size}; set retrain.auxiliary_weight: 0 or another resolution"
            )
        self.space = spaces.get(self.genotype.space)
        with initialisation(config.seed):
            model = self.space.network(
                self.genotype,
                channels=config.channels,
                cells=config.cells,
                classes=self.train.classes,
                auxiliary=self.auxiliary,
                stem=stem,
            )
        self._check_limit()
        self.model = model.to(self.device).to(memory_format=torch.channels_last)
        if config.compile:
            self.model.compile()
        self._replica: nn.Module = self.model
        self.optimizer = torch.optim.SGD(
            self.model.parameters(), lr=config.lr, momentum=config.momentum, weight_decay=config.weight_decay
        )
        self._smoothing: float = config.value("label_smoothing")
        self.epoch = 0

    def _check_group(self) -> None:
        """Each process gets enough images of each batch, and some of the test."""
        group, most = self.group, min(len(self.train), self.config.batch_size)
        if group.size > 1 and (most < group.least or len(self.test) < group.size):
            raise InputError(
                f"{group.size} devices cannot share batches of {most} images and {len(self.test)} test images: each "
                "needs two of a batch and one of the test; lower resources.retrain.devices"
            )

    def _check_limit(self) -> None:
        """The network stays below the limit of multiply-adds, by the convention that counts more of them."""
        limit = self.config.macs_limit
        if limit is None:
            return
        cost = self.cost()
        if cost.macs_with_norms >= limit * 1e6:
            raise OverLimitError(
                f"the network of this cell has {cost.macs_with_norms / 1e6:.1f} million multiply-adds "
                f"({cost.macs / 1e6:.1f} without norms and ReLUs), and retrain.macs_limit is {limit:g}: "
                "it is not trained; take another cell, or a smaller retrain.channels"
            )

    @property
    def finished(self) -> bool:
        """Whether all epochs are done."""
        return self.epoch >= self.config.epochs

    def join(self) -> None:
        """Go on from the state of the group's first process; a group calls it once, before its first epoch."""
        self.load_state_dict(self.group.shared(self.state_dict()))
        self._replica = self.group.replica(self.model)

    def run_epoch(self) -> RetrainEpoch:
        """Train for one pass over the training images and return what was measured."""
        if self.finished:
            raise InputError(f"the training is finished: all {self.config.epochs} epochs are done")
        started = time.perf_counter()
        config, epoch = self.config, self.epoch
        lr = cosine(config.lr, config.lr_min, epoch, config.epochs)
        self.optimizer.param_groups[0]["lr"] = lr
        keep = 1.0 - config.drop_path * progress(epoch, config.epochs)
        draws = stream(config.seed, "drop path", epoch, device=self.device)
        tally = Tally(self.device)

        self.model.train()
        sizes = batch_sizes(len(self.train), config.batch_size, self.group.least)
        for size, (x, y) in zip(sizes, self._batches(), strict=True):
            drop_path = self._drop_path(keep, size, draws)
            with torch.autocast(self.device, torch.bfloat16, enabled=config.precision == "bf16"):
                output = self._replica(x, drop_path=drop_path)
            logits, side = output if isinstance(output, tuple) else (output, None)
            loss = self._loss(logits, y)
            objective = loss if side is None else loss + config.auxiliary_weight * self._loss(side, y)
            self.group.weighed(objective, len(x), size).backward()
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), config.grad_clip)
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)
            tally.add(loss, y, logits)

        self.group.average(self.model)
        measured = tally.result(self.group)
        step_seconds = (time.perf_counter() - started) / len(sizes)
        if not (all(map(math.isfinite, measured)) and all_finite(self.model)):
            raise DivergedError(
                f"the training diverged in epoch {epoch}: loss {measured[0]}; "
                "its configuration is recorded as it is, lower retrain.lr in a new sweep"
            )
        self.epoch += 1
        tested = None
        if self.finished or self.epoch % config.evaluate_every == 0:
            tested = self._test()
        return RetrainEpoch(
            epoch=epoch,
            train_loss=measured[0],
            train_accuracy=measured[1],
            lr=lr,
            test_loss=None if tested is None else tested[0],
            test_accuracy=None if tested is None else tested[1],
            test_top5_accuracy=None if tested is None or len(tested) < 3 else 100 * tested[2],
            step_seconds=step_seconds,
            device_seconds=(time.perf_counter() - started) * self.group.size,
        )

    def _loss(self, logits: Tensor, y: Tensor) -> Tensor:
        """Mean cross entropy in float32 with the labels smoothed."""
        return F.cross_entropy(logits.float(), y, label_smoothing=self._smoothing)

    @torch.no_grad()
    def _test(self) -> tuple[float, ...]:
        """Mean loss and percent right on the test images, with the running statistics; where there are more than five
        classes, also the share of images whose class is among the five likeliest.
        """
        self.model.eval()
        tally = Tally(self.device)
        mine = torch.arange(len(self.test))[self.group.part(len(self.test))]
        batch = -(-self.config.batch_size // self.group.size)
        for x, y in self.test.batches(mine, batch, order=None, augment=None, drop_single=False):
            with torch.autocast(self.device, torch.bfloat16, enabled=self.config.precision == "bf16"):
                logits = self.model(x)
            top = [] if self.train.classes <= TOP else [_among_first(logits, y)]
            tally.add(F.cross_entropy(logits.float(), y), y, logits, *top)
        return tally.result(self.group)

    def _batches(self) -> Any:
        """The training images in this epoch's order, augmented by this epoch's draws."""
        seed, epoch, config = self.config.seed, self.epoch, self.config
        return self.train.batches(
            torch.arange(len(self.train)),
            config.batch_size,
            order=stream(seed, "order", epoch),
            augment=stream(seed, "augment", epoch, device=self.train.draws_on) if config.augment else None,
            cutout=config.cutout if config.augment else 0,
            group=self.group,
        )

    def _drop_path(self, keep: float, batch: int, draws: torch.Generator) -> DropPath | None:
        """Drops an operation's whole output, image by image of a whole batch, and rescales the rest; None where nothing
        is dropped.
        """
        if self.genotype.space != "darts" or keep == 1.0:
            return None
        # Of all operations at once: one draw a step, and none within what may be compiled.
        operations = len(self.model.kinds) * max(map(len, self.model.choices))
        masks = torch.empty(operations, batch, 1, 1, 1, device=self.device).bernoulli_(keep, generator=draws) / keep
        rest = iter(masks[:, self.group.part(batch)].unbind())
        return lambda x: x * next(rest).to(x.dtype)

    def cost(self) -> Cost:
        """Parameters and multiply-adds of the network as trained, without the auxiliary head."""
        network = self.space.network(
            self.genotype,
            channels=self.config.channels,
            cells=self.config.cells,
            classes=self.train.classes,
            stem=self.config.value("stem"),
        )
        return count(network, (3, self.train.size, self.train.size))

    def peak_memory(self) -> int:
        """Largest memory in bytes so far: CUDA's allocator on a GPU, the process's resident set on a CPU."""
        return peak_memory(self.device)

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next epoch depends on, as tensors and plain values."""
        return {
            "config": self.config.effective(),
            "epoch": self.epoch,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state_dict` stood; raises InputError for the state of another configuration or shape."""
        restore_checked(state, self.config.effective(), self._restore)

    def _restore(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.epoch = int(state["epoch"])


def _among_first(logits: Tensor, labels: Tensor) -> Tensor:
    """Share of images (B,) whose label is among the TOP largest of their logits (B, classes)."""
    return (logits.topk(TOP, dim=1).indices == labels[:, None]).any(dim=1).float().mean()
