"""Disjoint parts of one plan, for drivers that share its ledger."""

import dataclasses
import re
from dataclasses import dataclass

from orchestrator.plan import Plan
from stcnas_core.errors import InputError

MOST = 1000


@dataclass(frozen=True)
class Shard:
    """The `index`-th of `of` parts, counted from 1."""

    index: int
    of: int

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """From `i/n`; raises InputError for anything else."""
        found = re.fullmatch(r"(\d{1,4})/(\d{1,4})", text, re.ASCII)
        shard = cls(int(found[1]), int(found[2])) if found else None
        if shard is None or not 1 <= shard.index <= shard.of <= MOST:
            raise InputError(
                f"--shard {text[:40]}: must be i/n with i from 1 to n and n up to {MOST}, as in 1/2 and 2/2"
            )
        return shard

    def __str__(self) -> str:
        return f"{self.index}/{self.of}"

    def holds(self, trial_id: str) -> bool:
        """Whether a search belongs here: by its id, so wherever and in whatever sweep it appears."""
        return int(trial_id, 16) % self.of == self.index - 1

    def part(self, plan: Plan) -> Plan:
        """The plan of this shard: its searches and what they ask for, its share of what is done with given cells.

        Raises InputError for a sweep whose settings are suggested.
        """
        if plan.sweep.optuna is not None:
            raise InputError(
                f"--shard {self}: Optuna's suggestions are made by one driver, each knowing those before it; leave "
                "--shard out and raise optuna.parallel, which keeps a cluster busy"
            )
        searches, given = (
            tuple(trial for trial in trials if self.holds(trial.id)) for trials in (plan.searches, plan.given)
        )
        return dataclasses.replace(plan, searches=searches, given=given)
