"""Do seeds find the same cell? Duplicates, and agreement edge by edge, beside that of uniformly drawn cells.

Two cells agree on an edge where both keep it with the same operation. Their agreement is the number of such edges over
the number that a cell keeps: in NAS-Bench-201, where all edges are kept, the share of edges with the same operation; in
the DARTS space, where each node keeps two incoming edges, the mean over nodes of the overlap of the two sets of
(source, operation) pairs, over both cell kinds.
"""

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.formats import MISSING, Table, fixed, interval
from analysis.results import Results
from analysis.statistics import ENUMERATED, RESAMPLES, Interval, percentile_interval
from stcnas_core.genotype import Genotype
from stcnas_core.topology import Topology

Edge = tuple[str, int, int]
"""Cell kind, node, source."""


@dataclass(frozen=True)
class Agreement:
    """Agreement of the cells that n searches of a setting found."""

    setting: str
    n: int
    distinct: int
    most_found: int
    """How many searches found the cell that most found."""
    mean: float
    """Mean over pairs of searches."""
    interval: Interval | None
    """95% bootstrap interval over searches; None for fewer than three."""
    chance: float
    """Expected agreement of two uniformly drawn cells."""


@dataclass(frozen=True)
class EdgeChoice:
    """What n searches of a setting chose for an edge."""

    setting: str
    edge: Edge
    n: int
    kept: int
    """Searches that keep the edge."""
    operation: str | None
    """The operation that most have on it, the first in the space's order of equally frequent ones."""
    count: int
    """Searches that have it."""


def agreements(results: Results) -> tuple[Agreement, ...]:
    """One for each setting of which at least two searches have finished."""
    found = []
    for setting, cells in _searched(results).items():
        if len(cells) < 2:
            continue
        kept, times = kept_edges(cells), Counter(cells)
        found.append(
            Agreement(
                setting=setting,
                n=len(cells),
                distinct=len(times),
                most_found=max(times.values()),
                mean=float(mean_agreement(kept, np.ones((1, len(cells))))[0]),
                interval=agreement_interval(kept),
                chance=chance(cells[0].topology, _choosable(results, setting, cells[0].topology)),
            )
        )
    return tuple(found)


def kept_edges(cells: Sequence[Genotype]) -> np.ndarray:
    """Cells of one space as rows of ones, where a cell keeps an edge with an operation, and zeros: (n, columns)."""
    rows = [_kept(cell) for cell in cells]
    columns = sorted(frozenset().union(*rows))
    return np.array([[column in row for column in columns] for row in rows], dtype=float)


