"""What each change to the search step saves: the step without it, beside the step as it is, on the same drawn cells.

    python tests/cost/switches.py --rounds 12 [--cells 8] [--space darts]

Each round runs both in the order a b b a and compares processor time within the round; one thread, one process.
"""

import argparse
import contextlib
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any
from unittest import mock

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stcnas_core import bilevel, cell, operations
from stcnas_core.bench.measure import clock
from stcnas_core.bench.setting import Setting
from stcnas_core.bench.step import Step
from stcnas_core.methods.base import Sample

Switch = Callable[[Step], AbstractContextManager[Any]]


def contiguous(step: Step) -> AbstractContextManager[Any]:
    """Without channels-last memory."""
    step.model.to(memory_format=torch.contiguous_format)
    batches = [(x.contiguous(), y) for x, y in (step.train, step.valid)]
    return mock.patch.multiple(step, train=batches[0], valid=batches[1])


def weight_gradients(step: Step) -> AbstractContextManager[Any]:
    """The alpha pass computes the gradients of weights too, as one optimizer for both would have them."""

    def first_order(sample: Sample, x: Tensor, y: Tensor) -> tuple[list[Tensor], tuple[Tensor, ...]]:
        own = step.bilevel
        loss, logits = own.loss(own.method.path(sample), x, y)
        weight, penalty = own.method.penalty_weight, own.method.penalty(sample.cell)
        objective = loss if weight is None or penalty is None else loss + weight * penalty
        alphas = list(own.method.parameters().values())
        gradients = torch.autograd.grad(objective, [*alphas, *own.ran(sample)])
        return list(gradients[: len(alphas)]), (loss, y, logits, *(() if penalty is None else (penalty,)))

    return mock.patch.object(step.bilevel, "first_order", first_order)


def kept_activations(step: Step) -> AbstractContextManager[Any]:
    """The alpha pass keeps what gradients of weights would need, and computes none."""
    return mock.patch.object(step.bilevel, "held", return_value=contextlib.nullcontext())


def torch_depthwise(step: Step) -> AbstractContextManager[Any]:
    """Depthwise convolutions with PyTorch's own backward pass."""

    def plain(x: Tensor, weight: Tensor, stride: int = 1, dilation: int = 1) -> Tensor:
        padding = dilation * (weight.shape[2] - 1) // 2
        return F.conv2d(x, weight, None, stride, padding, dilation, weight.shape[0])

    return mock.patch.object(operations, "depthwise", plain)


def torch_pooling(step: Step) -> AbstractContextManager[Any]:
    """Pooling by PyTorch's own functions."""

    def average(x: Tensor, stride: int, scale: Tensor | None = None) -> Tensor:
        pooled = F.avg_pool2d(x, 3, stride, padding=1, count_include_pad=False)
        return pooled if scale is None else pooled * scale

    def largest(x: Tensor, stride: int, scale: Tensor | None = None) -> Tensor:
        pooled = F.max_pool2d(x, 3, stride, padding=1)
        return pooled if scale is None else pooled * scale

    return mock.patch.multiple(operations, average_pool=average, max_pool=largest)


def own_relus(step: Step) -> AbstractContextManager[Any]:
    """Every operation takes a ReLU of its own, not in place."""
    return mock.patch.object(cell.States, "activated", lambda states, node: F.relu(states.plain(node)))


def scaled_outputs(step: Step) -> AbstractContextManager[Any]:
    """Alpha multiplies outputs instead of being the gain of the last norm."""

    def forward(norm: nn.BatchNorm2d, x: Tensor, scale: Tensor | None = None) -> Tensor:
        y = nn.BatchNorm2d.forward(norm, x)
        return y if scale is None else y * scale

    return mock.patch.object(operations.BatchNorm, "forward", forward)


def all_parameters(step: Step) -> AbstractContextManager[Any]:
    """Clip, optimizer and freezing go over the parameters of all candidates."""
    return mock.patch.object(step.bilevel, "ran", return_value=list(step.model.parameters()))


def _optimizer(**options: bool) -> Switch:
    def switch(step: Step) -> AbstractContextManager[Any]:
        config = step.config
        other = torch.optim.SGD(
            step.model.parameters(), config.lr, config.momentum, weight_decay=config.weight_decay, **options
        )
        return mock.patch.object(step.bilevel, "optimizer", other)

    return switch


