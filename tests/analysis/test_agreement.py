"""Agreement of cells between seeds, by hand and by drawing cells."""

import itertools
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ledger_fixture import draw_genotype, make_ledger

from analysis.agreement import (
    agreement_interval,
    agreement_table,
    agreements,
    chance,
    edges_table,
    kept_edges,
    mean_agreement,
)
from analysis.results import collect
from stcnas_core.topology import DARTS, NASBENCH201


def _bench(*operations):
    a, b, c, d, e, f = operations
    return f"|{a}~0|+|{b}~0|{c}~1|+|{d}~0|{e}~1|{f}~2|"


SKIP, CONV, POOL = "skip_connect", "nor_conv_3x3", "avg_pool_3x3"
FIRST = _bench(SKIP, SKIP, CONV, CONV, POOL, POOL)
SECOND = _bench(SKIP, SKIP, CONV, CONV, POOL, CONV)  # one edge differs
THIRD = _bench(CONV, CONV, SKIP, SKIP, POOL, SKIP)  # one edge is as in the others


def _results(cells, space="nasbench201", **options):
    options = {"settings": ("method=stc",), "seeds": tuple(range(len(cells))), "retrain": False} | options
    ledger = make_ledger(space=space, paper=None, epochs=1, **options)
    searches = [row for row in ledger.trial_rows if row["stage"] == "search"]
    for row, cell in zip(searches, cells, strict=True):
        row["genotype"] = cell
    return collect(ledger.sweep, ledger.planned, *ledger.frames)


def test_agreement_by_hand():
    (found,) = agreements(_results([FIRST, SECOND, THIRD]))
    # Pairs have 5, 1 and 1 of six edges in common.
    assert found.mean == pytest.approx((5 + 1 + 1) / 18)
    assert (found.n, found.distinct, found.most_found, found.chance) == (3, 3, 1, 0.25)
    # Of 27 resamples 3 are one search alone, 6 all three; 6 have the same two searches, for each two: agreements of
    # 5/6, 1/6 and 1/6. The lowest and the highest have a quarter of the others or more.
    assert found.interval is not None
    assert (found.interval.low, found.interval.high) == pytest.approx((1 / 6, 5 / 6))


def test_duplicates_are_counted():
    results = _results([FIRST, SECOND, FIRST, FIRST])
    table = agreement_table(results)
    assert table is not None
    (record,) = table.records
    assert (record["searches"], record["distinct_cells"], record["most_found"], record["pairs"]) == (4, 2, 3, 6)
    assert record["agreement"] == pytest.approx((3 * 1 + 3 * 5 / 6) / 6)
    assert table.rows[0][:5] == ("method=stc", "4", "2", "3 times", "0.92")


def test_edges_by_hand():
    table = edges_table(_results([FIRST, SECOND, THIRD]))
    assert table is not None
    assert table.columns == ("Setting", "Cell", "Edge", "Searches", "Most frequent operation", "Share")
    assert [row[2:] for row in table.rows] == [
        ("0 → 1", "3", SKIP, "0.67"),
        ("0 → 2", "3", SKIP, "0.67"),
        ("1 → 2", "3", CONV, "0.67"),
        ("0 → 3", "3", CONV, "0.67"),
        ("1 → 3", "3", POOL, "1.00"),
        ("2 → 3", "3", SKIP, "0.33"),  # all three differ: the first in the space's order
    ]


def _darts(normal):
    pairs = [("sep_conv_3x3", 0), ("sep_conv_3x3", 1)] * 4
    return f"Genotype(normal={normal}, normal_concat=range(2, 6), reduce={pairs}, reduce_concat=range(2, 6))"


def test_darts_cells_agree_where_they_keep_an_edge_with_the_same_operation():
    one = [("sep_conv_3x3", 0), ("skip_connect", 1)] * 4
    # Node 2: one pair in common. Node 3: another source. Node 4: both, in another order. Node 5: nothing.
    other = [("sep_conv_3x3", 0), ("sep_conv_5x5", 1), ("sep_conv_3x3", 2), ("sep_conv_5x5", 1)]
    other += [("skip_connect", 1), ("sep_conv_3x3", 0), ("skip_connect", 3), ("sep_conv_3x3", 4)]
    results = _results([_darts(one), _darts(other)], space="darts")
    (found,) = agreements(results)
    # 1 + 0 + 2 + 0 of eight edges of the normal cell, all eight of the reduction cell.
    assert found.mean == pytest.approx((3 + 8) / 16)
    assert found.interval is None
    table = edges_table(results)
    assert table is not None
    rows = {(row[1], row[2]): row[3:] for row in table.rows}
    assert len(rows) == 28
    assert rows["normal", "0 → 3"] == ("2", "1", "sep_conv_3x3", "0.50")
    assert rows["normal", "3 → 5"] == ("2", "1", "skip_connect", "0.50")
    assert rows["normal", "2 → 5"] == ("2", "0", "–", "0.00")
    assert any("(source, operation)" in note for note in agreement_table(results).notes)


@pytest.mark.parametrize("topology", [DARTS, NASBENCH201])
def test_chance_is_what_drawn_cells_have(topology):
    rng = random.Random(3)
    cells = [draw_genotype(topology, rng) for _ in range(400)]
    mean = mean_agreement(kept_edges(cells), np.ones((1, 400)))[0]
    assert mean == pytest.approx(chance(topology, len(topology.operations)), abs=0.006)


def test_chance_by_hand():
    # Nodes of 2, 3, 4 and 5 sources keep two; seven operations.
    assert chance(DARTS, 7) == pytest.approx((1 + 2 / 3 + 1 / 2 + 2 / 5) / 4 / 7)
    assert chance(NASBENCH201, 4) == 0.25


@settings(max_examples=25)
@given(st.integers(0, 10_000), st.integers(3, 9), st.sampled_from([DARTS, NASBENCH201]))
def test_the_mean_over_pairs_is_that_of_each_two_cells(seed, n, topology):
    rng = random.Random(seed)
    few = [draw_genotype(topology, rng) for _ in range(3)]
    cells = [rng.choice(few) for _ in range(n)]
    sets = [{(kind, edge) for kind in topology.kinds for edge in cell.cell(kind)} for cell in cells]
    pairs = [len(a & b) / len(a) for a, b in itertools.combinations(sets, 2)]
    kept = kept_edges(cells)
    assert mean_agreement(kept, np.ones((1, n)))[0] == pytest.approx(np.mean(pairs))
    interval = agreement_interval(kept)
    assert interval is not None
    assert min(pairs) - 1e-9 <= interval.low <= interval.high <= max(pairs) + 1e-9


def test_a_setting_with_one_cell_has_nothing_to_agree():
    results = _results([FIRST])
    assert agreements(results) == ()
    assert agreement_table(results) is edges_table(results) is None
