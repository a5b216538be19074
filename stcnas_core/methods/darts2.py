"""DARTS, second order (Liu et al., ICLR 2019, Eqs. 6-8): the alphas see the weights that one step would lead to.

Their gradient is that of L_val(w - xi dL_train(w, alpha)/dw, alpha): the direct part at the new weights, less xi times
a Hessian-vector product, which is a difference of two gradients of the alphas at the old weights moved by +-epsilon
along the validation gradient, epsilon = 0.01 / its norm. xi is the weights' learning rate, and their step is SGD's own,
with momentum and decay; it is not clipped. Costs three further passes on the training batch. ReLUs that switch between
the two sides make the difference rough on small batches.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from stcnas_core.methods.base import Batch, Level, Sample
from stcnas_core.methods.darts import Darts
from stcnas_core.path import Path

REACH = 0.01
"""Length of the move along the validation gradient: epsilon times the gradient's norm."""


class Darts2(Darts):
    """DARTS with the alphas' gradient through one unrolled step of the weights."""

    def alpha_gradients(
        self, level: Level, sample: Sample, train: Batch, valid: Batch
    ) -> tuple[Sequence[Tensor], tuple[Tensor, ...]]:
        """Second order; what is measured is the loss on `valid` at the unrolled weights."""
        weights = level.ran(sample)
        kept = [weight.detach().clone() for weight in weights]
        with torch.no_grad():
            path = self.path(sample)
        step, rate = sgd_step(level, weights, path, train)
        _move(weights, kept, step, -rate)
        loss, logits = level.loss(self.path(sample), *valid)
        direct, *towards = torch.autograd.grad(loss, [self.alpha, *weights])
        epsilon = REACH / torch.cat([gradient.flatten() for gradient in towards]).norm()
        sides = []
        for sign in (1.0, -1.0):
            _move(weights, kept, towards, sign * epsilon)
            ((gradient,), _) = level.first_order(sample, *train)
            sides.append(gradient)
        _move(weights, kept)
        hessian_product = (sides[0] - sides[1]) / (2 * epsilon)
        return [direct - rate * hessian_product], (loss, valid[1], logits)


def sgd_step(level: Level, weights: Sequence[Tensor], path: Path, train: Batch) -> tuple[list[Tensor], float]:
    """Direction and rate of the step that SGD would take from these weights on `train`, without a clip."""
    group = level.optimizer.param_groups[0]
    loss, _ = level.loss(path, *train)
    step = []
    for weight, gradient in zip(weights, torch.autograd.grad(loss, weights), strict=True):
        direction = gradient + group["weight_decay"] * weight.detach()
        buffer = level.optimizer.state[weight].get("momentum_buffer")
        step.append(direction if buffer is None else direction + group["momentum"] * buffer)
    return step, group["lr"]


@torch.no_grad()
def _move(
    weights: Sequence[Tensor], origin: list[Tensor], direction: Sequence[Tensor] = (), length: float | Tensor = 0.0
) -> None:
    """Put the weights at `origin`, and from there `length` times `direction`."""
    for number, (weight, start) in enumerate(zip(weights, origin, strict=True)):
        weight.copy_(start + length * direction[number] if direction else start)
