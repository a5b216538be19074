"""The lookup stage: what a benchmark table says of a cell that a search found, as a trial's record.

The driver does it between other things, since it takes no device and no time. The first lookup copies the table into
the ledger, so that later ones, and reports, need neither the file nor the package that reads it.
"""

import json
import random
import socket
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from orchestrator import simulation
from orchestrator.benchmark import BENCHMARK, METRICS, function_of, read
from orchestrator.identity import LookupConfig, canonical_config, digest
from orchestrator.ledger import Ledger
from orchestrator.plan import Plan, Trial, fingerprint_of
from orchestrator.sweep_file.space import Optuna
from orchestrator.trainable import Progress
from orchestrator.versions import versions
from stcnas_core.errors import InputError

COLUMNS = tuple(f"lookup_{metric}" for metric in METRICS)


def benchmark_id(plan: Plan) -> str | None:
    """The name of the ledger's copy of a plan's benchmark table; None where nothing is looked up."""
    if plan.sweep.lookup is None:
        return None
    text = json.dumps([plan.lookup_data, plan.sweep.lookup.columns], sort_keys=True)
    return digest(text)


class Lookups:
    """Looks cells up for one run of a plan; `simulated` makes accuracies up, and reads no table."""

    def __init__(self, plan: Plan, ledger: Ledger, say: Callable[[str], None], *, simulated: bool = False) -> None:
        self.plan, self.ledger, self._say, self.simulated = plan, ledger, say, simulated
        self._entries: Mapping[str, Mapping[str, float | None]] | None = None

    def record(self, trial: Trial) -> Progress:
        """Record what the table says of a trial's cell; a cell that it lacks is a failed trial.

        Raises InputError where the table is no longer what the sweep was planned with.
        """
        assert isinstance(trial.config, LookupConfig)
        started, cell = datetime.now(UTC), trial.config.genotype
        row = {
            "trial_id": trial.id,
            "sweep": self.plan.sweep.name,
            "stage": trial.stage,
            "setting": trial.setting,
            "seed": trial.seed,
            "parent": trial.parent,
            "genotype": cell,
            "attempt": self.ledger.attempts_failed(trial.id) + 1,
            "host": socket.gethostname(),
            "started_at": started,
            "data": trial.data,
            "config": canonical_config(trial.stage, trial.config, trial.data),
            **versions(),
        }
        found = self._made_up(trial.id) if self.simulated else self.entries().get(cell)
        if found is None:
            error = self._not_found(cell)
            row |= {"state": "failed", "error_kind": "not_found", "error": error, "finished_at": datetime.now(UTC)}
            recorded = self.ledger.record(row)
            progress = Progress(trial.id, "failed", 0, error=error, kind="not_found")
        else:
            device = simulation.DEVICE if self.simulated else None
            row |= {"state": "finished", "device": device, "finished_at": datetime.now(UTC), **found}
            recorded = self.ledger.record(row)
            accuracy = next(value for name in _SHOWN if (value := found.get(name)) is not None)
            progress = Progress(trial.id, "finished", 0, accuracy, cell)
        return progress if recorded else Progress(trial.id, "present", 0)

    def keep_table(self) -> None:
        """Make the ledger's copy where there is none: before anything runs, since an official file takes minutes."""
        name = benchmark_id(self.plan)
        if name is not None and not self.simulated and not self.ledger.has_benchmark(name):
            self._copy(name)

    def check(self, optuna: Optuna) -> None:
        """Raise InputError where suggestions would be judged by an accuracy that the table does not have."""
        asked = [objective.metric for objective in optuna.objectives if objective.stage == "lookup"]
        for metric in () if self.simulated else asked:
            if all(entry[metric] is None for entry in self.entries().values()):
                raise InputError(
                    f"{self.plan.sweep.where('optuna', 'objectives')}: no cell of the benchmark table has {metric}; "
                    "judge by an accuracy that it has, or say under lookup.columns what it is called there"
                )

    def entries(self) -> Mapping[str, Mapping[str, float | None]]:
        """What the table says, by cell; read from the ledger's copy, which is made where there is none."""
        if self._entries is None:
            name = benchmark_id(self.plan)
            self.keep_table()
            copy = self.ledger.benchmark(name)
            assert copy is not None
            rows: list[dict[str, Any]] = copy[["genotype", *COLUMNS]].to_dict("records")  # type: ignore[assignment]
            self._entries = {
                row["genotype"]: {name: None if row[name] != row[name] else row[name] for name in COLUMNS}
                for row in rows
            }
        return self._entries

    def _copy(self, name: str) -> None:
        lookup = self.plan.sweep.lookup
        assert lookup is not None
        self._say(f"note: the benchmark table {lookup.path} is read, once for this storage")
        entries = read(lookup.path, lookup.columns)
        found = fingerprint_of(BENCHMARK, lookup.path)
        if found != self.plan.lookup_data:
            raise InputError(
                f"lookup.path: {lookup.path} is {found} now, and the sweep was planned with {self.plan.lookup_data}; "
                "run the same command again"
            )
        self.ledger.add_benchmark(name, entries)

    def _not_found(self, cell: str) -> str:
        """What to say of a cell that the table lacks; one that computes the same is another training's result."""
        same = function_of(cell)
        twin = next((other for other in self.entries() if function_of(other) == same), None)
        said = f"the cell {cell} is not in the benchmark table ({len(self.entries()):,} cells, {self.plan.lookup_data})"
        if twin is not None:
            said += f"; the isomorphic {twin} is, but what another training reached is not taken for this one's"
        return f"{said}; look cells up in a table of all cells"

    def _made_up(self, trial_id: str) -> dict[str, float]:
        dice = random.Random(trial_id)
        return {name: dice.uniform(40, 94) for name in COLUMNS}


_SHOWN = ("lookup_cifar10_test", *COLUMNS)
"""The accuracy that a person is told while a sweep runs is the first of these that the table has."""
