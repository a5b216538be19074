"""Runs what a plan lacks on a Ray cluster, as one Ray Tune experiment that the frontier feeds.

Tune is asked for nothing but scheduling: it keeps no results, no checkpoints and no state to restore, since the
ledger is the only truth.
"""

import contextlib
import json
import logging
import os
import secrets
import socket
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# Read by Ray and Tune when they are imported or started, hence before them.
os.environ.update(
    RAY_AIR_NEW_OUTPUT="0",
    RAY_CHDIR_TO_TRIAL_DIR="0",
    # By its name for other systems: without it, clusters of this machine alone would listen on all its interfaces.
    RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER="0",
    RAY_USAGE_STATS_ENABLED="0",
    # A worker that Ray starts ahead of any trial and that is killed then would leave ray.init waiting for it for ever.
    RAY_prestart_worker_first_driver="0",
    RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO="0",
    TUNE_DISABLE_AUTO_CALLBACK_LOGGERS="1",
    TUNE_DISABLE_SIGINT_HANDLER="1",
    TUNE_DISABLE_STRICT_METRIC_CHECKING="1",
    TUNE_GLOBAL_CHECKPOINT_S="86400",
    # No limit of Tune's: `Door` has its own.
    TUNE_MAX_PENDING_TRIALS_PG="1000000",
    TUNE_PRINT_ALL_TRIAL_ERRORS="0",
    TUNE_WARN_INSUFFICENT_RESOURCE_THRESHOLD_S="86400",
)

# Of a cluster of this machine alone: Ray would lower trials by 15, and whatever else computes here would starve them.
os.environ.setdefault("RAY_worker_niceness", "0")

import ray
from ray import tune
from ray.tune.schedulers import FIFOScheduler

from orchestrator.cluster import handover, probing, worker
from orchestrator.cluster.demands import Demands
from orchestrator.cluster.door import Door, Unkept
from orchestrator.cluster.guardian import guarded
from orchestrator.cluster.meters import Meters
from orchestrator.cluster.nodes import Look, alive_nodes, check_cluster, images_of
from orchestrator.cpus import usable_cpus
from orchestrator.interruption import Interruption
from orchestrator.job import Job
from orchestrator.plan import Trial
from orchestrator.scheduler import Run
from orchestrator.storage.environment import credentials_withheld, variables
from orchestrator.trainable import Progress, run_trial
from stcnas_core.errors import InputError


@dataclass(frozen=True)
class Work:
    """What workers do; tests and measurements of the engine's own cost put in something else."""

    trial: Callable[[Job], Iterator[Progress]] = run_trial
    probe: probing.Probe = field(default_factory=probing.Probe)


class _Stop(BaseException):
    """Carries an error out of Tune, which wraps or retries ordinary ones."""

    def __init__(self, error: Exception) -> None:
        self.error = error


class _Done(Exception):  # noqa: N818
    """Ends Tune's loop, cleanly, when nothing is left to run: Tune would go on to write the state of every trial, which
    takes a quarter of the driver's time and is read by nobody.
    """


def run_ray(run: Run, interruption: Interruption, address: str | None) -> None:
    """Run all that is missing on the cluster at `address`, on one of this machine's own where that is None.

    Raises Interrupted where a signal says so, InputError where the cluster, the storage or the data cannot be used;
    nothing was started where the cluster could never give what a trial asks for.
    """
    interruption.deferred = True
    try:
        with cluster(address, None if run.simulation is None else run.simulation.workers):
            interruption.listen()
            interruption.check()
            run_connected(run, interruption, many_nodes=address is not None)
    finally:
        interruption.deferred = False


def run_connected(run: Run, interruption: Interruption, *, many_nodes: bool = False, work: Work | None = None) -> None:
    """`run_ray` on the cluster that this process is connected to; `many_nodes` are checked for storage and versions."""
    work = work or Work()
    alive = alive_nodes()
    demands = Demands(run, [node["Resources"] for node in alive], Look())
    demands.check()
    # Referred to until this function ends, and so alive.
    offered = handover.offer(variables(run.ledger.storage.uri)) if many_nodes else None
    keeper = offered[0] if offered else None
    if many_nodes:
        _check_nodes(run, keeper)
    interruption.check()
    if shapes := demands.shapes():
        say = run.reporter.say
        demands.shares = probing.shares(shapes, alive, run.ledger.storage, work.probe, say, interruption.check)
    try:
        _fit(run, interruption, demands, work, keeper)
    except _Stop as stop:
        raise stop.error from None


