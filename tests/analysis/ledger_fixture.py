"""Ledger frames as a sweep would leave them, made without a search: real genotypes, plausible numbers, real schemas."""

import datetime
import hashlib
import random
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pyarrow as pa

from orchestrator.schema import ALPHAS, EPOCHS, SCHEMA_VERSION, TRIALS
from stcnas_core.config import SearchConfig
from stcnas_core.genotype import Edge, Genotype
from stcnas_core.topology import TOPOLOGIES, Topology

TRACEBACK = """Traceback (most recent call last):
  File "orchestrator/trainable.py", line 88, in step
    row = self.search.run_epoch()
  File "stcnas_core/search.py", line 204, in run_epoch
    raise DivergedError(f"epoch {self.epoch}: the loss became {loss}")
stcnas_core.errors.DivergedError: epoch 3: the loss became nan"""


@dataclass
class Ledger:
    """A sweep stand-in, its plan, and the three frames."""

    sweep: Any
    planned: list[dict[str, Any]]
    trial_rows: list[dict[str, Any]] = field(default_factory=list)
    epoch_rows: list[dict[str, Any]] = field(default_factory=list)
    alpha_rows: list[dict[str, Any]] = field(default_factory=list)

    @property
    def frames(self) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
        rows = ((self.trial_rows, TRIALS), (self.epoch_rows, EPOCHS), (self.alpha_rows, ALPHAS))
        return tuple(pa.Table.from_pylist(found, schema=schema).to_pandas() for found, schema in rows)  # type: ignore[return-value]


def draw_genotype(topology: Topology, rng: random.Random) -> Genotype:
    """A uniformly drawn valid cell."""
    cells = []
    for _ in topology.kinds:
        edges: list[Edge] = []
        for node in range(topology.inputs, topology.inputs + topology.nodes):
            sources = sorted(rng.sample(range(node), topology.kept or node))
            edges += [Edge(node, source, rng.choice(topology.operations)) for source in sources]
        cells.append(tuple(edges))
    return Genotype(topology.name, tuple(cells))


def make_ledger(
    *,
    settings: tuple[str, ...] = ("js_lambda=0", "js_lambda=0->2"),
    seeds: tuple[int, ...] = (0, 1, 2, 3),
    retrain_seeds: tuple[int, ...] = (0,),
    space: str = "darts",
    paper: str | None = "table-7",
    retrain: bool = True,
    missing: int = 0,
    failed: int = 0,
    duplicates: bool = False,
    epochs: int = 12,
    sizes: dict[str, Any] | None = None,
    title: str | None = "Lambda of the Jensen-Shannon loss",
    looked_up: tuple[float | None, ...] = (),
) -> Ledger:
    """`missing` searches at the end of the plan have not run, `failed` ones before them diverged.

    With `duplicates`, the second seed of every setting finds the first seed's cell. `looked_up` are the benchmark's
    accuracies of the searches' cells, None for one that the table lacks.
    """
    rng = random.Random(7)
    topology = TOPOLOGIES[space]
    sweep = SimpleNamespace(name="table7", title=title, paper=paper, retrain={"epochs": 20} if retrain else None)
    ledger = Ledger(sweep, [])
    search_sizes = {"dataset": "digits", "cells": 3, "channels": 8, "epochs": epochs, "batch_size": 64} | (sizes or {})
    order = [(setting, seed) for setting in settings for seed in seeds]
    retrains: list[dict[str, Any]] = []
    done: set[str] = set()
    for index, (setting, seed) in enumerate(order):
        id_ = identifier("search", setting, seed)
        state = "missing" if index >= len(order) - missing else "finished"
        if state == "finished" and index >= len(order) - missing - failed:
            state = "failed"
        ledger.planned.append(_planned(id_, "search", setting, seed, None, state, None))
        genotype = draw_genotype(topology, rng)
        if duplicates and seed == seeds[1] and state == "finished":
            genotype = Genotype.parse(ledger.trial_rows[-1]["genotype"])
        config = SearchConfig(space=space, seed=seed, **search_sizes)  # type: ignore[arg-type]
        skill = rng.gauss(0.6 * settings.index(setting), 0.8)
        if state == "failed":
            ledger.trial_rows.append(
                _row(id_, "search", setting, seed, config, state="failed", error_kind="diverged", error=TRACEBACK)
            )
        if state == "finished":
            _finish_search(ledger, id_, setting, seed, config, genotype, skill, rng)
        for retrain_seed in retrain_seeds if retrain else ():
            text = genotype.canonical_text()
            retrain_id = identifier("retrain", text, retrain_seed) if state == "finished" else f"{id_}-r{retrain_seed}"
            if retrain_id in done:
                continue
            done.add(retrain_id)
            retrains.append(_planned(retrain_id, "retrain", setting, seed, retrain_seed, state, id_))
            if state == "finished":
                _finish_retrain(ledger, retrains[-1], genotype, 95.2 + skill + rng.gauss(0, 0.4), rng, config.dataset)
    for trial in retrains:
        if trial["state"] == "failed":
            trial["state"] = "missing"
    ledger.planned += retrains
    searches = [row for row in ledger.trial_rows if row["stage"] == "search" and row["state"] == "finished"]
    for row, accuracy in zip(searches, looked_up, strict=False):
        _look_up(ledger, row, accuracy)
    return ledger


