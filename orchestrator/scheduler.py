"""Runs what a plan lacks: the part that both backends share, and the one that needs no cluster."""

import dataclasses
from dataclasses import dataclass

from orchestrator.checkpoints import Checkpoints
from orchestrator.frontier import Frontier
from orchestrator.interruption import Interruption
from orchestrator.job import Job
from orchestrator.ledger import Ledger
from orchestrator.plan import Plan, Stage, Trial
from orchestrator.progress import Reporter
from orchestrator.trainable import Progress, run_trial
from stcnas_core.config import RetrainConfig


def epochs_of(plan: Plan, trial: Trial) -> int:
    """Epochs of a trial, also of a retraining whose cell is not known yet."""
    if trial.config is not None:
        return trial.config.epochs
    defaults = {field.name: field.default for field in dataclasses.fields(RetrainConfig)}
    return (plan.sweep.retrain or {}).get("epochs", defaults["epochs"])


@dataclass
class Run:
    """One run of a plan: what can start, what started, and what is told of it."""

    plan: Plan
    ledger: Ledger
    frontier: Frontier
    reporter: Reporter

    def job(self, trial: Trial, gpus: float, shared: bool) -> Job:
        """The job of a trial at the storage of this run."""
        return Job.of(self.plan, trial, self.ledger.storage.uri, gpus, shared)

    def heard(self, trial: Trial, progress: Progress) -> None:
        """A trial has said something; where it has ended, what waited for it becomes ready."""
        self.reporter.update(trial, progress)
        if progress.state == "running":
            return
        ready = self.frontier.ended(trial.id, progress.genotype)
        if trial.stage == "search":
            self.reporter.tracker.replan(self.plan.retrainings(trial, None), ready)

    def lost(self, job: Job, trial: Trial, error: str) -> None:
        """Record a trial whose processes died so often that it was given up; its checkpoint stays."""
        checkpoints = Checkpoints(self.ledger.storage)
        attempt, epochs = checkpoints.progress(job.id)
        row = {**job.row(max(1, attempt)), "state": "failed", "error_kind": "lost", "error": error}
        # Where and when it ran is known to the dead alone.
        row |= {"host": None, "threads": None, "epochs_done": epochs}
        self.ledger.record(row)
        self.heard(trial, Progress(trial.id, "failed", epochs, error=error.strip().splitlines()[-1]))

    def gpus(self, stage: Stage, available: float) -> float:
        """GPUs for a trial of a stage where a cluster, or this machine, has so many."""
        wanted = getattr(self.plan.sweep.resources, stage).gpus
        return min(1.0, float(available > 0)) if wanted == "auto" else wanted


def run_inline(run: Run, interruption: Interruption) -> None:
    """Run all that is missing one after the other in this process.

    Raises Interrupted where a signal says so, InputError where the storage or the data cannot be used.
    """
    import torch

    available = float(torch.cuda.device_count())
    while (trial := run.frontier.take()) is not None:
        interruption.check()
        run.reporter.begin(trial)
        for progress in run_trial(run.job(trial, run.gpus(trial.stage, available), shared=False)):
            run.heard(trial, progress)
            run.reporter.beat()
