"""Hundreds of simulated trials through the real plan, frontier, ledger, checkpoints and report; workers die."""

import os
import signal
from pathlib import Path

import pandas as pd
import pytest
from driver import Driver, wait_for, write_sweep

from orchestrator.plan import make_plan
from orchestrator.simulation import check_real, claim, fingerprint
from orchestrator.spec import load_sweep
from orchestrator.storage import LocalStorage
from stcnas_core.errors import InputError

TEN_THOUSAND = Path(__file__).with_name("ten_thousand.yaml")
GRID = {"noise": [0.1, 0.2, 0.3, 0.4, 0.5], "lr": [0.01, 0.025, 0.05]}


def write(folder: Path, seeds: int) -> Path:
    """A sweep of fifteen searches a seed and up to as many retrainings."""
    return write_sweep(folder / "s.yaml", search={"epochs": 3}, grid=GRID, seeds=list(range(seeds)))


def trials(storage: Path) -> pd.DataFrame:
    return pd.read_parquet(storage / "trials").sort_values("trial_id", ignore_index=True)


def test_hundreds_of_trials_with_dying_workers(driver: Driver, tmp_path: Path) -> None:
    sweep = write(tmp_path, seeds=7)
    done = driver.run("simulate", sweep, "--workers", "16", "--deaths", "0.1")
    assert done.returncode == 0, done.stderr
    deaths = done.stdout.count("its worker died")
    assert deaths > 5
    found = trials(driver.storage)
    planned = driver.json("plan", sweep)["trials"]
    assert sorted(trial["id"] for trial in planned) == list(found["trial_id"])
    assert len(found) > 150
    assert (found["attempt"] - 1).sum() == deaths
    assert set(found["device"]) == {"simulated"}
    assert set(found["data"]) == {"digits@simulated"}
    assert not list((driver.storage / "checkpoints").rglob("*.ckpt"))
    epochs = pd.read_parquet(driver.storage / "epochs")
    assert (
        epochs.groupby("trial_id")["epoch"].apply(list).map(len) == found.set_index("trial_id")["epochs_done"]
    ).all()

    # The same trials without deaths and with another number of workers have the same outcome.
    calm = Driver(tmp_path / "calm")
    several = ("--set", "resources.retrain.devices=[2, 8]")
    assert calm.run("simulate", sweep, "--workers", "3", "--set", "seeds=[0, 1]", *several).returncode == 0
    same = ["trial_id", "genotype", "valid_accuracy", "test_accuracy", "params", "config"]
    fewer = trials(calm.storage)
    assert len(fewer) > 30
    assert set(fewer.query("stage == 'retrain'")["devices"]) == {2}
    known = found[found["trial_id"].isin(fewer["trial_id"])].reset_index(drop=True)
    pd.testing.assert_frame_equal(known[same], fewer[same])

    before = driver.records()
    assert driver.run("simulate", sweep).returncode == 0
    assert driver.records() == before
    reported = driver.run("report", sweep)
    assert reported.returncode == 0, reported.stderr
    assert "holds simulated records" in reported.stderr
    page = (driver.storage / "report" / "tiny" / "index.html").read_text(encoding="utf-8")
    assert "Simulated, no result" in page


def test_a_killed_driver_goes_on(driver: Driver, tmp_path: Path) -> None:
    sweep = write(tmp_path, seeds=2)
    process = driver.start("simulate", sweep, "--workers", "8", "--speed", "100")
    wait_for(lambda: len(list((driver.storage / "trials").glob("*.parquet"))) > 20)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    before = driver.records()
    assert driver.run("simulate", sweep, "--workers", "8").returncode == 0
    after = driver.records()
    assert {name: after[name] for name in before} == before
    assert len(after) == len(driver.json("plan", sweep)["trials"])


@pytest.mark.slow
@pytest.mark.alone
def test_on_ray_workers_die_for_real(driver: Driver, tmp_path: Path) -> None:
    sweep = write_sweep(tmp_path / "s.yaml", retrain=None, seeds=list(range(8)))
    done = driver.run("simulate", sweep, "--backend", "ray", "--workers", "2", "--deaths", "0.3")
    assert done.returncode == 0, done.stderr
    found = trials(driver.storage)
    assert len(found) == 8
    assert set(found["state"]) == {"finished"}
    assert (found["attempt"] - 1).sum() == done.stdout.count("starts again") > 0


def test_recorded_searches_are_played(driver: Driver, sweep: Path, tmp_path: Path) -> None:
    assert driver.run("run", sweep, "--backend", "inline").returncode == 0
    real = trials(driver.storage)
    played = Driver(tmp_path / "played")
    done = played.run("simulate", sweep, "--recorded", driver.storage)
    assert done.returncode == 0, done.stderr
    found = trials(played.storage)
    same = ["stage", "seed", "genotype", "valid_accuracy", "test_accuracy", "params", "macs", "device_seconds"]
    ordered = [frame.sort_values(["stage", "seed"], ignore_index=True)[same] for frame in (real, found)]
    pd.testing.assert_frame_equal(*ordered)
    assert not set(real["trial_id"]) & set(found["trial_id"])


def test_simulated_and_real_records_never_meet(driver: Driver, sweep: Path, tmp_path: Path) -> None:
    assert driver.run("simulate", sweep).returncode == 0
    before = driver.records()
    refused = driver.run("run", sweep, "--backend", "inline")
    assert refused.returncode == 2
    assert "holds simulated records" in refused.stderr
    assert driver.records() == before

    real = LocalStorage(tmp_path / "real")
    check_real(real)
    real.create("trials/0123456789abcdef0123.parquet", b"x")
    with pytest.raises(InputError, match="holds a real ledger"):
        claim(real)

    ids = {trial.id for trial in make_plan(load_sweep(sweep)).searches}
    assert not ids & {trial.id for trial in make_plan(load_sweep(sweep), fingerprint).searches}


@pytest.mark.parametrize("option", ["--workers=0", "--deaths=1", "--speed=-1", "--speed=nan"])
def test_impossible_simulations_are_refused(driver: Driver, sweep: Path, option: str) -> None:
    done = driver.run("simulate", sweep, option)
    assert done.returncode == 2, done.stderr
    assert not driver.storage.exists()


def test_ten_thousand_trials_are_planned() -> None:
    assert len(make_plan(load_sweep(TEN_THOUSAND), fingerprint).trials({})) == 11_600
