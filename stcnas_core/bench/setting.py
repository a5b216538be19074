"""The size that is measured, and the machine that it is measured on."""

import dataclasses
import platform
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stcnas_core.config import SearchConfig
from stcnas_core.randomness import stream
from stcnas_core.training import default_device


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
