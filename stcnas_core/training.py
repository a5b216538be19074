"""What search and retraining share: running totals on the device, memory, and checked restoring."""

import contextlib
import ctypes
import functools
import gc
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from stcnas_core.errors import InputError
from stcnas_core.parallel import ALONE, Group


@functools.cache
def keep_freed_memory() -> None:
    """Let this process keep the memory that it frees: a step frees and asks for the same tensors again and again.

    glibc gives large blocks back to the kernel at once, and pays a page fault per 4 KiB to get them again, which on a
    virtual machine was a third of a step. Does nothing where there is no glibc.
    """
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL("libc.so.6").mallopt
        mallopt(_M_MMAP_THRESHOLD, 32 << 20)  # glibc's largest
        mallopt(_M_TRIM_THRESHOLD, (1 << 31) - 1)
        mallopt(_M_TOP_PAD, 64 << 20)


def give_back_freed_memory() -> None:
    """Hand what this process freed and kept to the kernel, so that it does not count to whatever runs here next."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def default_device() -> str:
    """ "cuda" where there is a device, else "cpu"."""
    return "cuda" if torch.cuda.is_available() else "cpu"


_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3


class Tally:
    """Sums over an epoch that stay on the device, so that nothing waits for it before the epoch ends."""

    def __init__(self, device: str) -> None:
        self.device = device
        self.sums: Tensor | None = None
        self.images = 0

    def add(self, loss: Tensor, labels: Tensor, logits: Tensor, *others: Tensor) -> None:
        """Count a batch: mean loss, labels (B,), logits (B, classes), and further means to average alike."""
        batch = len(labels)
        right = (logits.detach().argmax(dim=1) == labels).sum()
        means = torch.stack([loss.detach().float(), *(other.detach().float() for other in others)]) * batch
        sums = torch.cat([means[:1], right.float()[None], means[1:]])
        self.sums = sums if self.sums is None else self.sums + sums
        self.images += batch

    def result(self, group: Group = ALONE) -> tuple[float, ...]:
        """Mean loss, percent right, and the means of the others, over what all of a group counted; zeros when nothing
        was counted.
        """
        if self.sums is None:
            return (0.0, 0.0)
        sums = self.sums.double()
        totals = group.total(torch.cat([sums, sums.new_tensor([self.images])]))
        loss, right, *others = (totals[:-1] / totals[-1]).tolist()
        return (loss, 100.0 * right, *others)


def all_finite(model: nn.Module) -> bool:
    """Whether every weight is finite: a last step's gradients may spoil weights that no later loss shows."""
    return bool(torch.nn.utils.get_total_norm(list(model.parameters())).isfinite())


def peak_memory(device: str) -> int:
    """Largest memory in bytes so far: CUDA's allocator on a GPU, the process's resident set on a CPU."""
    if device.startswith("cuda"):
        return torch.cuda.max_memory_allocated(device)
    with contextlib.suppress(OSError):
        # Not getrusage, which on Linux also counts the process that this one was started from.
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def restore_checked(state: Any, config: dict[str, Any], restore: Callable[[dict[str, Any]], None]) -> None:
    """Run `restore(state)`; raises InputError where the state does not fit or is of another configuration.

    `config` is what the run computes, as its id has it, so that a checkpoint fits every configuration of its id.
    """
    if not isinstance(state, dict) or not isinstance(state.get("config"), dict):
        raise InputError("this is no checkpoint of a search or a retraining: it has no configuration")
    other = state["config"]
    if other != config:
        names = [name for name in {**config, **other} if other.get(name) != config.get(name)]
        raise InputError(f"the checkpoint is of another configuration; it differs in {', '.join(names)}")
    try:
        restore(state)
    except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
        raise InputError(f"the checkpoint does not fit: {error}") from error
