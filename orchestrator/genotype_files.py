"""The cells of a sweep as files: JSON for programs, and text for the DARTS repository's `genotypes.py`."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from stcnas_core.errors import InputError
from stcnas_core.genotype import Genotype

Row = Mapping[str, Any]


def found_cells(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """The cells of finished searches, and those that the sweep names, with what is known of each.

    `rows` are a sweep's records in the order of its plan. `trained` and `looked_up` are of the same cell, whichever
    search asked for it.
    """
    finished = [row for row in rows if row["state"] == "finished" and row["genotype"]]
    trained: dict[Genotype, list[dict[str, Any]]] = {}
    looked_up: dict[Genotype, dict[str, float]] = {}
    for row in finished:
        cell = Genotype.parse(row["genotype"])
        if row["stage"] == "retrain":
            trained.setdefault(cell, []).append(
                {
                    name: row[name]
                    for name in ("retrain_seed", "test_accuracy", "params", "macs", "macs_with_norms", "trial_id")
                }
            )
        elif row["stage"] == "lookup":
            values = {name: value for name, value in row.items() if name.startswith("lookup_") and value is not None}
            looked_up[cell] = {name.removeprefix("lookup_"): value for name, value in values.items()}
    found: dict[tuple[str, int | None, Genotype], dict[str, Any]] = {}
    for row in finished:
        if row["stage"] != "search" and row["parent"] is not None:
            continue
        cell = Genotype.parse(row["genotype"])
        found.setdefault(
            (row["setting"], row["seed"], cell),
            {
                "setting": row["setting"],
                "seed": row["seed"],
                "trial_id": row["trial_id"] if row["stage"] == "search" else None,
                "valid_accuracy": row["valid_accuracy"],
                "derived_accuracy": row["derived_accuracy"],
                "trained": trained.get(cell, []),
                "looked_up": looked_up.get(cell),
                "text": cell.to_text(),
                "genotype": json.loads(cell.to_json()),
            },
        )
    return list(found.values())


def as_json(sweep: str, cells: Sequence[Row]) -> str:
    """All cells as one object: `{"sweep": ..., "cells": [...]}`."""
    return json.dumps({"sweep": sweep, "cells": list(cells)}, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def as_darts(sweep: str, cells: Sequence[Row]) -> str:
    """An assignment a cell, to be pasted below the definition of `Genotype` in the DARTS repository's `genotypes.py`.

    Raises InputError where a cell is of another space: it has no such form.
    """
    taken: set[str] = set()
    lines = [f"# Cells of the sweep {sweep}, found by stcnas."]
    for cell in cells:
        space = cell["genotype"]["space"]
        if space != "darts":
            raise InputError(f"{cell['setting']}: a cell of the space {space} cannot be written as DARTS does")
        name = _identifier(sweep, cell["setting"], cell["seed"], taken)
        lines.append(f"\n# {_known(cell)}\n{name} = {cell['text']}")
    return "\n".join(lines) + "\n"


def _known(cell: Row) -> str:
    parts = [cell["setting"]] + ([] if cell["seed"] is None else [f"seed {cell['seed']}"])
    if cell["derived_accuracy"] is not None:
        parts.append(f"derived cell {cell['derived_accuracy']:.2f} % on the validation half")
    parts += [f"trained (seed {one['retrain_seed']}) {one['test_accuracy']:.2f} % test" for one in cell["trained"]]
    return ", ".join(parts)


def _identifier(sweep: str, setting: str, seed: int | None, taken: set[str]) -> str:
    """A name that Python allows, such as TABLE7_JS_LAMBDA_0_2_SEED_1, and that no other cell has."""
    words = f"{sweep} {setting}" + ("" if seed is None else f" seed {seed}")
    name = re.sub(r"[^A-Z0-9]+", "_", words.upper()).strip("_")
    name = name if name[:1].isalpha() else f"SWEEP_{name}"
    number = 1
    while (unique := name if number == 1 else f"{name}_{number}") in taken:
        number += 1
    taken.add(unique)
    return unique
