"""Benchmark tables: what every cell of a space reaches when it is trained, measured by others.

Read are a plain Parquet or CSV table, a row per cell, with the cell's text in `arch_str` and accuracies in percent, and
the official file or unpacked folder of NATS-Bench (Dong et al., TPAMI 2021), whose topology space is NAS-Bench-201's.
"""

import hashlib
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from stcnas_core.errors import InputError
from stcnas_core.genotype import Genotype, GenotypeError
from stcnas_core.topology import NASBENCH201

if TYPE_CHECKING:
    import pyarrow as pa

BENCHMARK = NASBENCH201.name
"""The space that tables are read of, and the name of their data in a trial's id."""

Metric = Literal[
    "cifar10_valid",
    "cifar10_test",
    "cifar100_valid",
    "cifar100_test",
    "imagenet16_valid",
    "imagenet16_test",
]
METRICS: tuple[Metric, ...] = get_args(Metric)
"""Accuracies that a table may hold, in percent."""

UNNAMED = f"{BENCHMARK}@unnamed"
"""Stands for the fingerprint of a table that is not named yet, where nothing is looked up but only planned."""

CELL_COLUMN = "arch_str"

CELLS = len(NASBENCH201.operations) ** len(NASBENCH201.edges)
"""15,625: what a table holds at most."""

_OFFICIAL: dict[Metric, tuple[str, str]] = {
    "cifar10_valid": ("cifar10-valid", "valid-accuracy"),
    "cifar10_test": ("cifar10", "test-accuracy"),
    "cifar100_valid": ("cifar100", "valid-accuracy"),
    "cifar100_test": ("cifar100", "test-accuracy"),
    "imagenet16_valid": ("ImageNet16-120", "valid-accuracy"),
    "imagenet16_test": ("ImageNet16-120", "test-accuracy"),
}
"""Data set and metric of the official files, by ours: training of 200 epochs, mean over the benchmark's seeds."""

_OFFICIAL_EPOCHS = "200"
_OFFICIAL_META = "meta.pickle.pbz2"
_LARGE_FILE, _TAIL = 256 * 1024**2, 64 * 1024

Entry = dict[str, Any]
"""A row: `genotype`, and `lookup_<metric>` for each metric that the table has."""


def fingerprint(path: str | None) -> str:
    """Name a table by its content, as `nasbench201@parquet:<12 hex>`; raises InputError where there is none.

    The digits depend on the bytes of the file alone (beyond 256 MiB on its size and last 64 KiB), those of an official
    folder on the names and sizes of its files.
    """
    file = _located(path)
    kind = _kind(file)
    content = hashlib.sha256()
    try:
        if file.is_dir():
            for part in sorted(file.iterdir()):
                content.update(f"{part.name} {part.stat().st_size}\n".encode(errors="surrogateescape"))
        else:
            size = file.stat().st_size
            with file.open("rb") as stream:
                if size > _LARGE_FILE:
                    stream.seek(size - _TAIL)
                content.update(f"{size} {hashlib.file_digest(stream, 'sha256').hexdigest()}".encode())
    except OSError as error:
        raise InputError(f"lookup.path: {file} cannot be read ({error.strerror})") from None
    return f"{BENCHMARK}@{kind}:{content.hexdigest()[:12]}"


def read(path: str | None, columns: Mapping[Metric, str]) -> list[Entry]:
    """All entries of a table, in its order; `columns` names the column of a metric where it has a name of its own.

    Without a name, a metric is in the column of its own name or of that with `_acc_200` behind it; metrics of which
    there is no column are left out. Raises InputError, with the row, for what is no table of cells and percentages.
    """
    file = _located(path)
    if _kind(file) == "nats":
        if columns:
            raise InputError(f"lookup.columns: {file} is an official file, whose metrics have names of their own")
        return list(_official(file))
    table = _plain(file)
    found = _columns(file, table.column_names, columns)
    cells = table.column(CELL_COLUMN).to_pylist()
    values = {metric: _percentages(file, table, column) for metric, column in found.items()}
    entries: list[Entry] = []
    seen: set[str] = set()
    for row, text in enumerate(cells):
        cell = _cell(file, row, text)
        if cell in seen:
            raise InputError(f"{file}, row {row}: the cell {cell} is there twice; keep one row of it")
        seen.add(cell)
        entries.append({"genotype": cell, **{f"lookup_{metric}": numbers[row] for metric, numbers in values.items()}})
    return entries


def function_of(cell: str) -> str:
    """What a cell computes, the same text for isomorphic cells: they differ in the names of nodes or in dead edges.

    A node is the sorted sum of what enters it; `none` and what is behind it is left out, and skip_connect hands its
    source's terms on.
    """
    nodes: list[list[str]] = [["x"]]
    edges = Genotype.parse(cell).cell("normal")
    for node in range(1, 1 + NASBENCH201.nodes):
        terms: list[str] = []
        for edge in edges:
            if edge.node != node or edge.operation == "none" or not (source := nodes[edge.source]):
                continue
            terms += source if edge.operation == "skip_connect" else [f"{edge.operation}({'+'.join(source)})"]
        nodes.append(sorted(terms))
    return "+".join(nodes[-1])


def _located(path: str | None) -> Path:
    if path is None:
        raise InputError("lookup.path: where is the benchmark table? Give its file, or --set lookup.path=FILE")
    file = Path(path)
    try:
        there = file.is_dir() or file.is_file()
    except OSError as error:
        raise InputError(f"lookup.path: {path[:200]} cannot be read ({error.strerror})") from None
    if not there:
        raise InputError(f"lookup.path: there is no {file}; give a table, or `--set lookup=null` to look nothing up")
    return file


