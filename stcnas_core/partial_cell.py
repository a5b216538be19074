"""A cell whose operations see a part of the channels (PC-DARTS), as an option of a space's supernet."""

from collections.abc import Callable, Sequence
from itertools import groupby

import torch
import torch.nn.functional as F
from torch import Tensor

from stcnas_core.cell import Cell, DropPath, States, alike
from stcnas_core.path import Choice
from stcnas_core.topology import Topology


class PartialCell(Cell):
    """Operations run on the first of `partial` groups of channels; the others pass by, pooled where the edge strides.

    What an edge's operations are weighted with in total also weighs what passes by. The channels of an edge's output
    are shuffled between the groups, so that each group meets operations sooner or later.
    """

    def __init__(
        self,
        topology: Topology,
        choices: Sequence[Choice],
        channels: int,
        stride: Callable[[int], int],
        *,
        searching: bool,
        partial: int,
    ) -> None:
        super().__init__(topology, choices, alike(topology, channels // partial, stride, searching=searching))
        self.partial, self.stride = partial, stride

    def forward(
        self,
        inputs: Sequence[Tensor],
        chosen: Sequence[Choice],
        scales: Sequence[Tensor | None],
        drop_path: DropPath | None = None,
        *,
        owned: bool = False,
        plain_outputs: bool = True,
    ) -> States:
        """As `Cell.forward`; nothing is overwritten."""
        edges = self.topology.edges
        states = States(
            inputs, self.topology.nodes, set(range(self.topology.inputs + self.topology.nodes)), owned=False
        )
        parts: dict[int, tuple[Tensor, Tensor, Tensor]] = {}
        for edge, group in groupby(zip(chosen, scales, strict=True), key=lambda item: item[0][0]):
            node, source = edges[edge]
            if source not in parts:
                parts[source] = self._split(states.plain(source))
            first, activated, rest = parts[source]
            if self.stride(source) == 2:
                rest = F.max_pool2d(rest, 2, 2)
            output, share = None, None
            for choice, scale in group:
                operation = self._operations.get(choice)
                if scale is not None:
                    share = scale if share is None else share + scale
                if operation is not None:
                    result = operation(activated if operation.activated else first, scale)
                    output = result if output is None else output + result
            if output is None:
                output = torch.zeros_like(rest[:, : first.shape[1]])
            if drop_path is not None:
                output = drop_path(output)
            joined = torch.cat([output, rest if share is None else rest * share], dim=1)
            states.add(node, self._shuffle(joined), fresh=False)
        return states

    def _split(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The first group before and after the ReLU, and the other groups."""
        count = x.shape[1] // self.partial
        first = x[:, :count].contiguous(memory_format=torch.channels_last)
        return first, first.relu(), x[:, count:]

    def _shuffle(self, x: Tensor) -> Tensor:
        """Channel c of group g becomes channel g of group c (as a table is transposed); channels-last."""
        grouped = x.permute(0, 2, 3, 1).unflatten(3, (self.partial, -1))
        return grouped.transpose(3, 4).flatten(3).permute(0, 3, 1, 2)


def build_cell(
    topology: Topology,
    choices: Sequence[Choice],
    channels: int,
    stride: Callable[[int], int],
    *,
    searching: bool,
    partial: int,
) -> Cell:
    """A cell whose operations see all channels, or one in `partial` of them."""
    if partial == 1:
        return Cell(topology, choices, alike(topology, channels, stride, searching=searching))
    return PartialCell(topology, choices, channels, stride, searching=searching, partial=partial)
