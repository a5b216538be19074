"""One `stcnas run`, from what the ledger has to what a person is told at its end."""

import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TextIO

from orchestrator import place, preflight
from orchestrator.checkpoints import Checkpoints
from orchestrator.claims import Claims
from orchestrator.exits import FAILED_TRIALS, INTERRUPTED
from orchestrator.failures import attempts
from orchestrator.frontier import Frontier
from orchestrator.interruption import Interrupted, Interruption
from orchestrator.lease import Holder, Lease, Leases
from orchestrator.lookups import Lookups
from orchestrator.overview import Overview, examine
from orchestrator.plan import Trial
from orchestrator.progress import Tracker, described, reporter
from orchestrator.scheduler import Run, run_inline
from orchestrator.shard import Shard
from orchestrator.simulation import Simulation
from orchestrator.studies.study import Study


@dataclass(frozen=True)
class Options:
    """What the command line said."""

    sweep: Path
    storage: str
    profile: str | None
    overrides: tuple[str, ...]
    backend: str
    address: str | None
    retry_failed: bool
    simulation: Simulation | None = None
    """How trials are played instead of run, into a storage that is marked as simulated."""
    shard: Shard | None = None

    def command(self, verb: str, *more: str) -> str:
        """A command line of a verb on the same sweep; one that runs does so in the same place, the same shard."""
        if verb == "run" and self.simulation is not None:
            verb, more = "simulate", (*self.simulation.options(), *self._place())
        elif verb == "run":
            more = (*self._place(), *more)
        return command_line(verb, self.sweep, self.storage, self.profile, self.overrides, *more)

    def _place(self) -> tuple[str, ...]:
        backend = () if self.backend == "ray" and self.simulation is None else ("--backend", self.backend)
        address = () if self.address is None else ("--address", self.address)
        shard = () if self.shard is None else ("--shard", str(self.shard))
        return (*backend, *address, *shard)


def command_line(
    verb: str, sweep: Path, storage: str, profile: str | None, overrides: Sequence[str], *more: str
) -> str:
    """The command that does `verb` on a sweep, to be copied into a shell."""
    parts = ["stcnas", verb, str(sweep), "--storage", storage]
    parts += ["--profile", profile] if profile else []
    parts += [part for override in overrides for part in ("--set", override)]
    return shlex.join([*parts, *more])


def run(overview: Overview, options: Options, out: TextIO) -> int:
    """Run what is missing of the sweep, or of the shard; returns the exit code.

    Raises InputError where it cannot be run, also where another driver runs it.
    """
    _tell_counts(overview, out)
    if options.backend == "inline" and options.simulation is None:
        preflight.check_inline(overview.plan.sweep)
    whole, say = overview.plan, partial(print, file=out, flush=True)
    if options.shard is not None:
        overview = examine(options.shard.part(overview.plan), overview.ledger)
        _tell_counts(overview, out, f", shard {options.shard}")
    if options.simulation is None:
        Lookups(whole, overview.ledger, say).keep_table()
    again = options.retry_failed and overview.count("failed") > 0
    if not again and not overview.startable:
        return _conclude(overview, options, out)
    storage, name = overview.ledger.storage, overview.plan.sweep.name
    for warning in preflight.check_storage(storage):
        print(f"warning: {warning}", file=out)
    started = time.monotonic()
    lease = Lease(Leases(storage, name), Holder.here(options.shard), say)
    interruption = Interruption()
    try:
        with interruption:
            lease.acquire()
            with lease.kept(interruption.stop):
                # What the holder before this one did meanwhile counts.
                overview = examine(overview.plan, overview.ledger)
                overview = _forget_failed(overview) if again else overview
                _clear_leftovers(overview)
                if overview.startable:
                    _run(overview, options, out, interruption, lease)
    except Interrupted:
        # With the suggestions made meanwhile.
        overview = examine(overview.plan, overview.ledger)
        if interruption.reason is not None:
            print(interruption.reason, file=out)
        print(
            f"stopped with {overview.count('done')} of {len(overview.trials)} trials done{overview.plan.made}; "
            f"finished trials and epochs are kept, go on with: {options.command('run')}",
            file=out,
            flush=True,
        )
        return INTERRUPTED
    after = examine(overview.plan, overview.ledger)
    print(f"ran for {time.monotonic() - started:.0f} s", file=out)
    if options.shard is not None:
        _tell_counts(examine(whole, after.ledger), out)
    return _conclude(after, options, out)


