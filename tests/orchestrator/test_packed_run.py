"""Packing as Ray schedules it, on GPUs that are none: so many trials at once on each, and one that needs more alone."""

import contextlib
import dataclasses
import io
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import ray
from driver import write_sweep

import orchestrator.trainable as trainable
from orchestrator.cluster.probing import Probe
from orchestrator.cluster.ray_backend import Work, run_connected
from orchestrator.frontier import Frontier
from orchestrator.interruption import Interruption
from orchestrator.job import Job
from orchestrator.ledger import Ledger
from orchestrator.packing import Card, Need, Shape
from orchestrator.plan import make_plan
from orchestrator.progress import Lines, Tracker
from orchestrator.scheduler import Run
from orchestrator.spec import load_sweep
from orchestrator.storage import LocalStorage
from stcnas_core.errors import InputError
from stcnas_core.search import Search

pytestmark = [pytest.mark.slow, pytest.mark.alone]

GPU = {"cpus": 0.5, "gpus": "auto"}


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    """Four cores and two GPUs as far as Ray knows."""
    os.environ.pop("RAY_ADDRESS", None)
    # Workers cannot import a test.
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    ray.init(
        address="local", num_cpus=4, logging_level="ERROR", num_gpus=2, include_dashboard=False, log_to_driver=False
    )
    yield
    ray.shutdown()


class Trials:
    """Searches that note where they are, begin when so many are there, and compute on the CPU."""

    def __init__(self, folder: Path, together: int, out_of_memory: tuple[int, ...]) -> None:
        self.folder, self.together, self.out_of_memory = folder, together, out_of_memory

    def __call__(self, job: Job) -> Iterator[Any]:
        mark = self.folder / f"{os.environ['CUDA_VISIBLE_DEVICES']}@{job.id[:6]}-{job.stage}-{job.seed}-{job.gpus}"
        mark.write_text("")
        (self.folder / "seen").open("a").write(f"{[file.name for file in self.folder.glob('*@*')]}\n")
        run_epoch = Search.run_epoch
        try:
            trainable.device_of = lambda job: "cpu"
            if job.stage == "search" and job.seed in self.out_of_memory and job.gpus < 1:
                Search.run_epoch = _no_memory
            end = time.monotonic() + 60
            while (self.folder / "seen").read_text().count("\n") < self.together and time.monotonic() < end:
                time.sleep(0.05)
            time.sleep(0.3)
            yield from trainable.run_trial(job)
        finally:
            Search.run_epoch = run_epoch
            mark.unlink()

    def seen(self) -> list[list[str]]:
        """Who ran, at each start of a trial."""
        return [eval(line) for line in (self.folder / "seen").read_text().splitlines()]


def _no_memory(search: Search) -> Any:
    import torch

    raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")


