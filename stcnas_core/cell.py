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
Build = Callable[[int, str], nn.Module]
"""Makes an operation, by its name, for the edge of that index."""


def alike(topology: Topology, channels: int, stride: Callable[[int], int], *, searching: bool) -> Build:
    """Operations of equal channels on every edge, `stride(source)` being that of the edges that leave a node."""
    return lambda edge, name: operations.build(name, channels, stride(topology.edges[edge][1]), searching=searching)


class Cell(nn.Module):
    """Operations on the edges of a topology.

    `choices` says which operations exist, `build` makes them. `none` is no module: an edge that carries it adds
    nothing. A topology may list a candidate twice; its modules are then distinct.
    """

    def __init__(self, topology: Topology, choices: Sequence[Choice], build: Build) -> None:
        super().__init__()
        self.topology = topology
        self.edges = nn.ModuleDict()
        self._operations: dict[Choice, nn.Module] = {}
        for edge, index in choices:
            name = topology.operations[index]
            if name == "none":
                continue
            node, source = topology.edges[edge]
            operation = build(edge, name)
            key = f"{node}_{source}"
            if key not in self.edges:
                self.edges[key] = nn.ModuleDict()
            first = topology.operations.index(name) == index
            self.edges[key][name if first else f"{name}_{index}"] = operation  # type: ignore[index]
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
        *,
        owned: bool = False,
        plain_outputs: bool = True,
    ) -> "States":
        """Run the chosen operations; each computed node is the sum of those that enter it.

        `owned` says that nothing but this cell needs the inputs, so that they may be overwritten; with `plain_outputs`
        false the caller reads no node before its ReLU that an operation reads after it, so that those may be as well.
        """
        edges, given = self.topology.edges, self.topology.inputs
        kept = {edges[edge][1] for edge, k in chosen if not getattr(self._operations.get((edge, k)), "activated", True)}
        if plain_outputs:
            kept.update(range(given, given + self.topology.nodes))
        states = States(inputs, self.topology.nodes, kept, owned=owned)
        for choice, scale in zip(chosen, scales, strict=True):
            operation = self._operations.get(choice)
            node, source = edges[choice[0]]
            if operation is None:
                continue
            output = operation(states.activated(source) if operation.activated else states.plain(source), scale)
            if drop_path is not None and not isinstance(operation, operations.Identity):
                output = drop_path(output)
            states.add(node, output, fresh=scale is not None or not isinstance(operation, operations.Identity))
        return states


class States:
    """The nodes of one cell while it runs: sums that grow in place, and one ReLU per node, in place where that is safe.

    Safe means that the tensor is this cell's own and that nobody reads it before the ReLU (`kept` are the nodes that
    an operation or the caller reads so): pooling saves its input, and a skip without a scale hands it on as it is.
    What is added up is always the output of a norm, a pooling or a product, none of which saves its output for the
    backward pass.
    """

    def __init__(self, inputs: Sequence[Tensor], nodes: int, kept: set[int], *, owned: bool) -> None:
        self._plain: list[Tensor | None] = [*inputs, *[None] * nodes]
        self._given = len(inputs)
        self._activated: dict[int, Tensor] = {}
        self._own = set(range(len(inputs))) if owned else set()
        self._kept = kept
        self._like = inputs[0]

    def plain(self, node: int) -> Tensor:
        """The node before the ReLU; zeros where nothing enters it, as NAS-Bench-201 feeds what follows a `none`."""
        state = self._plain[node]
        return torch.zeros_like(self._like) if state is None else state

    def activated(self, node: int) -> Tensor:
        """max(node, 0), computed once."""
        if node not in self._activated:
            overwrite = node in self._own and node not in self._kept
            self._activated[node] = F.relu(self.plain(node), inplace=overwrite)
        return self._activated[node]

    def add(self, node: int, output: Tensor, *, fresh: bool) -> None:
        """Add an operation's output to a node; `fresh` says that no other name refers to it."""
        previous = self._plain[node]
        if previous is None:
            total = output
        elif fresh:
            total = output.add_(previous)
        elif node in self._own:
            total = previous.add_(output)
        else:
            total = previous + output
        self._plain[node] = total
        if fresh or previous is not None:
            self._own.add(node)

    def outputs(self, *, activated: bool) -> list[Tensor]:
        """All computed nodes before their ReLU; with `activated`, after it where it was taken already."""
        nodes = range(self._given, len(self._plain))
        return [self._activated[node] if activated and node in self._activated else self.plain(node) for node in nodes]
