"""What a step and an epoch of a search cost, beside the networks that they derive; torch and numpy alone.

    python -m stcnas_core.bench step --space darts --cells 8 --channels 16 --batch 16
    python -m stcnas_core.bench search --batch 256 --images 50000 --processes 8

The yardstick is the derived network in plain PyTorch (see `plain`), trained with two full passes a step: one network is
fixed, another is drawn at random in every round. Everything is measured in turn within each round, in one process, and
compared within the round. Times are processor time on a CPU and the time between two events on CUDA.
"""

import argparse
import dataclasses
import json
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stcnas_core import plain, spaces
from stcnas_core.bilevel import Bilevel
from stcnas_core.config import SearchConfig
from stcnas_core.genotype import Genotype
from stcnas_core.methods import METHODS
from stcnas_core.path import select, to_genotype
from stcnas_core.randomness import stream
from stcnas_core.schedules import Ramp
from stcnas_core.topology import TOPOLOGIES
from stcnas_core.training import Tally, default_device

FIXED = {
    "darts": (
        "Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('sep_conv_3x3', 1), "
        "('sep_conv_3x3', 1), ('skip_connect', 0), ('skip_connect', 0), ('dil_conv_3x3', 2)], "
        "normal_concat=range(2, 6), reduce=[('max_pool_3x3', 0), ('max_pool_3x3', 1), ('skip_connect', 2), "
        "('max_pool_3x3', 1), ('max_pool_3x3', 0), ('skip_connect', 2), ('skip_connect', 2), ('max_pool_3x3', 1)], "
        "reduce_concat=range(2, 6))"
    ),
    "nasbench201": "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|nor_conv_3x3~0|nor_conv_3x3~1|nor_conv_3x3~2|",
}
"""The fixed network of each space: DARTS_V2, and the cell of 3x3 convolutions alone."""

WARM_UP = 2


@dataclass(frozen=True)
class Setting:
    """What is measured: a search's size, and how often."""

    space: str = "darts"
    cells: int = 8
    channels: int = 16
    batch: int = 16
    classes: int = 10
    size: int = 32
    seed: int = 0
    rounds: int = 15
    precision: str = "fp32"
    device: str = dataclasses.field(default_factory=default_device)

    def config(self, method: str, **options: Any) -> SearchConfig:
        """The search of this size; its other fields are the defaults."""
        return SearchConfig(
            space=self.space,  # type: ignore[arg-type]
            method=method,  # type: ignore[arg-type]
            seed=self.seed,
            cells=self.cells,
            channels=self.channels,
            batch_size=self.batch,
            precision=self.precision,  # type: ignore[arg-type]
            **options,
        )

    def batches(self, count: int) -> list[tuple[Tensor, Tensor]]:
        """Random images in channels-last memory, and labels."""
        draws = stream(self.seed, "bench")
        return [
            (
                torch.randn(self.batch, 3, self.size, self.size, generator=draws)
                .to(self.device)
                .to(memory_format=torch.channels_last),
                torch.randint(0, self.classes, (self.batch,), generator=draws).to(self.device),
            )
            for _ in range(count)
        ]


class Step:
    """One whole iteration of a real search on random batches, each time it is called; `model` is its supernet."""

    def __init__(self, setting: Setting, method: str, *, copies: int = 1) -> None:
        self.config = setting.config(method)
        topology = TOPOLOGIES[setting.space]
        repeated = dataclasses.replace(topology, operations=topology.operations * copies)
        space = type(spaces.get(setting.space))(repeated)  # type: ignore[call-arg]
        self.bilevel = Bilevel(self.config, setting.classes, setting.device, space)
        self.model = self.bilevel.model.train()
        self.noise, self.js_lambda = self.config.noise, Ramp.parse(self.config.js_lambda).end
        self.draws = stream(setting.seed, "sampling")
        self.train, self.valid = setting.batches(2)
        self.tallies = Tally(setting.device), Tally(setting.device)

    def __call__(self) -> None:
        done = self.bilevel.iteration(
            self.train, self.valid, noise=self.noise, js_lambda=self.js_lambda, draws=self.draws, warmup=False
        )
        self.tallies[0].add(*done.weights)
        if done.alphas is not None:
            self.tallies[1].add(*done.alphas)

    def saved_bytes(self) -> int:
        """What autograd keeps for the backward pass, in the larger pass of one iteration."""
        sizes: list[int] = []
        forward = self.bilevel.loss

        def measured(*inputs: Any) -> tuple[Tensor, Tensor]:
            with saved_activations(self.model) as saved:
                outputs = forward(*inputs)
            sizes.append(saved())
            return outputs

        self.bilevel.loss = measured
        try:
            self()
        finally:
            self.bilevel.loss = forward
        return max(sizes)


