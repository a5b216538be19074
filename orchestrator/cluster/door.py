"""Which trials Ray Tune is given, and when: what is ready, as there is room for it."""

import json
from typing import Any

from ray.tune.search import Searcher

from orchestrator.cluster.demands import Demands
from orchestrator.job import Job
from orchestrator.plan import Trial
from orchestrator.preflight import Demand
from orchestrator.scheduler import Run

SPARE = 4
"""Trials that wait for more places than there are."""


class Unkept:
    """Stays what it is: Tune pickles what it is given in order to restore it, and nothing here is ever restored."""

    def __reduce__(self) -> Any:
        return object, ()

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return self


class Door(Unkept, Searcher):
    """Hands the frontier's trials to Tune as they become ready and as there is room for them.

    A worker that is free takes a trial that Tune has not placed yet, or else one that it has, and then Tune ends the
    worker that was started for that one, even while it starts, which takes seconds. So until all workers are there,
    Tune is given no more trials than there are places. Then a few are, for whom an autoscaler may find more places.
    """

    def __init__(self, run: Run, demands: Demands, keeper: str | None) -> None:
        super().__init__()
        self.run, self.demands, self.keeper = run, demands, keeper
        self.given: dict[str, tuple[Trial, Job]] = {}
        self.starts = 0
        self.places, self.spare = demands.slots(), 0
        self.inside: set[str] = set()
        """Tune's names of the trials that it was given and that have not ended."""
        self.running: set[str] = set()
        self.waiting: dict[str, tuple[str, Demand]] = {}
        """Trials that wait for devices of their own, which others must not take bit by bit: Tune's name of each, and
        what it asked for.
        """

    def suggest(self, trial_id: str) -> Any:
        if len(self.inside) >= self.places + self.spare:
            return None
        # What nodes that are gone would have to give is not waited for.
        if any(self.demands.possible(demand) for _, demand in self.waiting.values()):
            return None
        trial = self.run.frontier.take()
        if trial is None:
            return Searcher.FINISHED if self.run.frontier.finished else None
        self.inside.add(trial_id)
        demand = self.demands.of(trial)
        job = self.run.job(trial, demand.gpus, demand.shares_device(self.demands.nodes), demand.devices)
        self.given[trial.id] = (trial, job)
        if trial.id in self.run.alone or demand.devices > 1:
            self.waiting[trial.id] = (trial_id, demand)
        self.starts += 1
        resources = {"CPU": demand.cpus, **({"GPU": demand.gpus} if demand.gpus else {})}
        return {
            "id": trial.id,
            "start": self.starts,
            "resources": resources,
            "devices": demand.devices,
            "job": json.dumps(job.to_dict()),
            "keeper": self.keeper,
        }

    def asked(self, trial: Trial) -> tuple[float, float]:
        """CPUs and GPUs that a trial holds."""
        demand, devices = self.demands.of(trial), self.given[trial.id][1].devices
        return demand.cpus * devices, demand.gpus * devices

    def outgrown(self) -> list[str]:
        """Trials, by Tune's names, that wait for more devices than are left, and would start with fewer."""
        found: list[str] = []
        for name, (trial_id, demand) in self.waiting.items():
            if not self.demands.possible(demand) and self.demands.of(self.given[name][0]) != demand:
                found.append(trial_id)
        return found

    def withdraw(self, name: str) -> None:
        """A trial that was given to Tune has not begun and is to be given again."""
        del self.waiting[name]
        self.run.frontier.again(self.given[name][0])

    def begun(self, trial_id: str, name: str) -> None:
        """Note that a trial, by Tune's name and by ours, is with a worker."""
        self.waiting.pop(name, None)
        self.running.add(trial_id)
        if len(self.running) >= self.places:
            self.places, self.spare = len(self.running), SPARE

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """A trial has left its worker; the listener has heard how."""
        self.inside.discard(trial_id)
        self.running.discard(trial_id)

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the ledger is the state."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: the ledger is the state."""