def mean_agreement(kept: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Mean agreement over the pairs of different searches, each search counted so many times.

    `kept` (n, columns) is of `kept_edges`, `times` (resamples, n); returns (resamples,), NaN where there is no pair.
    """
    edges = kept[0].sum()
    with_itself = (times**2).sum(axis=1)
    pairs = times.sum(axis=1) ** 2 - with_itself
    agreed = ((times @ kept) ** 2).sum(axis=1) / edges - with_itself
    return np.divide(agreed, pairs, out=np.full(len(times), np.nan), where=pairs > 0)


def agreement_interval(kept: np.ndarray) -> Interval | None:
    """95% percentile bootstrap interval of the mean agreement, resampling searches; None for fewer than three.

    A search that is drawn twice is no pair with itself, which would always agree; resamples of one search alone have
    no pair and do not count.
    """
    n = len(kept)
    if n < 3:
        return None
    if n <= ENUMERATED:
        picks = np.array(list(itertools.product(range(n), repeat=n)))
        times = (picks[:, :, None] == np.arange(n)).sum(axis=1)
    else:
        times = np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), size=RESAMPLES)
    resampled = mean_agreement(kept, times.astype(float))
    return percentile_interval(resampled[~np.isnan(resampled)])


def chance(topology: Topology, operations: int) -> float:
    """Expected agreement of two cells that are drawn uniformly, with so many operations to choose from."""
    sources = range(topology.inputs, topology.inputs + topology.nodes)
    if topology.kept is None:
        return 1 / operations
    # Each node keeps `kept` of its sources: one that the first cell keeps is kept by the second with that share.
    return float(np.mean([topology.kept / count for count in sources])) / operations


def edge_choices(results: Results) -> tuple[EdgeChoice, ...]:
    """For each setting and edge, the most frequent operation."""
    found = []
    for setting, cells in _searched(results).items():
        topology = cells[0].topology
        on_edge: dict[Edge, Counter[str]] = {}
        for cell in cells:
            for kind, node, source, operation in _kept(cell):
                on_edge.setdefault((kind, node, source), Counter())[operation] += 1
        for kind in topology.kinds:
            for node, source in topology.edges:
                counts = on_edge.get((kind, node, source), Counter())
                best = max(topology.operations, key=lambda operation, counts=counts: counts[operation])
                found.append(
                    EdgeChoice(
                        setting=setting,
                        edge=(kind, node, source),
                        n=len(cells),
                        kept=counts.total(),
                        operation=best if counts else None,
                        count=counts[best],
                    )
                )
    return tuple(found)


def agreement_table(results: Results) -> Table | None:
    """One row a setting: duplicates and mean pairwise agreement; None where no setting has two cells."""
    found = agreements(results)
    if not found:
        return None
    columns = ("Setting", "Searches", "Distinct cells", "Most found", "Agreement", "95% interval", "By chance")
    rows = tuple(
        (
            one.setting,
            str(one.n),
            str(one.distinct),
            f"{one.most_found} times" if one.most_found > 1 else "once",
            fixed(one.mean),
            interval(one.interval),
            fixed(one.chance),
        )
        for one in found
    )
    records = tuple(
        {
            "setting": one.setting,
            "searches": one.n,
            "distinct_cells": one.distinct,
            "most_found": one.most_found,
            "pairs": one.n * (one.n - 1) // 2,
            "agreement": one.mean,
            "agreement_low": None if one.interval is None else one.interval.low,
            "agreement_high": None if one.interval is None else one.interval.high,
            "agreement_by_chance": one.chance,
        }
        for one in found
    )
    return Table(
        "agreement",
        "Agreement of the cells that the seeds of a setting found: the share of kept edges that two cells have in "
        "common with the same operation, mean over pairs of searches.",
        columns,
        rows,
        frozenset(columns[1:]),
        records,
        _notes(results),
    )


def _notes(results: Results) -> tuple[str, ...]:
    notes = [
        "The interval is a percentile bootstrap interval over searches, in which no search is a pair with itself; none "
        "below three searches. By chance: the agreement that two uniformly drawn cells are expected to have, of "
        "operations that the search may choose."
    ]
    if any(cells[0].topology.kept is not None for cells in _searched(results).values()):
        notes.append(
            "In a DARTS cell edges are chosen too: what two cells have in common is, node by node, the overlap of "
            "their two (source, operation) pairs."
        )
    return tuple(notes)


def edges_table(results: Results) -> Table | None:
    """One row a setting and edge: the most frequent operation and its share; None where no setting has two cells."""
    found = [one for one in edge_choices(results) if one.n > 1]
    if not found:
        return None
    columns = ("Setting", "Cell", "Edge", "Searches", "Kept by", "Most frequent operation", "Share")
    chosen = any(one.kept < one.n for one in found)
    shown = [index for index, column in enumerate(columns) if chosen or column != "Kept by"]
    rows = [
        (
            one.setting,
            one.edge[0],
            f"{one.edge[2]} → {one.edge[1]}",
            str(one.n),
            str(one.kept),
            one.operation or MISSING,
            fixed(one.count / one.n),
        )
        for one in found
    ]
    records = tuple(
        {
            "setting": one.setting,
            "cell": one.edge[0],
            "node": one.edge[1],
            "source": one.edge[2],
            "searches": one.n,
            "kept": one.kept,
            "operation": one.operation,
            "count": one.count,
            "share": one.count / one.n,
        }
        for one in found
    )
    return Table(
        "edges",
        "The operation that most searches of a setting have on an edge, and the share of all its searches that do.",
        tuple(columns[index] for index in shown),
        tuple(tuple(row[index] for index in shown) for row in rows),
        frozenset({"Searches", "Kept by", "Share"}),
        records,
        ("Searches that do not keep an edge have no operation on it.",) if chosen else (),
    )


def _searched(results: Results) -> dict[str, list[Genotype]]:
    """By setting, the cell of each finished search, in the order of seeds."""
    found: dict[str, list[Genotype]] = {}
    for run in results.runs:
        if run.finished is not None and run.genotype is not None:
            found.setdefault(run.setting, []).append(run.genotype)
    return found


def _kept(cell: Genotype) -> frozenset[tuple[str, int, int, str]]:
    kinds = cell.topology.kinds
    return frozenset((kind, edge.node, edge.source, edge.operation) for kind in kinds for edge in cell.cell(kind))


def _choosable(results: Results, setting: str, topology: Topology) -> int:
    """Operations that a search of a setting could choose: NAS-Bench-201's `none` is left out unless it is asked for."""
    records = [run.finished for run in results.of(setting) if run.finished is not None]
    without = "none" in topology.operations and all(not record.get("search_sample_none") for record in records)
    return len(topology.operations) - without
