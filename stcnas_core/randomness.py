"""Random streams as functions of a trial's seed, so that nothing depends on what ran before or in the same process.

No stream outlives an epoch: each is rebuilt from (seed, purpose, epoch). A resumed run therefore draws what an
unbroken one draws, with no generator state to save, and the global generators are neither read nor moved.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def stream(seed: int, *purpose: str | int, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator on `device` that depends on the seed and the purpose alone."""
    label = "/".join(map(str, (seed, *purpose)))
    value = int.from_bytes(hashlib.sha256(label.encode()).digest()[:8], "big") >> 1
    return torch.Generator(device).manual_seed(value)


@contextmanager
def initialisation(seed: int) -> Iterator[None]:
    """Modules built inside draw their weights from the seed's stream; the global CPU generator is put back after."""
    with torch.random.fork_rng(devices=[]):
        torch.random.set_rng_state(stream(seed, "weights").get_state())
        yield
