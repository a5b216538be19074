"""The processes that train one network together: each computes its part of every batch on a device of its own.

Whatever is drawn is drawn for the whole batch by every process, and each takes its part of it; gradients are averaged
by PyTorch's DistributedDataParallel. A network that one process trains goes through none of this.
"""

import io
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

LEAST = 2
"""Images of a batch that a process needs, since batch norm takes their statistics."""

PATIENCE = timedelta(minutes=30)
"""For which processes wait for each other: one may write a checkpoint to a slow storage meanwhile."""


@dataclass(frozen=True)
class Group:
    """One of `size` processes, by its `rank` from 0; methods without a remark are called by all of them together."""

    rank: int = 0
    size: int = 1
    device: str = "cpu"

    @classmethod
    def join(cls, store: Any, rank: int, size: int, device: str) -> "Group":
        """Meet the others in `store`, PyTorch's: over NCCL on CUDA, over Gloo on a CPU."""
        backend = "nccl" if device == "cuda" else "gloo"
        dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=PATIENCE)
        return cls(rank, size, device)

    def part(self, count: int) -> slice:
        """Which of `count` images are this process's; parts differ by one image at most. Needs no other process."""
        return slice(count * self.rank // self.size, count * (self.rank + 1) // self.size)

    @property
    def least(self) -> int:
        """Images of the smallest batch that leaves each process enough."""
        return LEAST * self.size

    def replica(self, model: nn.Module) -> nn.Module:
        """The network to train: its gradients are those of the mean over all processes."""
        if self.size == 1:
            return model
        # Statistics of batch norm stay each process's own until `average`; a `none` may leave weights without gradient.
        return nn.parallel.DistributedDataParallel(model, broadcast_buffers=False, static_graph=True)

    def weighed(self, objective: Tensor, images: int, batch: int) -> Tensor:
        """A mean over this process's images of a batch, so weighed that the mean over processes is the batch's."""
        return objective if self.size == 1 else objective * (images * self.size / batch)

    def total(self, values: Tensor) -> Tensor:
        """The sum over all processes."""
        if self.size > 1:
            dist.all_reduce(values)
        return values

    @torch.no_grad()
    def average(self, model: nn.Module) -> None:
        """Give all processes the mean of their running statistics."""
        for value in model.buffers():
            if self.size > 1 and value.is_floating_point():
                value.copy_(self.total(value / self.size))

    def shared(self, state: dict[str, Any]) -> dict[str, Any]:
        """The first process's state, of tensors and plain values."""
        if self.size == 1:
            return state
        buffer = io.BytesIO()
        if self.rank == 0:
            torch.save(state, buffer)
        length = torch.tensor([buffer.tell()], device=self.device)
        dist.broadcast(length, 0)
        content = torch.empty(int(length.item()), dtype=torch.uint8, device=self.device)
        if self.rank == 0:
            content.copy_(torch.frombuffer(buffer.getbuffer(), dtype=torch.uint8))
        dist.broadcast(content, 0)
        received = io.BytesIO(content.cpu().numpy().tobytes())
        return torch.load(received, map_location="cpu", weights_only=True)


ALONE = Group()
"""One process for itself."""