def make_step(
    method: str = "stc",
    space: str = "darts",
    cells: int = 8,
    channels: int = 16,
    batch: int = 16,
    classes: int = 10,
    seed: int = 0,
    *,
    size: int = 32,
    precision: str = "fp32",
    device: str | None = None,
) -> Step:
    """A callable that performs one bilevel step of the real search on random images; `.model` is its supernet.

    `device` is CUDA where there is some when None; threads are the caller's to set.
    """
    setting = Setting(
        space, cells, channels, batch, classes, size, seed, precision=precision, device=device or default_device()
    )
    return Step(setting, method)


class Subnet:
    """A derived network in plain PyTorch; a call trains it with two full passes, as a bilevel step has two."""

    def __init__(self, setting: Setting, genotype: Genotype) -> None:
        self.setting = setting
        self.model = plain.network(
            genotype, channels=setting.channels, cells=setting.cells, classes=setting.classes
        ).to(setting.device)
        config = setting.config("stc")
        self.clip = config.grad_clip
        self.optimizer = torch.optim.SGD(
            self.model.parameters(), lr=config.lr, momentum=config.momentum, weight_decay=config.weight_decay
        )
        self.batches = [(x.contiguous(), y) for x, y in setting.batches(2)]

    def __call__(self) -> None:
        for x, y in self.batches:
            self.optimizer.zero_grad()
            self.loss(x, y).backward()
            nn.utils.clip_grad_norm_(self.model.parameters(), self.clip)
            self.optimizer.step()

    def loss(self, x: Tensor, y: Tensor) -> Tensor:
        """Mean cross entropy."""
        with torch.autocast(self.setting.device, torch.bfloat16, enabled=self.setting.precision == "bf16"):
            logits = self.model(x)
        return F.cross_entropy(logits.float(), y)

    def saved_bytes(self) -> int:
        """What autograd keeps for the backward pass."""
        with saved_activations(self.model) as saved:
            loss = self.loss(*self.batches[0])
        del loss
        return saved()


def drawn_at_random(setting: Setting, generator: np.random.Generator) -> Genotype:
    """A uniformly drawn cell: an operation per edge, edges per node as the target keeps them; never `none`."""
    topology = TOPOLOGIES[setting.space]
    shape = (len(topology.kinds), len(topology.edges), len(topology.operations))
    return to_genotype(topology, select(topology, generator.random(shape)))


@contextmanager
def saved_activations(model: nn.Module) -> Iterator[Callable[[], int]]:
    """Bytes that autograd saves within the block: each storage once, parameters and buffers not counted."""
    own = {tensor.untyped_storage().data_ptr() for tensor in (*model.parameters(), *model.buffers())}
    kept: dict[int, Tensor] = {}

    def pack(tensor: Tensor) -> Tensor:
        # Detached, since a result that kept itself through its own graph would never be freed.
        tensor = tensor.detach()
        if tensor.untyped_storage().data_ptr() not in own:
            kept[tensor.untyped_storage().data_ptr()] = tensor  # so that no other storage gets its address
        return tensor

    total = 0
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        yield lambda: total
    total = sum(tensor.untyped_storage().nbytes() for tensor in kept.values())
    kept.clear()


@dataclass(frozen=True)
class Clocked:
    """Milliseconds of one call by the device's clock (the processor's on a CPU) and of the processor; peak bytes."""

    ms: float
    cpu_ms: float
    peak: int | None


def clock(call: Callable[[], Any], device: str) -> Clocked:
    """Run `call` once between two readings of the clock."""
    if not device.startswith("cuda"):
        started = time.process_time()
        call()
        spent = 1e3 * (time.process_time() - started)
        return Clocked(spent, spent, None)
    torch.cuda.reset_peak_memory_stats(device)
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize(device)
    started = time.process_time()
    begin.record()
    call()
    end.record()
    torch.cuda.synchronize(device)
    return Clocked(
        begin.elapsed_time(end), 1e3 * (time.process_time() - started), torch.cuda.max_memory_allocated(device)
    )


