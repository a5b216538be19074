"""One iteration of a real search, on random images."""

import dataclasses

import torch
from torch import Tensor

from stcnas_core import spaces
from stcnas_core.bench.measure import saved_activations
from stcnas_core.bench.setting import Setting
from stcnas_core.bilevel import Bilevel, Iteration
from stcnas_core.methods.base import Sample
from stcnas_core.path import Choices, Path
from stcnas_core.randomness import stream
from stcnas_core.topology import TOPOLOGIES
from stcnas_core.training import Tally, default_device


class Step:
    """One whole iteration of a real search on random batches, each time it is called; `model` is its supernet.

    Of a method of several stages it is one of the last.
    """

    def __init__(self, setting: Setting, method: str, *, copies: int = 1) -> None:
        self.config = setting.config(method)
        topology = TOPOLOGIES[setting.space]
        repeated = dataclasses.replace(topology, operations=topology.operations * copies)
        space = type(spaces.get(setting.space))(repeated)  # type: ignore[call-arg]
        self.bilevel = Bilevel(self.config, setting.classes, setting.device, space)
        for _ in range(self.config.stages - 1):
            self.bilevel.next_stage()
        self.model = self.bilevel.model.train()
        self.noise = self.config.noise
        self.bilevel.method.anneal(1.0)
        self.bilevel.method.begin(0)
        self.draws = stream(setting.seed, "sampling")
        self.train, self.valid = setting.batches(2)
        self.tallies = Tally(setting.device), Tally(setting.device)
        self.cell: Choices | None = None
        self._draw = self.bilevel.method.sample
        self.bilevel.method.sample = self._sample

    def _sample(self, noise: float, generator: torch.Generator) -> Sample:
        """What the method draws, or `cell` in its place."""
        drawn = self._draw(noise, generator)
        return drawn if self.cell is None else drawn._replace(runs=self.cell, cell=self.cell)

    def __call__(self) -> Iteration:
        done = self.bilevel.iteration(self.train, self.valid, noise=self.noise, draws=self.draws, warmup=False)
        self.tallies[0].add(*done.weights)
        if done.alphas is not None:
            self.tallies[1].add(*done.alphas)
        return done

    def saved_bytes(self) -> int:
        """What autograd keeps for the backward pass, in the larger pass of one iteration."""
        sizes: list[int] = []
        forward = self.bilevel.loss

        def measured(path: Path, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
            with saved_activations(self.model) as saved:
                outputs = forward(path, x, y)
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
