"""The rows of one sweep, in its own words: a ledger may hold several sweeps that share trials."""

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from orchestrator.ledger import Ledger

_BY_PLAN = {"setting": pa.string(), "seed": pa.int64(), "retrain_seed": pa.int64(), "parent": pa.string()}
"""Columns that say who asked for a trial, which the record answers for the sweep that ran it first."""


def select(ledger: Ledger, table: str, planned: Sequence[Mapping[str, Any]]) -> pa.Table:
    """The rows of planned trials in a table of the ledger, in the order of the plan.

    `planned` is the `trials` list of `plan --json`. `setting`, `seed` and `retrain_seed` are the plan's and stand in
    every table, beside `trial_id`; `parent` is the plan's in `trials`.
    """
    ids = pa.array([trial["id"] for trial in planned], pa.string())
    rows = ledger.table(table, ids.to_pylist())
    place = pc.call_function("index_in", [rows.column("trial_id")], pc.SetLookupOptions(value_set=ids))
    # The sort is stable, so that the epochs of a trial stay in order.
    order = pc.call_function("array_sort_indices", [place])
    rows, place = rows.take(order), place.take(order)
    for name, kind in _BY_PLAN.items():
        values = pa.array([trial[name] for trial in planned], kind).take(place)
        if name in rows.column_names:
            rows = rows.set_column(rows.column_names.index(name), pa.field(name, kind), values)
        elif name != "parent":
            rows = rows.append_column(pa.field(name, kind), values)
    first = ["trial_id", "setting", "seed", "retrain_seed"]
    rest = [name for name in rows.column_names if name not in first] if table != "trials" else []
    return rows.select([*first, *rest]) if rest else rows
