"""The trainable: real tiny searches, killed and resumed, failing, and already recorded."""

import dataclasses
import platform
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from driver import write_sweep

from orchestrator.checkpoints import Checkpoints
from orchestrator.job import Job
from orchestrator.ledger import Ledger
from orchestrator.plan import Plan, make_plan
from orchestrator.schema import TRIALS
from orchestrator.snapshots import snapshot_epochs
from orchestrator.soundness import unsound
from orchestrator.spec import load_sweep
from orchestrator.storage import LocalStorage
from orchestrator.trainable import Progress, run_trial
from orchestrator.verify import inspect
from stcnas_core.errors import InputError
from stcnas_core.genotype import Genotype
from stcnas_core.search import Search


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    return make_plan(load_sweep(write_sweep(tmp_path / "tiny.yaml", search={"epochs": 4})))


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(LocalStorage(tmp_path / "results"))


def job(plan: Plan, ledger: Ledger, **changes: Any) -> Job:
    return dataclasses.replace(Job.of(plan, plan.searches[0], ledger.storage.uri, 0, False), **changes)


def run(job: Job) -> Progress:
    *_, last = run_trial(job)
    return last


def comparable(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.drop(columns=["device_seconds", "step_seconds"])


def test_a_job_travels_as_plain_values(plan: Plan, ledger: Ledger) -> None:
    search = job(plan, ledger)
    assert Job.from_dict(search.to_dict()) == search


def test_records_a_search_and_its_retraining(plan: Plan, ledger: Ledger) -> None:
    search = plan.searches[0]
    said = list(run_trial(job(plan, ledger)))
    assert [(p.state, p.epochs) for p in said] == [("running", 1), ("running", 2), ("running", 3), ("finished", 4)]
    (retrain,) = plan.retrainings(search, said[-1].genotype)
    assert run(Job.of(plan, retrain, ledger.storage.uri, 0, False)).state == "finished"

    trials = ledger.trials().set_index("trial_id")
    found = trials.loc[search.id]
    assert Genotype.parse(found["genotype"]).canonical_text() == found["genotype"] == said[-1].genotype
    assert (found["state"], found["attempt"], found["epochs_done"], found["seed"]) == ("finished", 1, 4, 0)
    assert 0 <= found["valid_accuracy"] <= 100
    assert (found["search_epochs"], found["search_js_lambda"], found["search_space"]) == (4, "0->2", "nasbench201")
    assert pd.isna(found["retrain_epochs"])
    assert pd.isna(found["error"])
    assert found["device"] == "cpu"
    assert found["peak_memory_bytes"] > 10_000_000
    assert found["started_at"] <= found["finished_at"]
    assert (found["torch_version"], found["data"]) == (torch.__version__, search.data)
    trained = trials.loc[retrain.id]
    assert (trained["parent"], trained["retrain_seed"], trained["retrain_epochs"]) == (search.id, 0, 2)
    assert pd.isna(trained["search_epochs"])
    assert 0 <= trained["test_accuracy"] <= 100
    assert 0 < trained["step_seconds"] * 4 * 2 < trained["device_seconds"]
    assert trained["params"] > 0
    assert trained["macs"] > trained["params"]

    epochs = ledger.epochs().query("trial_id == @search.id")
    assert epochs["epoch"].tolist() == [0, 1, 2, 3]
    assert epochs["device_seconds"].sum() == pytest.approx(found["device_seconds"])
    # Two steps an epoch: 64 images of each half, 32 a batch.
    assert (epochs["step_seconds"] > 0).all()
    assert found["step_seconds"] == pytest.approx(epochs["step_seconds"].median())
    assert (epochs["step_seconds"] * 2 < epochs["device_seconds"]).all()
    assert epochs["genotype"].iloc[-1] == found["genotype"]
    alphas = ledger.alphas()
    assert alphas["epoch"].max() == 3
    assert len(alphas.query("epoch == 3")) == 6 * 5
    assert Checkpoints(ledger.storage).epochs() == {}


@pytest.mark.parametrize("after", [1, 3])
def test_resumes_as_if_never_killed(plan: Plan, tmp_path: Path, after: int) -> None:
    unbroken, broken = (Ledger(LocalStorage(tmp_path / name)) for name in ("unbroken", "broken"))
    run(job(plan, unbroken))
    for _ in range(2):
        trial = run_trial(job(plan, broken))
        for _ in range(after):
            next(trial, None)
        del trial
    last = run(job(plan, broken))
    assert last.state in ("finished", "present")
    pd.testing.assert_frame_equal(comparable(unbroken.epochs()), comparable(broken.epochs()))
    pd.testing.assert_frame_equal(unbroken.alphas(), broken.alphas())
    same = ["trial_id", "genotype", "valid_accuracy", "derived_accuracy", "params", "macs", "epochs_done", "config"]
    pd.testing.assert_frame_equal(unbroken.trials()[same], broken.trials()[same])
    assert broken.trials()["attempt"].item() == {1: 3, 3: 2}[after]


def test_runs_nothing_where_there_is_a_record(plan: Plan, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    first = run(job(plan, ledger))
    monkeypatch.setattr(Search, "run_epoch", lambda self: pytest.fail("an epoch ran"))
    (again,) = run_trial(job(plan, ledger))
    assert (again.state, again.genotype, again.accuracy) == ("present", first.genotype, first.accuracy)


def test_what_a_writer_left_that_died_right_after_its_record_goes(
    plan: Plan, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as killed:
        killed.setattr(Checkpoints, "delete", lambda *_: None)
        run(job(plan, ledger))
    (left,) = Checkpoints(ledger.storage).epochs()
    assert left == plan.searches[0].id
    assert run(job(plan, ledger)).state == "present"
    assert Checkpoints(ledger.storage).epochs() == {}


def test_a_record_that_another_run_wrote_meanwhile_stays(plan: Plan, ledger: Ledger) -> None:
    trial = run_trial(job(plan, ledger))
    next(trial)
    run(job(plan, ledger, setting="faster"))
    *_, last = trial
    assert last.state == "present"
    assert ledger.trials()["setting"].tolist() == ["faster"]


def test_divergence_is_a_record(tmp_path: Path, ledger: Ledger) -> None:
    plan = make_plan(load_sweep(write_sweep(tmp_path / "tiny.yaml", search={"lr": 1e30})))
    last = run(job(plan, ledger))
    assert last.state == "failed"
    row = ledger.trials().iloc[0]
    assert (row["state"], row["error_kind"]) == ("failed", "diverged")
    assert "Traceback" in row["error"]
    assert "DivergedError" in row["error"].splitlines()[-1]
    assert ledger.states([plan.searches[0].id]) == {plan.searches[0].id: "failed"}
    assert Checkpoints(ledger.storage).epochs() == {}


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (MemoryError(), "out_of_memory"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), "out_of_memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"), "out_of_memory"),
        (RuntimeError("shape mismatch"), "bug"),
        (InputError("this configuration is impossible"), "bug"),
    ],
)
def test_what_a_trial_raises_is_a_record_and_its_checkpoint_stays(
    plan: Plan, ledger: Ledger, monkeypatch: pytest.MonkeyPatch, error: Exception, kind: str
) -> None:
    real = Search.run_epoch

    def breaks(self: Search) -> Any:
        if self.epoch == 2:
            raise error
        return real(self)

    monkeypatch.setattr(Search, "run_epoch", breaks)
    assert run(job(plan, ledger, alone=True)).state == "failed"
    row = ledger.trials().iloc[0]
    assert (row["error_kind"], row["epochs_done"], row["attempt"]) == (kind, 2, 1)
    assert type(error).__name__ in row["error"]
    assert len(ledger.epochs()) == 2

    monkeypatch.setattr(Search, "run_epoch", real)
    ledger.forget(row["trial_id"])
    assert [p.epochs for p in run_trial(job(plan, ledger))] == [3, 4]
    assert ledger.trials()["attempt"].tolist() == [2]


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, SystemExit])
def test_interruption_is_no_failure(
    plan: Plan, ledger: Ledger, monkeypatch: pytest.MonkeyPatch, interruption: type[BaseException]
) -> None:
    def interrupted(self: Search) -> Any:
        raise interruption

    monkeypatch.setattr(Search, "run_epoch", interrupted)
    with pytest.raises(interruption):
        run(job(plan, ledger))
    assert ledger.ids() == set()


