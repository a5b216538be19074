"""Made-up searches and retrainings: curves, cells and alphas of a plausible shape, a function of the trial's id."""

import random
from typing import Any

from orchestrator.job import Job
from orchestrator.simulation.script import Script
from orchestrator.snapshots import snapshot_epochs
from stcnas_core.config import SearchConfig
from stcnas_core.genotype import Edge, Genotype
from stcnas_core.schedules import Ramp, cosine, progress
from stcnas_core.topology import Topology, topology_of

CELLS = 20_000
"""Distinct cells that made-up searches find in a space, so that some of thousands find the same."""


def make_up(job: Job) -> Script:
    """A whole trial that never ran."""
    dice = random.Random(job.id)
    if isinstance(job.config, SearchConfig):
        topology = topology_of(job.config.space, job.config.cells)
        cells = [_cell(topology, dice) for _ in range(job.config.epochs)]
        epochs = tuple(_search_epoch(job.config, epoch, cell, dice) for epoch, cell in enumerate(cells))
        wanted = sorted(snapshot_epochs(job.config.epochs))
        alphas = {done - 1: _alphas(topology, done / job.config.epochs, dice) for done in wanted}
        return Script(
            epochs, alphas, cells[-1].canonical_text(), dice.randrange(10_000, 90_000), 10_000_000, 10_500_000
        )
    epochs = tuple(_retrain_epoch(job.config.epochs, job.config.lr, epoch, dice) for epoch in range(job.config.epochs))
    return Script(epochs, {}, job.config.genotype, dice.randrange(1_000_000, 4_000_000), 500_000_000, 510_000_000)


def make_up_ranks(config: SearchConfig, epoch: int) -> list[dict[str, Any]]:
    """Cells, the same after every epoch, and their accuracies."""
    dice, later = random.Random(f"{config.seed} ranking"), random.Random(f"{config.seed} {epoch}")
    cells: dict[Genotype, None] = {}
    while len(cells) < config.rank_cells:
        cells.setdefault(_cell(topology_of(config.space, config.cells), dice))
    return [{"genotype": cell.canonical_text(), "accuracy": later.uniform(10, 90)} for cell in cells]


def _search_epoch(config: SearchConfig, epoch: int, cell: Genotype, dice: random.Random) -> dict[str, Any]:
    done = progress(epoch, config.epochs)
    accuracy = _accuracy(epoch, config.epochs, dice)
    return {
        "epoch": epoch,
        "train_loss": 2.3 * (1 - accuracy / 110),
        "train_accuracy": accuracy,
        "alpha_loss": 2.3 * (1 - accuracy / 120),
        "alpha_accuracy": accuracy * 0.97,
        "penalty": 0.3 * (1 - done),
        "penalty_weight": Ramp.parse(config.js_lambda).at(done),
        "noise": config.noise * (1 - done),
        "lr": cosine(config.lr, config.lr_min, epoch, config.epochs),
        "alpha_lr": config.value("alpha_lr"),
        "valid_accuracy": accuracy * 0.95,
        "derived_accuracy": accuracy * dice.uniform(0.8, 0.95),
        "genotype": cell.canonical_text(),
        "skip_connects": cell.skip_connects,
        "device_seconds": dice.uniform(50, 70),
        "step_seconds": 0.5,
    }


def _retrain_epoch(epochs: int, lr: float, epoch: int, dice: random.Random) -> dict[str, Any]:
    accuracy = _accuracy(epoch, epochs, dice)
    return {
        "epoch": epoch,
        "train_loss": 2.3 * (1 - accuracy / 110),
        "train_accuracy": accuracy,
        "lr": cosine(lr, 0.0, epoch, epochs),
        "test_loss": 2.3 * (1 - accuracy / 120),
        "test_accuracy": accuracy * 0.96,
        "test_top5_accuracy": 100 - (100 - accuracy * 0.96) / 3,
        "device_seconds": dice.uniform(90, 110),
        "step_seconds": 0.25,
    }


def _accuracy(epoch: int, epochs: int, dice: random.Random) -> float:
    return 95 - 85 * 0.05 ** ((epoch + 1) / epochs) + dice.uniform(-1, 1)


def _cell(topology: Topology, dice: random.Random) -> Genotype:
    """One of CELLS cells of a space."""
    dice = random.Random(f"{topology.name} {dice.randrange(CELLS)}")
    cells = []
    for _ in topology.kinds:
        edges: list[Edge] = []
        for incoming in topology.edges_by_node:
            kept = incoming if topology.kept is None else sorted(dice.sample(incoming, topology.kept))
            edges += [
                Edge(*topology.edges[edge], topology.operations[dice.choice(topology.possible(edge))]) for edge in kept
            ]
        cells.append(tuple(edges))
    return Genotype(topology.name, tuple(cells))


def _alphas(topology: Topology, spread: float, dice: random.Random) -> list[dict[str, Any]]:
    rows = []
    for cell in topology.kinds:
        for edge, (node, source) in enumerate(topology.edges):
            for operation in (topology.operations[k] for k in topology.possible(edge)):
                alpha = 1 - spread * dice.random()
                row = {"cell": cell, "node": node, "source": source, "operation": operation}
                rows.append({**row, "alpha": alpha, "weight": alpha})
    return rows