class Probed:
    """A card of 10 GB, on which a search of two channels needs 3, of four too much, and of eight nobody knows."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def card(self) -> Card:
        return Card("Fake 10", 10 * 10**9)

    def measure(self, shape: Shape) -> Need:
        (self.folder / "measured").open("a").write(f"{shape.named()} {os.environ['CUDA_VISIBLE_DEVICES']}\n")
        if shape.config.channels > 4:
            raise ValueError("no such images")
        return Need(None if shape.config.channels > 3 else 3 * 10**9)

    def measured(self) -> list[str]:
        file = self.folder / "measured"
        return file.read_text().splitlines() if file.exists() else []


@dataclasses.dataclass
class Ran:
    trials: Trials
    probed: Probed
    records: pd.DataFrame
    failures: list[Path]
    said: str


def run(folder: Path, *, together: int = 1, out_of_memory: tuple[int, ...] = (), **changes: Any) -> Ran:
    changes.setdefault("retrain", None)
    plan = make_plan(load_sweep(write_sweep(folder / "s.yaml", **changes)))
    ledger = Ledger(LocalStorage(folder / "results"))
    ledger_states = ledger.states(trial.id for trial in plan.trials({}))
    out = io.StringIO()
    missing = [trial for trial in plan.trials({}) if ledger_states[trial.id] == "missing"]
    tracker = Tracker(missing, plan.epochs, time.monotonic)
    state = Run(plan, ledger, Frontier(plan, ledger_states, {}, ledger.has), Lines(tracker, out))
    trials, probed = Trials(folder, together, out_of_memory), Probed(folder)
    probe = Probe(lambda: probed.card(), lambda shape: probed.measure(shape))
    with contextlib.redirect_stdout(io.StringIO()):
        run_connected(state, Interruption(), work=Work(trials, probe))
    failures = sorted((folder / "results" / "failures").glob("*/*"))
    return Ran(trials, probed, ledger.trials(), failures, out.getvalue())


def test_measured_memory_becomes_trials_at_once(tmp_path: Path) -> None:
    ran = run(tmp_path, together=4, resources={"search": GPU}, seeds=[0, 1, 2, 3, 4, 5])
    # 10 GB over 3 GB with headroom and a context: two to a card, on two cards.
    assert ran.probed.measured() == ["search stc (1 cells, C=2, batch 32) 0"]
    assert "needs 3.00 GB on Fake 10, 2 to a GPU" in ran.said
    by_card = [[name.split("@")[0] for name in names] for names in ran.trials.seen()]
    assert {card for cards in by_card for card in cards} == {"0", "1"}
    assert max(cards.count(card) for cards in by_card for card in cards) == 2
    assert max(map(len, by_card)) == 4
    assert ran.records["state"].tolist() == ["finished"] * 6
    assert ran.records["shared_device"].all()

    # More seeds of the same shape: what was measured is known.
    again = run(tmp_path, resources={"search": GPU}, seeds=[8])
    assert len(again.probed.measured()) == 1
    assert len(again.records) == 7


def test_out_of_memory_comes_back_once_alone(tmp_path: Path) -> None:
    ran = run(tmp_path, resources={"search": {"cpus": 0.5, "gpus": 0.25}}, seeds=[0, 1, 2], out_of_memory=(1,))
    assert ran.probed.measured() == []
    found = ran.records.set_index("seed")
    assert found["state"].tolist() == ["finished"] * 3
    assert found["shared_device"].to_dict() == {0: True, 1: False, 2: True}
    assert found["attempt"].to_dict() == {0: 1, 1: 2, 2: 1}
    (failure,) = ran.failures
    noted = pd.read_parquet(failure)
    assert noted["error_kind"].tolist() == ["out_of_memory"]
    assert "it starts again, alone on its device" in ran.said
    # Alone means alone: nobody else on its card while it ran.
    for names in ran.trials.seen():
        own = [name for name in names if name.endswith("search-1-1.0")]
        assert not own or sum(name.split("@")[0] == own[0].split("@")[0] for name in names) == 1
    # An explicit share is kept: four on a card at most, and never another share.
    shares = {name.rsplit("-", 1)[1] for names in ran.trials.seen() for name in names if "search-1-" not in name}
    assert shares == {"0.25"}


def test_what_needs_a_whole_card_or_cannot_be_measured_gets_one(tmp_path: Path) -> None:
    ran = run(tmp_path, together=2, resources={"search": GPU}, seeds=[0, 1], grid={"channels": [4, 8]})
    assert "C=4, batch 32) needs more than Fake 10 has" in ran.said
    assert "C=8, batch 32) could not be measured (ValueError: no such images); one to a GPU" in ran.said
    assert {name.rsplit("-", 1)[1] for names in ran.trials.seen() for name in names} == {"1.0"}
    assert max(map(len, ran.trials.seen())) == 2
    assert not ran.records["shared_device"].any()
    assert len(list((tmp_path / "results" / "packing").iterdir())) == 1


def test_what_no_node_has_is_refused_before_anything_is_measured(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"resources.search: a trial asks for 64 CPUs and 1 GPUs"):
        run(tmp_path, resources={"search": {"cpus": 64, "gpus": "auto"}})
    assert not (tmp_path / "measured").exists()
    assert not (tmp_path / "seen").exists()
