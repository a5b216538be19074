"""What one iteration of a search does, apart from where its images come from: both levels of Eq. 10, first order.

Nothing in here grows with the number of candidate operations: a step touches the parameters of what ran, unless the
method lets the others drift.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stcnas_core import methods, spaces
from stcnas_core.config import SearchConfig
from stcnas_core.methods.base import Batch, Sample
from stcnas_core.path import Choices, Path
from stcnas_core.randomness import initialisation
from stcnas_core.training import keep_freed_memory


class Iteration(NamedTuple):
    """What one iteration measured, as `Tally.add` takes it: loss, labels, logits, and a penalty where there is one."""

    weights: tuple[Tensor, ...]
    alphas: tuple[Tensor, ...] | None


class Bilevel:
    """A supernet, a method with its architecture parameters, an optimizer for each, and the steps that use them."""

    def __init__(self, config: SearchConfig, classes: int, device: str, space: spaces.Space | None = None) -> None:
        self.config, self.device = config, device
        keep_freed_memory()
        self.space = space or spaces.get(config.space, config.cells)
        self.method = methods.build(config, self.space.topology, device)
        self.classes = classes
        self._build()

    def _build(self) -> None:
        """A new supernet of the method's present size, and new optimizers."""
        config, method = self.config, self.method
        with initialisation(config.seed):
            model = self.space.supernet(
                channels=config.channels,
                cells=method.cells,
                classes=self.classes,
                stem=config.value("stem"),
                partial=method.partial,
            )
        self.model = model.to(self.device).to(memory_format=torch.channels_last)
        method.prepare(self.model)
        self.shared = self.model.shared_parameters()
        self.by_choice = self.model.parameters_by_choice()
        fused = torch.device(self.device).type == "cuda"
        self.optimizer = torch.optim.SGD(
            self.model.parameters(),
            lr=config.lr,
            momentum=config.momentum,
            weight_decay=config.weight_decay,
            fused=fused or None,
        )
        self.alpha_optimizer = torch.optim.Adam(
            # As a group, which may be empty: not every method has architecture parameters.
            [{"params": list(method.parameters().values())}],
            lr=config.value("alpha_lr"),
            betas=config.value("alpha_betas"),
            weight_decay=config.value("alpha_weight_decay"),
            fused=fused or None,
        )

    def next_stage(self) -> None:
        """Start afresh, with what the method has decided."""
        self.method.advance()
        self._build()

    def set_rates(self, lr: float, alpha_lr: float) -> None:
        """Learning rates of the weights and of the alphas, until they are set again."""
        self.optimizer.param_groups[0]["lr"], self.alpha_optimizer.param_groups[0]["lr"] = lr, alpha_lr

    def iteration(self, train: Batch, valid: Batch, *, noise: float, draws: torch.Generator, warmup: bool) -> Iteration:
        """One step of the alphas on `valid` and one of the weights on `train`; in warm-up the weights' alone.

        A method of one level moves both in one step on `train`; one without architecture parameters has no first step.
        """
        if warmup:
            return Iteration(self.weight_step(self.method.warming(draws), *train), None)
        sample = self.method.sample(noise, draws)
        if self.method.single_level:
            return Iteration(self.joint_step(sample, *train), None)
        if not self.method.parameters():
            return Iteration(self.weight_step(sample, *train), None)
        alphas = self.alpha_step(sample, train, valid)
        if self.method.samples_per_iteration == 2:
            sample = self.method.sample(noise, draws)
        return Iteration(self.weight_step(sample, *train), alphas)

    def alpha_step(self, sample: Sample, train: Batch, valid: Batch) -> tuple[Tensor, ...]:
        """Eq. 10's upper level: a step of the alphas alone."""
        gradients, measured = self.method.alpha_gradients(self, sample, train, valid)
        for alpha, gradient in zip(self.method.parameters().values(), gradients, strict=True):
            alpha.grad = gradient
        self._move_alphas()
        return measured

    def first_order(self, sample: Sample, x: Tensor, y: Tensor) -> tuple[Sequence[Tensor], tuple[Tensor, ...]]:
        """Gradients of the alphas with the weights as they are; no gradient of a weight is computed."""
        with self.held(sample):
            loss, logits = self.loss(self.method.path(sample), x, y)
        weight, penalty = self.method.penalty_weight, self.method.penalty(sample.cell)
        objective = loss if weight is None or penalty is None else loss + weight * penalty
        gradients = torch.autograd.grad(objective, list(self.method.parameters().values()))
        return gradients, (loss, y, logits, *(() if penalty is None else (penalty,)))

    def weight_step(self, sample: Sample, x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
        """Eq. 10's lower level: a step of the weights that ran; the others rest, or drift."""
        loss, logits = self.loss(self.method.weight_path(self, sample, x, y), x, y)
        loss.backward()
        self._move_weights(sample)
        return loss, y, logits

    def joint_step(self, sample: Sample, x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
        """A step of alphas and weights by the gradients of one pass, as methods of one level take it."""
        loss, logits = self.loss(self.method.path(sample), x, y)
        loss.backward()
        self._move_alphas()
        self._move_weights(sample)
        return loss, y, logits

    def _move_alphas(self) -> None:
        self.alpha_optimizer.step()
        self.alpha_optimizer.zero_grad(set_to_none=True)
        self.method.project()
        self.method.moved()

    def _move_weights(self, sample: Sample) -> None:
        moved = self.ran(sample)
        torch.nn.utils.clip_grad_norm_(moved, self.config.grad_clip)
        if self.method.drift:
            moved = list(self.model.parameters())
            for parameter in moved:
                if parameter.grad is None:
                    parameter.grad = torch.zeros_like(parameter)
        self.optimizer.param_groups[0]["params"] = moved
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def ran(self, sample: Sample) -> list[nn.Parameter]:
        """The parameters that a sample's path runs through."""
        return [*self.shared, *(p for choice in _flat(sample.runs) for p in self.by_choice[choice])]

    @contextmanager
    def held(self, sample: Sample) -> Iterator[None]:
        """Within the block nothing is kept for, and later nothing computed of, the gradients of a sample's weights."""
        parameters = self.ran(sample)
        for parameter in parameters:
            parameter.requires_grad_(False)
        try:
            yield
        finally:
            for parameter in parameters:
                parameter.requires_grad_(True)

    def loss(self, path: Path, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Mean cross entropy, in float32 at least, and the logits (B, classes)."""
        with torch.autocast(self.device, torch.bfloat16, enabled=self.config.precision == "bf16"):
            logits = self.model(x, path)
        return F.cross_entropy(logits.to(torch.promote_types(logits.dtype, torch.float32)), y), logits

    def state_dict(self) -> dict[str, Any]:
        """Weights, the method's parameters and buffers by their names, and both optimizers."""
        self.optimizer.param_groups[0]["params"] = list(self.model.parameters())
        return {
            "model": self.model.state_dict(),
            **{name: value.detach().clone() for name, value in self.method.parameters().items()},
            **{name: value.clone() for name, value in self.method.buffers().items()},
            "optimizer": self.optimizer.state_dict(),
            "alpha_optimizer": self.alpha_optimizer.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state_dict` stood."""
        self.method.restore(state)
        if self.config.stages > 1:
            self._build()
        self.model.load_state_dict(state["model"])
        self.optimizer.param_groups[0]["params"] = list(self.model.parameters())
        self.optimizer.load_state_dict(state["optimizer"])
        self.alpha_optimizer.load_state_dict(state["alpha_optimizer"])


def _flat(choices: Choices) -> list[tuple[int, int, int]]:
    return [(kind, edge, operation) for kind, cell in enumerate(choices) for edge, operation in cell]