def test_other_data_than_planned_is_refused(plan: Plan, ledger: Ledger) -> None:
    with pytest.raises(InputError, match=r"the data set is digits@scikit-learn, but .* planned with digits@other"):
        run(job(plan, ledger, data="digits@other"))
    assert ledger.ids() == set()


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_a_gpu_that_is_not_there_is_refused(plan: Plan, ledger: Ledger) -> None:
    with pytest.raises(InputError, match="PyTorch finds no CUDA device"):
        run(job(plan, ledger, gpus=1.0))


@pytest.mark.parametrize("damage", ["cut", "foreign"])
def test_a_useless_checkpoint_is_told_and_passed_over(plan: Plan, ledger: Ledger, tmp_path: Path, damage: str) -> None:
    trial = run_trial(job(plan, ledger))
    next(trial)
    trial.close()
    name = plan.searches[0].id
    if damage == "cut":
        file = tmp_path / "results" / "checkpoints" / name / "000001.ckpt"
        file.write_bytes(file.read_bytes()[:1000])
    else:
        Checkpoints(ledger.storage).save(name, 1, {"run": {}, "epochs": "[]", "alphas": "[]", "peak_memory": 0})
    said = list(run_trial(job(plan, ledger)))
    assert [p.epochs for p in said] == [1, 2, 3, 4]
    assert any("checkpoint" in notice for p in said for notice in p.notices)
    assert said[-1].state == "finished"


