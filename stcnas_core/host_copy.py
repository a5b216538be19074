"""Reading a small tensor back to the host without making the host wait for the device."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


class HostCopy:
    """A copy that is started when a value is ready and waited for only when it is needed.

    On CUDA the work that is queued in between, such as a step of the weights, runs meanwhile. `source` is the tensor
    that the value is a function of: where it was changed after the start, the copy is stale and is taken anew.
    """

    def __init__(self, device: str) -> None:
        self._cuda = torch.device(device).type == "cuda"
        self._event: torch.cuda.Event | None = None
        self._host: Tensor | None = None
        self._version = -1

    def start(self, source: Tensor, value: Callable[[], Tensor]) -> None:
        """Put the copy of `value()` into the device's queue; on a CPU there is nothing to start."""
        if not self._cuda:
            return
        tensor = value()
        if self._host is None:
            self._host = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
        self._host.copy_(tensor, non_blocking=True)
        self._event = torch.cuda.Event()
        self._event.record()
        self._version = source._version

    def read(self, source: Tensor, value: Callable[[], Tensor]) -> NDArray[np.float32]:
        """`value()` as it is now, as an array of the caller's own on the host."""
        if self._event is None or self._host is None or self._version != source._version:
            return value().cpu().numpy().copy()  # on a CPU the tensor is the value itself
        self._event.synchronize()
        return self._host.numpy().copy()