@contextlib.contextmanager
def cluster(address: str | None, cpus: int | None = None) -> Iterator[None]:
    """A connection to a cluster, or a cluster of this machine alone, with its or `cpus` CPUs, that ends with the
    context.
    """
    if address is not None and address.startswith("ray://"):
        raise InputError(
            f"--address {address}: a Ray client connection cannot run a sweep; give host:port of the head node "
            "(port 6379), or submit the same command as a Ray job"
        )
    if address is not None:
        _check_reachable(os.environ.get("RAY_ADDRESS", "") if address == "auto" else address)
    # What goes wrong is told from what trials report; Ray's and Tune's own words repeat it at length.
    for name in ("ray", "ray.tune"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    quiet: dict[str, Any] = {
        "log_to_driver": False,
        "logging_level": logging.ERROR,
        "configure_logging": False,
    }
    if address is None:
        quiet |= {"num_cpus": cpus or usable_cpus(), "include_dashboard": False}
        # Ray's own token lies in a file that all users of the machine can read.
        os.environ.pop("RAY_AUTH_MODE", None)
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
    with contextlib.ExitStack() as ending:
        if address is None:
            ending.enter_context(guarded())
        _connect(address, quiet)
        # Ray prints what its nodes say to standard output, which may be read by a program.
        nowhere = ending.enter_context(Path(os.devnull).open("w", encoding="utf-8"))
        ending.enter_context(contextlib.redirect_stdout(nowhere))
        ending.callback(ray.shutdown)
        yield


def _connect(address: str | None, options: dict[str, Any]) -> None:
    try:
        ray.init(address=address or "local", **options)
    except Exception as error:  # bare ones too: a node that was too slow to start is one
        where = address or "this machine"
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(
            f"cannot use Ray at {where}: {reason}; a cluster that asks for a token needs RAY_AUTH_MODE=token and its "
            "RAY_AUTH_TOKEN in the environment, `--backend inline` needs no cluster"
        ) from None


@contextlib.contextmanager
def connected(address: str) -> Iterator[list[dict[str, Any]]]:
    """A connection to the cluster at `address`, with Ray's description of its nodes that live."""
    with cluster(address):
        yield alive_nodes()


def _check_nodes(run: Run, keeper: str | None) -> None:
    """Raise InputError that names the nodes that could not run the sweep's trials as this one would."""
    wrong = [check for check in check_cluster(run.ledger.storage, images_of(run.plan), keeper) if not check.ok]
    if wrong:
        told = "\n  ".join(f"{check.where}: {check.check}: {check.said}" for check in wrong)
        raise InputError(f"the cluster's nodes are not all ready for this sweep:\n  {told}")


def _check_reachable(address: str) -> None:
    """Ray tries for minutes to reach what is not there; a connection says it at once."""
    host, _, port = address.rpartition(":")
    if not address:
        return
    if not host or not port.isdecimal() or int(port) > 65535:
        raise InputError(f"--address {address}: must be host:port of the head node (port 6379), or auto")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
    except OSError as error:
        raise InputError(
            f"--address {address}: nothing answers there ({error.strerror or error}); give host:port of the head node "
            "(port 6379) of a cluster that runs"
        ) from None


def _fit(run: Run, interruption: Interruption, demands: Demands, work: Work, keeper: str | None) -> None:
    door = Door(run, demands, keeper)
    with tempfile.TemporaryDirectory(prefix="stcnas-tune-") as folder:
        tuner = tune.Tuner(
            tune.with_resources(worker.runs(work.trial), worker.bundle),
            tune_config=tune.TuneConfig(
                search_alg=door,
                scheduler=_Scheduler(door),
                num_samples=-1,
                reuse_actors=True,
                trial_name_creator=lambda trial: trial.config["id"],
                trial_dirname_creator=lambda trial: f"{trial.config['id']}-{trial.config['start']}",
            ),
            run_config=tune.RunConfig(
                name="run",
                storage_path=folder,
                verbose=0,
                # Starts after a failure are ours to decide (policy.py): each is another trial to Tune.
                failure_config=tune.FailureConfig(max_failures=0),
                callbacks=[_Listener(run, door, interruption)],
            ),
        )
        with credentials_withheld(), contextlib.suppress(_Done):
            tuner.fit()


class _Scheduler(Unkept, FIFOScheduler):
    """First come, first served, but of Tune's own mind while workers are being started.

    Tune's scheduler gives a free worker to the first trial that waits, whether or not a worker is being started for it.
    """

    def __init__(self, door: Door) -> None:
        super().__init__()
        self.door = door

    def choose_trial_to_run(self, tune_controller: Any) -> Any:
        """None leaves a free worker to a trial that is not placed yet."""
        if outgrown := self.door.outgrown():
            for trial in [one for one in tune_controller.get_live_trials() if one.trial_id in outgrown]:
                tune_controller.stop_trial(trial)
                self.door.withdraw(trial.config["id"])
        return super().choose_trial_to_run(tune_controller) if self.door.spare else None


class _Listener(Unkept, tune.Callback):
    """Hears what trials report, in the driver."""

    def __init__(self, run: Run, door: Door, interruption: Interruption) -> None:
        self.run, self.door, self.interruption = run, door, interruption
        self.error: Exception | None = None
        self.meters = Meters(run.plan.sweep.name, run.reporter.tracker, door.asked)

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:
        self.interruption.check()
        if self.error is not None:
            raise _Stop(self.error)
        self.run.reporter.beat()
        self.meters.beat()

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        if self.run.frontier.finished and self.error is None and all(trial.is_finished() for trial in trials):
            raise _Done

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        mine, _ = self._given(trial)
        self.door.begun(trial.trial_id, mine.id)
        self.run.reporter.begin(mine)

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        if "refused" in result:
            self.error = self.error or InputError(result["refused"])
        elif "broken" in result:
            self.error = self.error or RuntimeError(f"in a worker:\n{result['broken']}")
        elif "progress" in result:
            said = json.loads(result["progress"])
            self._guarded(trial, Progress(**{**said, "notices": tuple(said["notices"])}))

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        mine, job = self._given(trial)
        file = Path(trial.error_file or "")
        said = file.read_text(encoding="utf-8", errors="replace").strip() if file.is_file() else "no error text"
        try:
            self.run.died(job, mine, said)
        except InputError as error:
            self.error = self.error or error

    def _guarded(self, trial: Any, progress: Progress) -> None:
        try:
            self.run.heard(self._given(trial)[0], progress)
        except InputError as error:
            self.error = self.error or error

    def _given(self, trial: Any) -> tuple[Trial, Job]:
        return self.door.given[trial.config["id"]]
