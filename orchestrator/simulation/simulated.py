"""Schedules simulated trials on workers that share one process.

It is a simulation of events, in the order of simulated time: each worker's next epoch ends when it would.
What a worker does, its checkpoints and its record, is what `run_trial` does for a real one.
"""

import heapq
import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass

from orchestrator.interruption import Interruption
from orchestrator.job import Job
from orchestrator.plan import Trial
from orchestrator.progress import named
from orchestrator.scheduler import WAIT, Run
from orchestrator.simulation import Simulation
from orchestrator.simulation.play import WorkerDeath, play
from orchestrator.simulation.script import Script
from orchestrator.trainable import Progress, run_trial

RESTART_SECONDS = 10.0
"""Simulated time from a worker's death to the next start of its trial."""


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
    return worker.script.epochs[epoch]["device_seconds"] / worker.job.devices
