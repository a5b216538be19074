"""Training a derived cell from scratch, an epoch at a time (DARTS's protocol, section 4.2 of Sun et al., 2022).

Like a search, it is resumed bit for bit: all randomness is a function of the seed and the epoch.
"""

import dataclasses
import math
import time
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F

from stcnas_core import datasets, spaces
from stcnas_core.cell import DropPath
from stcnas_core.config import RetrainConfig
from stcnas_core.cost import Cost, count
from stcnas_core.data import ImageSet
from stcnas_core.errors import DivergedError, InputError
from stcnas_core.genotype import Genotype
from stcnas_core.randomness import initialisation, stream
from stcnas_core.schedules import cosine, progress
from stcnas_core.training import Tally, all_finite, default_device, keep_freed_memory, peak_memory, restore_checked

__all__ = ["Retrain", "RetrainConfig", "RetrainEpoch"]

SMALLEST_SIDE_FOR_AUXILIARY = 32


@dataclass(frozen=True)
class RetrainEpoch:
    """What one epoch measured; accuracies in percent, losses in nats, null where nothing was measured."""

    epoch: int
    train_loss: float
    train_accuracy: float
    lr: float
    test_loss: float | None
    test_accuracy: float | None
    step_seconds: float
    device_seconds: float


class Retrain:
    """A derived network, all training images, and SGD on a cosine.

    Raises InputError for data or sizes that cannot be used, DivergedError from `run_epoch` where the loss is no longer
    finite. `device` is "cpu", "cuda" or None for CUDA where there is some.
    """

    def __init__(self, config: RetrainConfig, *, data_path: str | None = None, device: str | None = None) -> None:
        self.config = config
        self.device = device or default_device()
        keep_freed_memory()
        self.genotype = Genotype.parse(config.genotype)
        train = datasets.read(config.dataset, "train", path=data_path, limit=config.train_images)
        test = datasets.read(config.dataset, "test", path=data_path, limit=config.test_images)
        # Test images are normalised by what the training images measured.
        test = dataclasses.replace(test, mean=train.mean, std=train.std, classes=train.classes)
        self.train, self.test = (ImageSet(images, self.device, config.resolution) for images in (train, test))
        self.auxiliary = self.genotype.space == "darts" and config.auxiliary_weight > 0
        if self.auxiliary and self.train.size < SMALLEST_SIDE_FOR_AUXILIARY:
            raise InputError(
                f"auxiliary_weight: the auxiliary head needs images of {SMALLEST_SIDE_FOR_AUXILIARY} pixels, these "
                f"have {self.train.size}; set retrain.auxiliary_weight: 0 or a larger resolution"
            )
        self.space = spaces.get(self.genotype.space)
        with initialisation(config.seed):
            model = self.space.network(
                self.genotype,
                channels=config.channels,
                cells=config.cells,
                classes=self.train.classes,
                auxiliary=self.auxiliary,
            )
        self.model = model.to(self.device).to(memory_format=torch.channels_last)
        if config.compile:
            self.model.compile()
        self.optimizer = torch.optim.SGD(
            self.model.parameters(), lr=config.lr, momentum=config.momentum, weight_decay=config.weight_decay
        )
        self.epoch = 0

    @property
    def finished(self) -> bool:
        """Whether all epochs are done."""
        return self.epoch >= self.config.epochs

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
        steps = 0
        for x, y in self._batches():
            steps += 1
            drop_path = self._drop_path(keep, len(x), draws)
            with torch.autocast(self.device, torch.bfloat16, enabled=config.precision == "bf16"):
                output = self.model(x, drop_path=drop_path)
            logits, side = output if isinstance(output, tuple) else (output, None)
            loss = F.cross_entropy(logits.float(), y)
            objective = loss if side is None else loss + config.auxiliary_weight * F.cross_entropy(side.float(), y)
            objective.backward()
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), config.grad_clip)
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)
            tally.add(loss, y, logits)

        measured = tally.result()
        step_seconds = (time.perf_counter() - started) / steps
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
            step_seconds=step_seconds,
            device_seconds=time.perf_counter() - started,
        )

    @torch.no_grad()
    def _test(self) -> tuple[float, ...]:
        """Mean loss and percent right on the test images, with the running statistics."""
        self.model.eval()
        tally = Tally(self.device)
        everything = torch.arange(len(self.test.labels))
        for x, y in self.test.batches(everything, self.config.batch_size, order=None, augment=None, drop_single=False):
            with torch.autocast(self.device, torch.bfloat16, enabled=self.config.precision == "bf16"):
                logits = self.model(x)
            tally.add(F.cross_entropy(logits.float(), y), y, logits)
        return tally.result()

    def _batches(self) -> Any:
        """The training images in this epoch's order, augmented by this epoch's draws."""
        seed, epoch, config = self.config.seed, self.epoch, self.config
        return self.train.batches(
            torch.arange(len(self.train.labels)),
            config.batch_size,
            order=stream(seed, "order", epoch),
            augment=stream(seed, "augment", epoch, device=self.device) if config.augment else None,
            cutout=config.cutout if config.augment else 0,
        )

    def _drop_path(self, keep: float, batch: int, draws: torch.Generator) -> DropPath | None:
        """Drops an operation's whole output, image by image, and rescales the rest; None where nothing is dropped."""
        if self.genotype.space != "darts" or keep == 1.0:
            return None
        # Of all operations at once: one draw a step, and none within what may be compiled.
        operations = len(self.model.kinds) * max(map(len, self.model.choices))
        masks = torch.empty(operations, batch, 1, 1, 1, device=self.device).bernoulli_(keep, generator=draws) / keep
        rest = iter(masks.unbind())
        return lambda x: x * next(rest).to(x.dtype)

    def cost(self) -> Cost:
        """Parameters and multiply-adds of the network as trained, without the auxiliary head."""
        network = self.space.network(
            self.genotype, channels=self.config.channels, cells=self.config.cells, classes=self.train.classes
        )
        return count(network, (3, self.train.size, self.train.size))

    def peak_memory(self) -> int:
        """Largest memory in bytes so far: CUDA's allocator on a GPU, the process's resident set on a CPU."""
        return peak_memory(self.device)

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next epoch depends on, as tensors and plain values."""
        return {
            "config": dataclasses.asdict(self.config),
            "epoch": self.epoch,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state_dict` stood; raises InputError for the state of another configuration or shape."""
        restore_checked(state, dataclasses.asdict(self.config), self._restore)

    def _restore(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.epoch = int(state["epoch"])