@pytest.mark.parametrize(("usable", "expected"), [(8, 3), (2, 2)])
def test_computes_with_the_threads_it_may_and_leaves_them_as_they_were(
    plan: Plan, ledger: Ledger, monkeypatch: pytest.MonkeyPatch, usable: int, expected: int
) -> None:
    monkeypatch.setattr("orchestrator.surroundings.usable_cpus", lambda: usable)
    before = torch.get_num_threads()
    seen: list[int] = []
    for _ in _watched(run_trial(job(plan, ledger, cpus=3.5)), seen):
        pass
    assert set(seen[:-1]) == {expected}
    assert torch.get_num_threads() == before
    assert ledger.trials()["threads"].item() == expected


def _watched(said: Iterator[Progress], seen: list[int]) -> Iterator[Progress]:
    for progress in said:
        seen.append(torch.get_num_threads())
        yield progress


@pytest.mark.parametrize(
    ("epochs", "expected"), [(1, {1}), (3, {1, 2, 3}), (25, {1, *range(2, 25, 2), 25}), (50, {1, *range(5, 51, 5)})]
)
def test_alphas_are_kept_at_the_ends_and_in_between(epochs: int, expected: set[int]) -> None:
    assert snapshot_epochs(epochs) == expected


def test_methods_that_choose_and_one_that_draws_have_sound_records(tmp_path: Path, ledger: Ledger) -> None:
    search = {"epochs": 2, "candidates": 4, "candidate_batches": 1, "rank_every": 2, "rank_cells": 3, "rank_images": 32}
    methods = ["random", "rsps", "enas"]
    plan = make_plan(load_sweep(write_sweep(tmp_path / "s.yaml", search=search, grid={"method": methods}, seeds=[3])))
    for trial in plan.searches:
        assert run(Job.of(plan, trial, ledger.storage.uri, 0, False)).state == "finished"
    assert inspect(ledger).problems == []
    trials = ledger.trials().set_index("search_method")
    assert trials["epochs_done"].to_dict() == {"random": 1, "rsps": 2, "enas": 2}
    assert trials["valid_accuracy"].isna().to_dict() == {"random": True, "rsps": False, "enas": False}
    assert trials["step_seconds"].isna().to_dict() == {"random": True, "rsps": False, "enas": False}
    assert trials["params"].min() > 0
    assert len(ledger.alphas()) == 0
    assert ledger.ranks()["trial_id"].value_counts().to_dict() == dict.fromkeys(trials["trial_id"].drop("random"), 3)
    last = ledger.epochs().groupby("trial_id").last()
    assert last.loc[trials["trial_id"], "genotype"].tolist() == trials["genotype"].tolist()
    # A trained search without its accuracy is not one.
    (row,) = ledger.rows([trials.loc["rsps", "trial_id"]], TRIALS.names)
    assert unsound({**row, "valid_accuracy": None}) == ["valid_accuracy not recorded"]


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="nothing else is known to give freed memory back")
def test_memory_that_an_earlier_trial_needed_is_not_counted_to_the_next() -> None:
    program = (
        "import torch\n"
        "from orchestrator.surroundings import reset_peak_memory\n"
        "from stcnas_core.training import keep_freed_memory, peak_memory\n"
        "keep_freed_memory()\n"
        "blocks = [torch.ones(1 << 18) for _ in range(200)]\n"
        "print(peak_memory('cpu'))\n"
        "del blocks\n"
        "reset_peak_memory(None, 'cpu')\n"
        "print(peak_memory('cpu'))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    before, after = map(int, done.stdout.split())
    assert before - after > 150 << 20  # of 200 MiB
