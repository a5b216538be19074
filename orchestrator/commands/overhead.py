"""What the engine itself costs: trials that compute nothing, beside plain Ray Tune in the same run, and its answers.

The trials go through everything that real ones go through (plan, frontier, Tune, a worker, records), their training
aside. Plain Tune runs as many functions that report once, reusing its actors, with the same settings of Tune but how
many trials may wait, which is Tune's default.
"""

import contextlib
import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

from orchestrator.commands.trivial import rows, trivial
from orchestrator.cpus import usable_cpus
from orchestrator.frontier import Frontier
from orchestrator.interruption import Interruption
from orchestrator.job import Job
from orchestrator.ledger import Ledger
from orchestrator.overview import examine
from orchestrator.plan import Plan, make_plan
from orchestrator.progress import Lines, Tracker
from orchestrator.scheduler import Run
from orchestrator.spec import load_sweep
from orchestrator.storage import LocalStorage

Row = dict[str, Any]

_ROOT = Path(__file__).resolve().parents[2]


def measure(counts: Sequence[int], rounds: int, answers: int, out: TextIO) -> dict[str, Any]:
    """Cost of a trial for each count of trials, and seconds of answers about `answers` and ten times as many trials.

    Writes to temporary folders alone; `out` is told how far it is.
    """
    with tempfile.TemporaryDirectory(prefix="stcnas-overhead-") as folder:
        rows = _trials(counts, rounds, Path(folder), out)
        return {"rows": rows, "answers": _answers(answers, Path(folder), out), "cpus": usable_cpus()}


def _trials(counts: Sequence[int], rounds: int, folder: Path, out: TextIO) -> list[Row]:
    from orchestrator.cluster import ray_backend

    rows: list[Row] = []
    with ray_backend.cluster(None):
        _plain(2)
        for count in counts:
            plain, ours = [], []
            for number in range(rounds):
                # Whoever is second finds workers that are warmer, so they take turns.
                first, second = (_plain, plain), (lambda n: _ours(n, folder), ours)
                for run, seconds in (first, second) if number % 2 == 0 else (second, first):
                    started = time.perf_counter()
                    run(count)
                    seconds.append(time.perf_counter() - started)
            ratios = [mine / theirs for mine, theirs in zip(ours, plain, strict=True)]
            rows.append(
                {
                    "trials": count,
                    "plain_ms": statistics.median(plain) / count * 1000,
                    "stcnas_ms": statistics.median(ours) / count * 1000,
                    "ratio": statistics.median(ratios),
                }
            )
            print(
                f"{count} trials: {rows[-1]['stcnas_ms']:.1f} ms each, plain Tune {rows[-1]['plain_ms']:.1f} ms, "
                f"ratio {rows[-1]['ratio']:.2f}",
                file=out,
                flush=True,
            )
    return rows


def _plain(count: int) -> None:
    from ray import tune

    def nothing(config: dict[str, Any]) -> None:
        tune.report({"number": config["number"]})

    with (
        tempfile.TemporaryDirectory(prefix="stcnas-plain-") as folder,
        contextlib.redirect_stderr(io.StringIO()),
        _without("TUNE_MAX_PENDING_TRIALS_PG"),
    ):
        tune.Tuner(
            tune.with_resources(nothing, {"cpu": 1}),
            param_space={"number": tune.grid_search(list(range(count)))},
            tune_config=tune.TuneConfig(reuse_actors=True),
            run_config=tune.RunConfig(name="plain", storage_path=folder, verbose=0),
        ).fit()


@contextlib.contextmanager
def _without(variable: str) -> Iterator[None]:
    """Take a variable out of the environment for a while."""
    value = os.environ.pop(variable)
    try:
        yield
    finally:
        os.environ[variable] = value


def _ours(count: int, folder: Path) -> None:
    from orchestrator.cluster.ray_backend import Work, run_connected

    storage = Path(tempfile.mkdtemp(dir=folder))
    plan, ledger = _plan(count, storage), Ledger(LocalStorage(storage))
    overview = examine(plan, ledger)
    tracker = Tracker(overview.missing, plan.epochs, time.monotonic)
    frontier = Frontier(plan, overview.states, overview.genotypes, ledger.has)
    run_connected(Run(plan, ledger, frontier, Lines(tracker, io.StringIO())), Interruption(), work=Work(trivial))
    done = examine(plan, ledger).count("done")
    if done != count:
        raise RuntimeError(f"{done} of {count} trials have a record")


def _plan(count: int, folder: Path) -> Plan:
    return make_plan(load_sweep(_sweep(count, folder)))


def _sweep(count: int, folder: Path) -> Path:
    """Searches of digits: of one setting, or where there are more than 1,000, settings with 1,000 seeds each."""
    path = folder / "sweep.yaml"
    settings = max(1, count // 1000)
    noise = [number / 1000 for number in range(1, settings + 1)]
    path.write_text(
        "name: overhead\nsearch: {space: nasbench201, dataset: digits, epochs: 1}\n"
        f"grid: {{noise: {noise}}}\nseeds: {list(range(count // settings))}\n"
        "resources: {search: {cpus: 1, gpus: 0}}\n",
        encoding="utf-8",
    )
    return path


def _answers(count: int, folder: Path, out: TextIO) -> Row:
    """Seconds of whole commands, on records as a run would have written them."""
    few, many = folder / "few", folder / "many"
    for place, size in ((few, count), (many, 10 * count)):
        _finished(size, place)
    spent = {
        f"run_{count}_finished_s": _command("run", few),
        f"plan_{10 * count}_s": _command("plan", many),
        f"status_{10 * count}_s": _command("status", many),
        "start_up_s": _command("status", None),
    }
    for name, seconds in spent.items():
        print(f"{name}: {seconds:.2f}", file=out, flush=True)
    return spent


def _finished(count: int, folder: Path) -> None:
    """The ledger of a finished sweep; written without flushing, which for so many files would take minutes."""
    folder.mkdir()
    plan, uri = _plan(count, folder), str(folder / "results")
    flush, os.fsync = os.fsync, lambda descriptor: None
    try:
        ledger = Ledger(LocalStorage(Path(uri)))
        for trial in plan.searches:
            ledger.record(*rows(Job.of(plan, trial, uri, 0, True), 1))
    finally:
        os.fsync = flush


def _command(verb: str, folder: Path | None) -> float:
    """Seconds of the fastest of three `stcnas VERB`; of its start alone where there is no folder."""
    command = [sys.executable, "-m", "orchestrator", verb]
    command += ["--help"] if folder is None else [str(folder / "sweep.yaml"), "--storage", str(folder / "results")]
    command += ["--json"] if verb in ("plan", "status") and folder else []
    spent: list[float] = []
    for _ in range(3):
        started = time.perf_counter()
        done = subprocess.run(command, cwd=_ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        spent.append(time.perf_counter() - started)
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}: {done.stderr}")
        if folder is not None and verb != "run":
            json.loads(done.stdout)
    return min(spent)
