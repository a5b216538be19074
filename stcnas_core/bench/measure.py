"""Clocks, and counts of what autograd keeps."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


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
