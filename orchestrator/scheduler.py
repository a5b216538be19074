"""Runs what a plan lacks: the part that both backends share, and the one that needs no cluster."""

import dataclasses
import time
from dataclasses import dataclass, field
from functools import cached_property, partial

from orchestrator.checkpoints import Checkpoints
from orchestrator.frontier import Frontier
from orchestrator.interruption import Interruption
from orchestrator.job import Job
from orchestrator.ledger import Ledger
from orchestrator.lookups import Lookups
from orchestrator.overview import derived_on_the_way, look_up
from orchestrator.place import ensure
from orchestrator.plan import NOTHING, Plan, Stage, Trial
from orchestrator.policy import RULES, Kind, Outcomes, Restarts
from orchestrator.preflight import gpus_of
from orchestrator.progress import Reporter
from orchestrator.simulation import Simulation
from orchestrator.studies.study import Study
from orchestrator.trainable import Progress, run_trial

_DEATHS = {"lost": "its process or node died", "hung": "it hung", "preempted": "its node was taken away"}

WAIT = 0.5
"""Seconds between looks at what other drivers have."""


@dataclass
class Run:
    """One run of a plan: what can start, what started, and what is told of it."""

    plan: Plan
    ledger: Ledger
    frontier: Frontier
    reporter: Reporter
    outcomes: Outcomes = field(default_factory=Outcomes)
    alone: set[str] = field(default_factory=set)
    """Trials that ran out of memory beside others and get a device of their own."""
    restarts: Restarts = field(default_factory=Restarts)
    simulation: Simulation | None = None
    """How trials are played instead of run."""
    place: str | None = None
    """Name of the storage, where it has one."""
    study: Study | None = None
    """Makes the suggestions of a sweep whose settings Optuna fills."""
    _proceeding: bool = False

    @cached_property
    def lookups(self) -> Lookups:
        """Answers from the sweep's benchmark table."""
        return Lookups(self.plan, self.ledger, self.reporter.say, simulated=self.simulation is not None)

    def job(self, trial: Trial, gpus: float, shared: bool, devices: int = 1) -> Job:
        """The job of a trial at the storage of this run; one that is played has the devices it asks for at least."""
        if self.simulation is not None and trial.stage == "retrain":
            devices = self.plan.sweep.resources.retrain.least
        job = Job.of(self.plan, trial, self.ledger.storage.uri, gpus, shared, trial.id in self.alone, devices)
        return dataclasses.replace(job, simulation=self.simulation, place=self.place)

    def heard(self, trial: Trial, progress: Progress) -> None:
        """A trial has said something; where it has ended, what waited for it becomes ready."""
        if progress.state == "crowded":
            self.alone.add(trial.id)
            self._again(trial, f"out of memory ({progress.error}); it starts again, alone on its device")
            return
        self.reporter.update(trial, progress)
        if progress.state == "running":
            return
        self._judge(trial, progress)
        derived = derived_on_the_way(self.plan, self.ledger, [trial.id] if progress.genotype else [])
        ready = self.frontier.ended(trial.id, progress.genotype, derived.get(trial.id, NOTHING))
        if trial.stage == "search":
            self.reporter.tracker.replan(self.plan.followers(trial, None), ready)
        self.proceed()

    def proceed(self) -> None:
        """Do what needs no worker, lookups and suggestions, until nothing is left of it."""
        if self._proceeding:
            return
        self._proceeding = True
        try:
            while True:
                self.look_up()
                given_up = partial(self.outcomes.hopeless, stage="search")
                grown = None if self.study is None else self.study.advance(self.frontier.finished, given_up)
                self.reporter.tracker.open_ended = self.study is not None and not self.study.ended
                if grown is None:
                    return
                self._grow(grown)
        finally:
            self._proceeding = False

    def look_up(self) -> None:
        """Look up the cells that wait for it, here and now: it takes no worker."""
        while (trial := self.frontier.take_lookup()) is not None:
            self.reporter.begin(trial)
            self.heard(trial, self.lookups.record(trial))

    def died(self, job: Job, trial: Trial, said: str) -> None:
        """A trial's process or node is gone: it starts again, or is recorded as failed; its checkpoint stays."""
        ensure(self.ledger.storage, self.place)
        if self.ledger.has(trial.id):
            # It died between its record and saying so; the next start finds the record and says it.
            self._again(trial, "its process or node died")
            return
        checkpoints = Checkpoints(self.ledger.storage)
        starts, epochs = checkpoints.progress(trial.id)
        attempt = max(starts, self.ledger.attempts_failed(trial.id) + 1)
        kind: Kind = "preempted" if "preempted" in said else "lost"
        if (where := checkpoints.hung(trial.id, attempt)) is not None:
            kind, said = "hung", where
        # Where and when it ran is known to the dead alone.
        unknown = {"host": None, "threads": None, "epochs_done": epochs}
        row = {**job.row(attempt), "state": "failed", "error_kind": kind, "error": said, **unknown}
        if self.restarts.allows(trial.id, kind, epochs):
            self.ledger.record_failure(row)
            self._again(trial, f"{_DEATHS[kind]}, it starts again")
            return
        summary = f"{_DEATHS[kind]} {(RULES[kind].restarts or 0) + 1} times without an epoch in between"
        self.ledger.record({**row, "error": f"{said}\n{summary}"})
        self.heard(trial, Progress(trial.id, "failed", epochs, error=summary, kind=kind))

    def give_up(self, setting: str, stage: Stage) -> None:
        """Start no more trials of a setting and stage, since all that ended failed."""
        held = self.frontier.hold(setting, stage)
        waiting = [later for trial in held if trial.stage == "search" for later in self.plan.followers(trial, None)]
        self.reporter.tracker.replan([*held, *waiting], [])
        left = f"the other {len(held)} are not started" if held else "none is left"
        self.reporter.say(f"note: {setting}: {stage} given up, all that ended failed; {left}")

    def _judge(self, trial: Trial, progress: Progress) -> None:
        """Give up a setting whose trials all fail, and take that back when one succeeds after all."""
        if progress.state == "present":
            return
        key = trial.setting, trial.stage
        self.outcomes.note(*key, progress.kind)
        if self.outcomes.hopeless(*key) and key not in self.frontier.held:
            self.give_up(*key)
        elif progress.kind is None and (freed := self.frontier.release(*key)):
            self.reporter.tracker.replan([], freed)

    def _again(self, trial: Trial, why: str) -> None:
        self.reporter.again(trial, why)
        self.frontier.again(trial)

    def _grow(self, plan: Plan) -> None:
        """Take up the searches by which the plan has grown; some may have records, of this sweep or of another."""
        new = tuple(trial for trial in plan.searches if trial.id not in self.frontier.searches)
        found = look_up(dataclasses.replace(plan, searches=new, given=()), self.ledger)
        trials = [trial for trial in found.trials if trial.id not in self.frontier.seen]
        self.plan = plan
        self.frontier.grow(plan, trials, found.states)
        self.reporter.tracker.replan([], [trial for trial in trials if found.states[trial.id] == "missing"])

    def gpus(self, stage: Stage, available: float) -> float:
        """GPUs for a trial of a stage where a cluster, or this machine, has so many."""
        if self.simulation is not None:
            return 0.0
        return gpus_of(getattr(self.plan.sweep.resources, stage).gpus, available)


def run_inline(run: Run, interruption: Interruption) -> None:
    """Run all that is missing one after the other in this process.

    Raises Interrupted where a signal says so, InputError where the storage or the data cannot be used.
    """
    import torch

    available = float(torch.cuda.device_count())
    while not run.frontier.finished:
        interruption.check()
        trial = run.frontier.take()
        if trial is None:
            run.reporter.beat()
            time.sleep(WAIT)
            continue
        run.reporter.begin(trial)
        job = run.job(trial, run.gpus(trial.stage, available), shared=False)
        # To end what hangs would be to end this process.
        for progress in run_trial(dataclasses.replace(job, hung_after_minutes=None)):
            run.heard(trial, progress)
            run.reporter.beat()
