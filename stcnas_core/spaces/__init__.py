"""Search spaces behind one protocol; a new space is one new file and one line in `get`."""

from collections.abc import Callable
from typing import Protocol

from stcnas_core.errors import InputError
from stcnas_core.genotype import Genotype
from stcnas_core.spaces.network import CellNetwork
from stcnas_core.topology import LAYERWISE, Topology


class Space(Protocol):
    """Builds the networks of a search space."""

    topology: Topology

    def supernet(
        self, *, channels: int, cells: int, classes: int, stem: str = "cifar", partial: int = 1
    ) -> CellNetwork:
        """The network with every candidate operation; called as `supernet(images, path)`.

        With `partial` above 1 operations run on one in so many channels (see `partial_cell`).
        """
        ...

    def network(
        self,
        genotype: Genotype,
        *,
        channels: int,
        cells: int,
        classes: int,
        auxiliary: bool = False,
        stem: str = "cifar",
    ) -> CellNetwork:
        """The derived network; called as `network(images)`."""
        ...


def get(name: str, cells: int = 4) -> Space:
    """The space called `name`; `cells` sizes the graph of a space whose layers are searched one by one.

    Raises InputError for a name that is not in `SPACES`.
    """
    from stcnas_core.spaces.darts import DartsSpace
    from stcnas_core.spaces.layerwise import LayerwiseSpace
    from stcnas_core.spaces.nasbench201 import NasBench201Space

    spaces: dict[str, Callable[[], Space]] = {
        "darts": DartsSpace,
        "nasbench201": NasBench201Space,
        LAYERWISE: lambda: LayerwiseSpace(cells),
    }
    if name not in spaces:
        raise InputError(f"unknown search space {name!r}; known: {', '.join(spaces)}")
    return spaces[name]()
