"""What the networks of all spaces share: a path chooses what runs, parameters are known by the choice they serve."""

from collections.abc import Iterable

from torch import Tensor, nn

from stcnas_core.cell import Cell
from stcnas_core.errors import InputError
from stcnas_core.genotype import Genotype
from stcnas_core.path import Choices, Path, everything, from_genotype
from stcnas_core.topology import Topology


class CellNetwork(nn.Module):
    """A stack of cells, either a supernet (built without a genotype) or a derived network (built with one).

    Subclasses register their cells through `add_cell` and write `forward(images, path, drop_path)`.
    """

    def __init__(self, topology: Topology, genotype: Genotype | None) -> None:
        super().__init__()
        if genotype is not None and genotype.space != topology.name:
            raise InputError(f"a genotype of space {genotype.space!r} cannot be built in space {topology.name!r}")
        self.topology = topology
        self.searching = genotype is None
        self.choices: Choices = everything(topology) if genotype is None else from_genotype(genotype)
        self.cells = nn.ModuleList()
        self.kinds: list[int] = []

    def add_cell(self, kind: int, cell: nn.Module) -> None:
        """Append a cell (or a block that holds one as `.cell`) of the kind with index `kind`."""
        self.cells.append(cell)
        self.kinds.append(kind)

    def resolve(self, path: Path | None) -> tuple[Choices, list[list[Tensor | None]]]:
        """The choices to run and one scale for each; a derived network runs its own when no path is given."""
        if path is None:
            if self.searching:
                raise InputError("a supernet needs a path: supernet(images, path)")
            return self.choices, [[None] * len(cell) for cell in self.choices]
        if path.weights is None:
            return path.chosen, [[None] * len(cell) for cell in path.chosen]
        scales: list[list[Tensor | None]] = []
        for kind, cell in enumerate(path.chosen):
            edges, operations = [edge for edge, _ in cell], [operation for _, operation in cell]
            scales.append(list(path.weights[kind, edges, operations].unbind()))
        return path.chosen, scales

    def parameters_by_choice(self) -> dict[tuple[int, int, int], list[nn.Parameter]]:
        """Parameters of each (cell kind, edge, operation), over all cells of the kind."""
        table: dict[tuple[int, int, int], list[nn.Parameter]] = {
            (kind, *choice): [] for kind, cell in enumerate(self.choices) for choice in cell
        }
        for kind, cell in zip(self.kinds, self._graphs(), strict=True):
            for edge, operation in self.choices[kind]:
                table[kind, edge, operation].extend(cell.parameters_of((edge, operation)))
        return table

    def shared_parameters(self) -> list[nn.Parameter]:
        """Parameters that every path uses: stem, preprocessing, reductions between stages, classifier."""
        chosen = {id(p) for parameters in self.parameters_by_choice().values() for p in parameters}
        return [p for p in self.parameters() if id(p) not in chosen]

    def _graphs(self) -> Iterable[Cell]:
        for block in self.cells:
            yield block if isinstance(block, Cell) else block.cell  # type: ignore[misc]
