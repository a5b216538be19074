"""What a simulated trial will report."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Script:
    """What a trial will report: a row of measurements per epoch, alphas by epoch, its cell and its cost."""

    epochs: tuple[dict[str, Any], ...]
    alphas: dict[int, list[dict[str, Any]]]
    genotype: str
    params: int
    macs: int
    macs_with_norms: int
