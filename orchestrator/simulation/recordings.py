"""Recorded searches and retrainings of a ledger, to be played by simulated trials."""

import json
import random
from collections import defaultdict
from functools import cache
from typing import Any

from orchestrator.identity import canonical_config
from orchestrator.job import Job
from orchestrator.ledger import Ledger
from orchestrator.simulation.script import Script
from orchestrator.storage import open_storage
from stcnas_core.errors import InputError


class Recordings:
    """Finished trials of a ledger, to be found by configuration apart from seed and cell."""

    def __init__(self, uri: str) -> None:
        ledger = Ledger(open_storage(uri))
        columns = ["trial_id", "state", "config", "seed", "genotype", "params", "macs", "macs_with_norms"]
        self._trials: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for row in ledger.rows(ledger.ids(), columns):
            if row["state"] == "finished":
                self._trials[_likeness(row["config"])].append(row)
        if not self._trials:
            raise InputError(f"--recorded {uri}: there is no finished trial to play")
        self._epochs = {str(key): rows for key, rows in ledger.epochs().groupby("trial_id", sort=False)}
        self._alphas = {str(key): rows for key, rows in ledger.alphas().groupby("trial_id", sort=False)}

    def like(self, job: Job) -> Script | None:
        """The recorded trial of the same seed, of the same cell, or any of the same configuration; None for none."""
        found = self._trials.get(_likeness(canonical_config(job.stage, job.config, job.data)), [])
        if not found:
            return None
        cell = getattr(job.config, "genotype", None)
        alike = [row for row in found if row["genotype"] == cell] or found
        row = next((row for row in alike if row["seed"] == job.seed), None) or random.Random(job.id).choice(alike)
        epochs = self._epochs[row["trial_id"]].sort_values("epoch").to_dict("records")
        alphas: dict[int, list[dict[str, Any]]] = defaultdict(list)
        if row["trial_id"] in self._alphas:
            for entry in self._alphas[row["trial_id"]].to_dict("records"):
                alphas[entry["epoch"]].append(_without(entry, "schema_version", "trial_id", "epoch"))
        return Script(
            tuple(_without(epoch, "schema_version", "trial_id", "stage") for epoch in epochs),
            dict(alphas),
            cell or row["genotype"],
            row["params"],
            row["macs"],
            row["macs_with_norms"] or row["macs"],  # older records have the first alone
        )


@cache
def recordings(uri: str) -> Recordings:
    """The recordings of a storage, read once."""
    return Recordings(uri)


def _without(row: dict[Any, Any], *names: str) -> dict[str, Any]:
    """A row as plain values, missing ones as None."""
    return {str(name): None if value != value else value for name, value in row.items() if name not in names}


def _likeness(config: str) -> str:
    content = json.loads(config)
    fields = {name: value for name, value in content["config"].items() if name not in ("seed", "genotype")}
    return json.dumps([content["stage"], fields], sort_keys=True)