def _look_up(ledger: Ledger, search: dict[str, Any], accuracy: float | None) -> None:
    id_ = identifier("lookup", search["genotype"])
    if any(row["trial_id"] == id_ for row in ledger.trial_rows):
        return
    state = "failed" if accuracy is None else "finished"
    setting, seed = search["setting"], search["seed"]
    ledger.planned.append(_planned(id_, "lookup", setting, seed, None, state, search["trial_id"]))
    found = {"error_kind": "not_found", "error": "not in the table"} if accuracy is None else {}
    values = {} if accuracy is None else {"lookup_cifar10_test": accuracy, "lookup_cifar100_test": accuracy - 20}
    more = {"genotype": search["genotype"], "state": state, "device": None, "data": "nasbench201@parquet:abc"}
    ledger.trial_rows.append(_row(id_, "lookup", setting, seed, None, **more, **found, **values))


def identifier(*parts: Any) -> str:
    return hashlib.sha256("/".join(map(str, parts)).encode()).hexdigest()[:20]


def _planned(
    id_: str, stage: str, setting: str, seed: int, retrain_seed: int | None, state: str, parent: str | None
) -> dict[str, Any]:
    state = {"finished": "done"}.get(state, state)
    return {
        "id": id_,
        "stage": stage,
        "setting": setting,
        "seed": seed,
        "retrain_seed": retrain_seed,
        "state": state,
        "parent": parent,
    }


def _row(id_: str, stage: str, setting: str, seed: int, config: SearchConfig | None, **more: Any) -> dict[str, Any]:
    start = datetime.datetime(2025, 3, 4, 9, 30, tzinfo=datetime.UTC)
    row: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "trial_id": id_,
        "sweep": "table7",
        "stage": stage,
        "setting": setting,
        "seed": seed,
        "state": "finished",
        "attempt": 1,
        "device": "cpu",
        "threads": 1,
        "shared_device": False,
        "host": "node-1",
        "started_at": start,
        "finished_at": start + datetime.timedelta(minutes=2),
        "stcnas_version": "0.1.0",
        "algorithm_version": 1,
        "python_version": "3.11.9",
        "torch_version": "2.14.0+cpu",
        "ray_version": "2.60.0",
        "commit": "9e28387",
        "data": "digits@scikit-learn",
    }
    if config is not None:
        names = {name.removeprefix("search_") for name in TRIALS.names if name.startswith("search_")}
        row |= {f"search_{name}": getattr(config, name) for name in names}
    return row | more


