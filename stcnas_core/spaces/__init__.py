"""Search spaces behind one protocol; a new space is one new file and one line in `get`."""

from typing import Protocol

from stcnas_core.errors import InputError
from stcnas_core.genotype import Genotype
from stcnas_core.spaces.network import CellNetwork
from stcnas_core.topology import Topology


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


def get(name: str) -> Space:
    """The space called `name`, "darts" or "nasbench201"; raises InputError for any other."""
    from stcnas_core.spaces.darts import DartsSpace
    from stcnas_core.spaces.nasbench201 import NasBench201Space

    spaces: dict[str, type[Space]] = {"darts": DartsSpace, "nasbench201": NasBench201Space}
    if name not in spaces:
        raise InputError(f"unknown search space {name!r}; known: {', '.join(spaces)}")
    return spaces[name]()
