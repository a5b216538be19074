"""Plays simulated trials: what stands in for a search in a worker, and a scheduler of workers that share one process.

The scheduler is a simulation of events, in the order of simulated time: each worker's next epoch ends when it would.
What a worker does, its checkpoints and its record, is what `run_trial` does for a real one.
"""

import heapq
import itertools
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NoReturn

from orchestrator.interruption import Interruption
from orchestrator.job import Job
from orchestrator.plan import Trial
from orchestrator.progress import named
from orchestrator.scheduler import WAIT, Run
from orchestrator.simulation import Script, Simulation, death, play
from orchestrator.trainable import Progress, run_trial

RESTART_SECONDS = 10.0
"""Simulated time from a worker's death to the next start of its trial."""


class WorkerDeath(BaseException):
    """A worker that shares its process with others has died: nothing after this point happens."""


@dataclass
class _Worker:
    trial: Trial
    job: Job
    script: Script
    trials: Iterator[Progress]


def run_simulated(run: Run, simulation: Simulation, interruption: Interruption) -> None:
    """Play all that is missing; a worker that dies loses its start, and its trial starts again.

    Raises Interrupted where a signal says so, InputError where the storage cannot be used.
    """
    order, began = itertools.count(), time.monotonic()
    events: list[tuple[float, int, _Worker]] = []
    now = 0.0

    def start(trial: Trial, job: Job, at: float) -> None:
        run.reporter.begin(trial)
        worker = _Worker(trial, job, play(job, simulation), run_trial(job))
        heapq.heappush(events, (at + _seconds(worker, 0), next(order), worker))

    while True:
        while len(events) < simulation.workers and (trial := run.frontier.take()) is not None:
            start(trial, run.job(trial, 0.0, shared=False), now)
        interruption.check()
        if not events:
            if run.frontier.finished:
                return
            # What is left waits for a driver of another shard.
            time.sleep(WAIT)
            continue
        now, _, worker = heapq.heappop(events)
        if simulation.speed:
            time.sleep(max(0.0, now / simulation.speed - (time.monotonic() - began)))
        try:
            progress = next(worker.trials)
        except WorkerDeath:
            run.reporter.say(f"note: {named(worker.trial)}: its worker died, it starts again")
            start(worker.trial, worker.job, now + RESTART_SECONDS)
            continue
        run.heard(worker.trial, progress)
        run.reporter.beat()
        if progress.state == "running":
            heapq.heappush(events, (now + _seconds(worker, progress.epochs), next(order), worker))


def _seconds(worker: _Worker, epoch: int) -> float:
    return worker.script.epochs[epoch]["device_seconds"]


class SimulatedRun:
    """Has the methods of a Search and a Retrain, and computes nothing."""

    def __init__(self, job: Job, simulation: Simulation, attempt: int) -> None:
        self.job, self.simulation = job, simulation
        self.script = play(job, simulation)
        self.dies_at = death(job, attempt, simulation)
        self.epoch = 0

    @property
    def finished(self) -> bool:
        """Whether all epochs are done."""
        return self.epoch >= self.job.config.epochs

    @property
    def genotype(self) -> Any:
        """The cell that the script ends with."""
        from stcnas_core.genotype import Genotype

        return Genotype.parse(self.script.genotype)

    def run_epoch(self) -> Any:
        """The script's next row, as the search's own type; dies here where this start was to die."""
        from stcnas_core.retrain import RetrainEpoch
        from stcnas_core.search import SearchEpoch

        if self.dies_at == self.epoch:
            self._die()
        row = self.script.epochs[self.epoch]
        if self.simulation.processes and self.simulation.speed:
            time.sleep(row["device_seconds"] / self.simulation.speed)
        self.epoch += 1
        kind = SearchEpoch if self.job.stage == "search" else RetrainEpoch
        # A recording of an older version lacks what this one measures.
        values: dict[str, Any] = {name: row.get(name) for name in kind.__dataclass_fields__}
        return kind(**values)

    def alpha_rows(self) -> list[dict[str, Any]]:
        """The script's alphas after the last epoch."""
        return self.script.alphas.get(self.epoch - 1, [])

    def cost(self) -> Any:
        """The script's cost; asked for just before the record, where a start may be meant to die."""
        from stcnas_core.cost import Cost

        if self.dies_at == self.epoch:
            self._die()
        return Cost(self.script.params, self.script.macs)

    def peak_memory(self) -> int:
        """Nothing was measured."""
        return 0

    def state_dict(self) -> dict[str, Any]:
        """Where the script is."""
        return {"epoch": self.epoch}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        self.epoch = int(state["epoch"])

    def _die(self) -> NoReturn:
        if self.simulation.processes:
            os.kill(os.getpid(), signal.SIGKILL)
        raise WorkerDeath