def _finish_search(
    ledger: Ledger,
    id_: str,
    setting: str,
    seed: int,
    config: SearchConfig,
    genotype: Genotype,
    skill: float,
    rng: random.Random,
) -> None:
    topology = genotype.topology
    kept = {(kind, e.node, e.source, e.operation) for kind in topology.kinds for e in genotype.cell(kind)}
    valid = derived = 0.0
    rate = {key: rng.uniform(0.05, 0.12) for key in range(200)}
    for epoch in range(config.epochs):
        share = (epoch + 1) / config.epochs
        reached = 94.0 + skill - 70 * (1 - share) ** 2.2
        valid, derived = reached + rng.gauss(0, 0.7), reached - 1.5 + rng.gauss(0, 1.2)
        ledger.epoch_rows.append(
            {
                "schema_version": SCHEMA_VERSION,
                "trial_id": id_,
                "stage": "search",
                "epoch": epoch,
                "train_loss": 2.3 * (1 - share) + 0.1,
                "train_accuracy": min(99.9, reached + 2.5 + rng.gauss(0, 0.5)),
                "alpha_loss": 2.3 * (1 - share) + 0.2,
                "alpha_accuracy": reached + rng.gauss(0, 0.8),
                "penalty": 0.3 * (1 - share),
                "penalty_weight": 2 * share,
                "noise": 0.3 * (1 - share),
                "lr": 0.025 * (1 - share),
                "alpha_lr": 3e-4,
                "valid_accuracy": valid if epoch % 2 == 1 or epoch + 1 == config.epochs else None,
                "derived_accuracy": derived if epoch % 2 == 1 or epoch + 1 == config.epochs else None,
                "genotype": genotype.canonical_text(),
                "skip_connects": max(0, genotype.count("skip_connect")["normal"] + rng.choice((-1, 0, 0, 0, 1))),
                "device_seconds": 1.7 + rng.random() * 0.2,
            }
        )
        number = 0
        for kind in topology.kinds:
            for node, source in topology.edges:
                for operation in topology.operations:
                    number += 1
                    chosen = (kind, node, source, operation) in kept
                    fall = (0.25 if chosen else 0.7 - 5 * (rate[number % 200] - 0.08)) * share
                    alpha = max(0.0, 1.0 - fall)
                    ledger.alpha_rows.append(
                        {
                            "schema_version": SCHEMA_VERSION,
                            "trial_id": id_,
                            "epoch": epoch,
                            "cell": kind,
                            "node": node,
                            "source": source,
                            "operation": operation,
                            "alpha": alpha,
                            "weight": alpha,
                        }
                    )
    ledger.trial_rows.append(
        _row(
            id_,
            "search",
            setting,
            seed,
            config,
            genotype=genotype.canonical_text(),
            valid_accuracy=valid,
            derived_accuracy=derived,
            train_accuracy=96.0 + skill,
            params=22_400 + rng.randrange(0, 9000),
            macs=1_400_000,
            device_seconds=20.0 + rng.random() * 4,
            step_seconds=0.125,
            peak_memory_bytes=410_000_000 + rng.randrange(0, 9_000_000),
            epochs_done=config.epochs,
        )
    )


def _finish_retrain(
    ledger: Ledger, trial: dict[str, Any], genotype: Genotype, test: float, rng: random.Random, dataset: str
) -> None:
    length = 20
    for epoch in range(length):
        share = (epoch + 1) / length
        ledger.epoch_rows.append(
            {
                "schema_version": SCHEMA_VERSION,
                "trial_id": trial["id"],
                "stage": "retrain",
                "epoch": epoch,
                "train_loss": 2.3 * (1 - share) + 0.05,
                "train_accuracy": min(99.9, test + 1.5 - 60 * (1 - share) ** 2.5),
                "test_accuracy": test - 50 * (1 - share) ** 2.5,
                "lr": 0.025 * (1 - share),
                "device_seconds": 0.9,
            }
        )
    ledger.trial_rows.append(
        _row(
            trial["id"],
            "retrain",
            trial["setting"],
            trial["seed"],
            None,
            retrain_seed=trial["retrain_seed"],
            genotype=genotype.canonical_text(),
            parent=trial["parent"],
            train_accuracy=99.2,
            test_accuracy=test,
            params=61_000 + rng.randrange(0, 20_000),
            macs=5_100_000,
            device_seconds=17.0 + rng.random() * 3,
            peak_memory_bytes=455_000_000,
            epochs_done=length,
            retrain_dataset=dataset,
            retrain_cells=4,
            retrain_channels=12,
            retrain_batch_size=96,
            retrain_epochs=length,
            retrain_cutout=16,
            retrain_auxiliary_weight=0.4,
            retrain_drop_path=0.2,
        )
    )