def _run(overview: Overview, options: Options, out: TextIO, interruption: Interruption, lease: Lease) -> None:
    plan, ledger = overview.plan, overview.ledger
    tracker = Tracker(_reachable(overview), plan.epochs, time.monotonic)
    with reporter(tracker, out) as told:
        lease.say = told.say
        claims = None if options.shard is None else Claims(ledger.storage, plan.sweep.name, lease.me, told.say)
        frontier = Frontier(plan, overview.states, overview.genotypes, ledger.has, claims, overview.derived)
        state = Run(
            plan, ledger, frontier, told, overview.outcomes(), _crowded(overview), simulation=options.simulation
        )
        state.place = place.identify(ledger.storage)
        if plan.sweep.optuna is not None:
            state.study = Study(plan, ledger, told.say)
            state.lookups.check(plan.sweep.optuna)
        for setting, stage in overview.given_up():
            state.give_up(setting, stage)
        state.proceed()
        if state.frontier.finished:
            return
        if options.simulation is not None and options.backend == "inline":
            from orchestrator.simulation.simulated import run_simulated

            run_simulated(state, options.simulation, interruption)
            return
        if options.backend == "inline":
            run_inline(state, interruption)
        else:
            from orchestrator.cluster.ray_backend import run_ray

            run_ray(state, interruption, options.address)
        place.ensure(ledger.storage, state.place)


def _clear_leftovers(overview: Overview) -> None:
    """Checkpoints of trials whose worker was killed after the record and before it could remove them."""
    checkpoints = Checkpoints(overview.ledger.storage)
    for trial_id in checkpoints.epochs():
        if overview.states.get(trial_id) == "done":
            checkpoints.delete(trial_id)


def _reachable(overview: Overview) -> list[Trial]:
    """Missing trials whose search, if they wait for one, has not failed."""
    failed = {trial.id for trial in overview.trials if overview.states[trial.id] == "failed"}
    return [trial for trial in overview.missing if trial.config is not None or trial.parent not in failed]


def _crowded(overview: Overview) -> set[str]:
    """Missing trials that an earlier run left out of memory: they start alone at once."""
    missing = [trial.id for trial in overview.missing if trial.config is not None]
    return {row["trial_id"] for row in attempts(overview.ledger, missing) if row["error_kind"] == "out_of_memory"}


def _forget_failed(overview: Overview) -> Overview:
    for trial in overview.trials:
        if overview.states[trial.id] == "failed":
            overview.ledger.forget(trial.id)
    return examine(overview.plan, overview.ledger)


def _tell_counts(overview: Overview, out: TextIO, part: str = "") -> None:
    failed = overview.count("failed")
    print(
        f"{overview.plan.sweep.name}{part}: {len(overview.trials)} trials planned, {overview.count('done')} done, "
        + (f"{failed} failed, " if failed else "")
        + f"{overview.count('missing')} missing{overview.plan.made}",
        file=out,
        flush=True,
    )


def _conclude(overview: Overview, options: Options, out: TextIO) -> int:
    """Say how it ended and what to do next; returns the exit code."""
    for failure in overview.failures():
        name = described(*(failure[key] for key in ("stage", "setting", "seed", "retrain_seed")))
        print(
            f"failed: {name} ({failure['error_kind']}): {failure['error']}",
            file=out,
        )
    given_up = overview.given_up()
    for (setting, stage), count in given_up.items():
        print(
            f"stopped: {setting}: every {stage} that ended failed"
            + (f", the other {count} are not started" if count else ""),
            file=out,
        )
    failed, missing = overview.count("failed"), overview.count("missing")
    if failed:
        not_started = sum(given_up.values())
        waiting = f", {not_started} not started" if not_started else ""
        waiting += f", {missing - not_started} wait for them" if missing > not_started else ""
        print(
            f"{overview.count('done')} done, {failed} failed{waiting}; to run them again: "
            f"{options.command('run', '--retry-failed')}",
            file=out,
        )
    elif missing:
        raise RuntimeError(f"{missing} trials have no record although nothing failed: {overview.missing[0]}")
    else:
        of = "" if options.shard is None else f" of shard {options.shard}"
        print(f"all {len(overview.trials)} trials{of} are done{overview.plan.made}", file=out)
    print(f"report: {options.command('report')}", file=out, flush=True)
    return FAILED_TRIALS if failed else 0