def _kind(file: Path) -> str:
    if file.suffix == ".pbz2" or (file / _OFFICIAL_META).is_file():
        return "nats"
    if file.is_dir():
        raise InputError(f"{file}: this folder has no {_OFFICIAL_META}, as NATS-Bench's unpacked one has; give a table")
    if file.suffix in (".parquet", ".csv"):
        return file.suffix[1:]
    if file.suffix == ".pth":
        raise InputError(
            f"{file}: NAS-Bench-201's own files are not read; NATS-Bench's (NATS-tss-v1_0-3ffb9-simple, or its "
            ".pickle.pbz2) hold the same cells, trained more often"
        )
    raise InputError(f"{file}: must be a .parquet or .csv table, or NATS-Bench's unpacked folder or .pickle.pbz2 file")


def _plain(file: Path) -> "pa.Table":
    import pyarrow as pa
    import pyarrow.csv
    import pyarrow.parquet as pq

    try:
        if file.suffix == ".csv":
            table = pyarrow.csv.read_csv(file)
        else:
            with pq.ParquetFile(file, page_checksum_verification=True) as parquet:
                _check_rows(file, parquet.metadata.num_rows)
                names = [name for name in parquet.schema_arrow.names if parquet.schema_arrow.names.count(name) == 1]
                table = parquet.read(columns=names, use_threads=False)
    except (pa.ArrowException, OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        reason = (str(error) or type(error).__name__).splitlines()[0][:200]
        raise InputError(f"{file}: not readable as {_kind(file)}, or damaged ({reason})") from None
    _check_rows(file, len(table))
    if CELL_COLUMN not in table.column_names:
        raise InputError(
            f"{file}: no column {CELL_COLUMN} with the cells, as |op~0|+|op~0|op~1|+...; "
            f"it has: {_listed(table.column_names)}"
        )
    return table


def _check_rows(file: Path, rows: int) -> None:
    if not 1 <= rows <= CELLS:
        raise InputError(f"{file}: {rows:,} rows; the space has {CELLS:,} cells, and a table one row for each at most")


def _columns(file: Path, names: list[str], given: Mapping[Metric, str]) -> dict[str, str]:
    """The column of each metric that the table has."""
    found: dict[str, str] = {}
    for metric in METRICS:
        wanted = [given[metric]] if metric in given else [metric, f"{metric}_acc_200"]
        column = next((name for name in wanted if name in names), None)
        if column is not None:
            found[metric] = column
        elif metric in given:
            raise InputError(f"lookup.columns.{metric}: {file} has no column {given[metric]}; it has: {_listed(names)}")
    if not found:
        raise InputError(
            f"{file}: none of the accuracies {', '.join(METRICS)}; name their columns in lookup.columns; "
            f"it has: {_listed(names)}"
        )
    return found


def _percentages(file: Path, table: "pa.Table", column: str) -> list[float]:
    import pyarrow as pa

    kind = table.schema.field(column).type
    if not (pa.types.is_floating(kind) or pa.types.is_integer(kind)):
        raise InputError(f"{file}: column {column} is of type {kind}; it must hold percentages")
    values = [math.nan if value is None else float(value) for value in table.column(column).to_pylist()]
    for row, value in enumerate(values):
        if not 0 <= value <= 100:
            raise InputError(f"{file}, row {row}: {column} is {value}; it must be a percentage, from 0 to 100")
    if max(values) <= 1:
        raise InputError(f"{file}: the largest {column} is {max(values)}; accuracies must be percentages, not shares")
    return values


def _cell(file: Path, row: int, text: Any) -> str:
    try:
        genotype = Genotype.parse(text)
    except GenotypeError as error:
        raise InputError(f"{file}, row {row}: {CELL_COLUMN}: {error}") from None
    if genotype.space != BENCHMARK:
        raise InputError(f"{file}, row {row}: {CELL_COLUMN}: a cell of the {genotype.space} space, not of {BENCHMARK}")
    return genotype.canonical_text()


def _official(path: Path) -> Iterator[Entry]:
    """Every entry of NATS-Bench's topology file. Its files are pickles, which the package that reads them unpickles."""
    try:
        import nats_bench  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise InputError(
            f"{path}: NATS-Bench's own files are read by the package nats-bench: pip install 'stcnas[nats-bench]', "
            "or give a .parquet or .csv table"
        ) from None
    try:
        api = nats_bench.create(str(path), "tss", fast_mode=path.is_dir(), verbose=False)
        for index, text in enumerate(api.meta_archs):
            entry: Entry = {"genotype": Genotype.parse(text).canonical_text()}
            for metric, (dataset, name) in _OFFICIAL.items():
                found = api.get_more_info(index, dataset, hp=_OFFICIAL_EPOCHS, is_random=False)
                entry[f"lookup_{metric}"] = float(found[name])
            # In its fast mode the package keeps all that it has read, several GB at the end.
            api.arch2infos_dict.pop(index, None)
            yield entry
    except Exception as error:  # the package raises whatever its files lead it to
        reason = (str(error) or type(error).__name__).splitlines()[0][:200]
        raise InputError(f"{path}: not readable as NATS-Bench's topology file, or damaged ({reason})") from None


def _listed(names: list[str]) -> str:
    return ", ".join(names[:30]) or "no column"
