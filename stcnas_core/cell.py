"""A cell as a graph of operations: it builds the operations it is given and runs the ones it is told to.

The supernet's cell and the derived network's are this one class; the first is built with every operation, the second
with one per kept edge, so that equal weights give equal outputs and parameters carry the same names.
"""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stcnas_core import operations
from stcnas_core.path import Choice
from stcnas_core.topology import Topology

DropPath = Callable[[Tensor], Tensor]


class Cell(nn.Module):
    """Operations on the edges of a topology.

    `choices` says which operations exist, `stride(source)` the stride of the edges that leave a node. `none` is no
    module: an edge that carries it adds nothing.
    """

    def __init__(
        self,
        topology: Topology,
        choices: Sequence[Choice],
        channels: int,
        stride: Callable[[int], int],
        *,
        searching: bool,
    ) -> None:
        super().__init__()
        self.topology = topology
        self.edges = nn.ModuleDict()
        self._operations: dict[Choice, nn.Module] = {}
        for edge, index in choices:
            name = topology.operations[index]
            if name == "none":
                continue
            node, source = topology.edges[edge]
            operation = operations.build(name, channels, stride(source), searching=searching)
            key = f"{node}_{source}"
            if key not in self.edges:
                self.edges[key] = nn.ModuleDict()
            self.edges[key][name] = operation  # type: ignore[index]
            self._operations[edge, index] = operation

    def parameters_of(self, choice: Choice) -> list[nn.Parameter]:
        """Parameters of one operation; empty for `none`."""
        operation = self._operations.get(choice)
        return [] if operation is None else list(operation.parameters())

    def forward(
        self,
        inputs: Sequence[Tensor],
        chosen: Sequence[Choice],
        scales: Sequence[Tensor | None],
        drop_path: DropPath | None = None,
    ) -> list[Tensor]:
        """Node states, given ones first; each computed node is the sum of the chosen operations that enter it."""
        topology = self.topology
        states: list[Tensor | None] = [*inputs, *[None] * topology.nodes]
        activated: dict[int, Tensor] = {}
        for choice, scale in zip(chosen, scales, strict=True):
            operation = self._operations.get(choice)
            if operation is None:
                continue
            node, source = topology.edges[choice[0]]
            x = states[source]
            if x is None:
                continue
            if operation.activated:
                if source not in activated:
                    activated[source] = F.relu(x)
                x = activated[source]
            output = operation(x, scale)
            if drop_path is not None and not isinstance(operation, operations.Identity):
                output = drop_path(output)
            previous = states[node]
            states[node] = output if previous is None else previous + output
        return [torch.zeros_like(inputs[0]) if state is None else state for state in states]