class _Pointwise(nn.Conv2d):
    def forward(self, input: Tensor) -> Tensor:
        batch, channels, height, width = input.shape
        rows = input.permute(0, 2, 3, 1).reshape(-1, channels)
        return F.linear(rows, self.weight.flatten(1)).view(batch, height, width, -1).permute(0, 3, 1, 2)


def matrix_products(step: Step) -> AbstractContextManager[Any]:
    """1x1 convolutions as matrix products over pixels."""
    for module in step.model.modules():
        if isinstance(module, nn.Conv2d) and module.kernel_size == (1, 1) and module.stride == (1, 1):
            module.__class__ = _Pointwise
    return contextlib.nullcontext()


SWITCHES: dict[str, Switch] = {
    "contiguous memory": contiguous,
    "alpha pass with weight gradients": weight_gradients,
    "alpha pass keeps what they need": kept_activations,
    "PyTorch's depthwise backward": torch_depthwise,
    "PyTorch's pooling": torch_pooling,
    "a ReLU per operation": own_relus,
    "alpha scales outputs": scaled_outputs,
    "all candidates in clip and optimizer": all_parameters,
    "foreach SGD": _optimizer(foreach=True),
    "fused SGD": _optimizer(fused=True),
    "1x1 convolutions as matrix products": matrix_products,
}


def compare(setting: Setting, switch: Switch) -> tuple[list[float], float]:
    """Quartiles of (step without the change) / (step as it is), and the ratio of saved activations, median."""
    steps = Step(setting, "stc"), Step(setting, "stc")
    contexts = contextlib.nullcontext(), switch(steps[1])
    ratios: list[float] = []
    saved: list[float] = []
    for number in range(-1, setting.rounds):
        drawn = steps[0].bilevel.method.sample(steps[0].noise, steps[0].draws).cell
        spent = [0.0, 0.0]
        for which in (0, 1, 1, 0):
            steps[which].cell = drawn
            with contexts[which]:
                spent[which] += clock(steps[which], "cpu").ms
        if number >= 0:
            ratios.append(spent[1] / spent[0])
            sizes = []
            for step, context in zip(steps, contexts, strict=True):
                with context:
                    sizes.append(step.saved_bytes())
            saved.append(sizes[1] / sizes[0])
    return np.quantile(ratios, [0.25, 0.5, 0.75]).tolist(), statistics.median(saved)


def freed_memory(setting: Setting) -> list[float]:
    """The same for memory that goes back to the kernel when it is freed, which is a property of the process."""
    return np.quantile(list(_processes(setting)), [0.25, 0.5, 0.75]).tolist()


def _processes(setting: Setting) -> Iterator[float]:
    for number in range(4):
        spent = {}
        for keeps in (True, False) if number % 2 else (False, True):
            arguments = ["--alone", *(["--keep"] if keeps else [])]
            arguments += ["--space", setting.space, "--cells", str(setting.cells), "--rounds", str(setting.rounds)]
            command = [sys.executable, __file__, *arguments]
            spent[keeps] = float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        yield spent[False] / spent[True]


def alone(setting: Setting, *, keep: bool) -> float:
    """Median processor time of a step in this process."""
    with contextlib.nullcontext() if keep else mock.patch.object(bilevel, "keep_freed_memory"):
        step = Step(setting, "stc")
    step()
    return statistics.median(clock(step, "cpu").ms for _ in range(setting.rounds))


def main() -> None:
    """Measure all switches, or those that are named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("switch", nargs="*")
    parser.add_argument("--space", default="darts")
    parser.add_argument("--cells", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--alone", action="store_true")
    parser.add_argument("--keep", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    setting = Setting(space=options.space, cells=options.cells, rounds=options.rounds, device="cpu")
    if options.alone:
        print(alone(setting, keep=options.keep))
        return
    for name, switch in SWITCHES.items():
        if not options.switch or name in options.switch:
            (low, middle, high), saved = compare(setting, switch)
            print(f"{name}: {middle:.3f} ({low:.3f}-{high:.3f}), saved activations {saved:.3f}", flush=True)
    if not options.switch or "freed memory goes back" in options.switch:
        low, middle, high = freed_memory(setting)
        print(f"freed memory goes back: {middle:.3f} ({low:.3f}-{high:.3f})", flush=True)


if __name__ == "__main__":
    main()