def bench_step(setting: Setting, methods: list[str], *, doubled: bool = False) -> dict[str, Any]:
    """Cost of one step of each method, as plain data: `rows`, the setting, and what it was measured on.

    With `doubled`, each method is also measured with every candidate operation listed twice.
    """
    steps: dict[str, Step | Subnet] = {}
    for method in methods:
        steps[method] = Step(setting, method)
        if doubled:
            steps[f"{method}, candidates doubled"] = Step(setting, method, copies=2)
    steps["fixed subnet"] = Subnet(setting, Genotype.parse(FIXED[setting.space]))
    generator = np.random.default_rng(setting.seed)
    times: dict[str, list[Clocked]] = {}
    saved: dict[str, list[int]] = {}
    for number in range(-WARM_UP, setting.rounds):
        steps["random subnet"] = Subnet(setting, drawn_at_random(setting, generator))
        if setting.device.startswith("cuda"):
            steps["random subnet"]()  # a new network's first step is spent on choosing algorithms
        for name, step in steps.items():
            clocked = clock(step, setting.device)
            if number >= 0:
                times.setdefault(name, []).append(clocked)
                saved.setdefault(name, []).append(step.saved_bytes())

    def ratio(values: dict[str, list[float]], name: str, yardstick: str) -> float:
        return statistics.median(a / b for a, b in zip(values[name], values[yardstick], strict=True))

    ms = {name: [clocked.ms for clocked in found] for name, found in times.items()}
    megabytes = {name: [size / 1e6 for size in found] for name, found in saved.items()}
    rows = [
        {
            "method": name,
            "ms": statistics.median(ms[name]),
            "cpu_ms": statistics.median(clocked.cpu_ms for clocked in times[name]),
            "ratio_random_subnet": ratio(ms, name, "random subnet"),
            "ratio_fixed_subnet": ratio(ms, name, "fixed subnet"),
            "saved_mb": statistics.median(megabytes[name]),
            "saved_ratio_random_subnet": ratio(megabytes, name, "random subnet"),
            "saved_ratio_fixed_subnet": ratio(megabytes, name, "fixed subnet"),
            "peak_mb": _median_peak(times[name]),
        }
        for name in steps
    ]
    if doubled:
        for row in rows:
            twice = f"{row['method']}, candidates doubled"
            row["ratio_doubled"] = ratio(ms, twice, row["method"]) if twice in ms else None
    return {"bench": "step", **described(setting), "rows": rows}


def _median_peak(clocked: list[Clocked]) -> float | None:
    peaks = [each.peak / 1e6 for each in clocked if each.peak is not None]
    return statistics.median(peaks) if peaks else None


def described(setting: Setting) -> dict[str, Any]:
    """The setting, and the machine and versions that numbers were measured with."""
    cuda = setting.device.startswith("cuda")
    return {
        "setting": dataclasses.asdict(setting),
        "n": setting.rounds,
        "device": torch.cuda.get_device_name(setting.device) if cuda else platform.processor() or platform.machine(),
        "threads": torch.get_num_threads(),
        "versions": {"python": platform.python_version(), "torch": torch.__version__, "numpy": np.__version__},
    }


def table(result: dict[str, Any]) -> str:
    """The rows of a result as text, a column per key."""
    rows = result["rows"]
    names = list(rows[0])
    cells = [names, *[[_shown(row[name]) for name in names] for row in rows]]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells]
    head = ", ".join(f"{name} {value}" for name, value in result["setting"].items())
    versions = ", ".join(f"{name} {value}" for name, value in result["versions"].items())
    return "\n".join([head, f"n {result['n']}, {result['threads']} threads, {result['device']}, {versions}", *lines])


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.3f}" if isinstance(value, float) and value < 10 else f"{value:.0f}" if not isinstance(value, str) else value


def main(arguments: list[str] | None = None) -> None:
    """Read the command line, measure, print a table or JSON."""
    parser = argparse.ArgumentParser(prog="python -m stcnas_core.bench", description=__doc__.split("\n")[0])  # type: ignore[union-attr]
    parser.add_argument("what", choices=["step"])
    parser.add_argument("--method", action="append", choices=list(METHODS), help="may be repeated; all by default")
    parser.add_argument("--space", default="darts", choices=list(TOPOLOGIES))
    parser.add_argument("--cells", type=int)
    parser.add_argument("--channels", type=int, default=16)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default=default_device())
    parser.add_argument("--double", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    cells = options.cells or {"darts": 8, "nasbench201": 5}[options.space]
    setting = Setting(options.space, cells, options.channels, options.batch, rounds=options.rounds, device=options.device)
    result = bench_step(setting, options.method or list(METHODS), doubled=options.double)
    print(json.dumps(result) if options.json else table(result))


if __name__ == "__main__":
    main()
