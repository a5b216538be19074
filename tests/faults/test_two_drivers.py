"""Drivers beside each other, for real: one runs, a dead one is followed, shards share a sweep."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from driver import ROOT, Driver, wait_for, write_sweep
from faulty import until_begun

from orchestrator.lease import Holder, Leases
from orchestrator.shard import Shard
from orchestrator.storage import LocalStorage

pytestmark = [pytest.mark.slow, pytest.mark.alone]

SAME = ["trial_id", "state", "genotype", "valid_accuracy", "test_accuracy", "epochs_done", "config"]
INLINE = ("--backend", "inline")


@pytest.fixture
def long(tmp_path: Path) -> Path:
    return write_sweep(tmp_path / "s.yaml", search={"epochs": 60})


def newest(storage: Path) -> tuple[Path, dict[str, Any]] | None:
    """The newest file of who holds the sweep."""
    files = sorted((storage / "leases" / "tiny" / "log").glob("*.json"))
    return (files[-1], json.loads(files[-1].read_text())) if files else None


def ledger(storage: Path) -> pd.DataFrame:
    return pd.read_parquet(storage / "trials")[SAME].sort_values("trial_id", ignore_index=True)


def test_of_two_started_in_the_same_second_one_runs(driver: Driver, long: Path) -> None:
    two = [driver.start("run", long, *INLINE) for _ in range(2)]
    ends = [(process.communicate(timeout=240), process.returncode) for process in two]
    assert sorted(code for _, code in ends) == [0, 2]
    ((_, err), _), (winner,) = (
        next(end for end in ends if end[1] == 2),
        [process.pid for process in two if process.returncode == 0],
    )
    assert len(err.splitlines()) == 1
    assert f"is already being run by {Holder.here(None).user} on {Holder.here(None).host} (pid {winner}) since" in err
    trials = pd.read_parquet(driver.storage / "trials")
    assert len(trials) == 4
    assert (trials["attempt"] == 1).all()


def test_a_killed_driver_is_followed_at_once_and_status_names_it(driver: Driver, long: Path) -> None:
    process = driver.start("run", long, *INLINE)
    until_begun(driver, process, epochs=1)
    (alive,) = driver.json("status", long)["drivers"]
    assert (alive["pid"], alive["alive"], alive["shard"]) == (process.pid, True, None)
    refused = driver.run("run", long)
    assert refused.returncode == 2
    assert f"pid {process.pid}" in refused.stderr
    process.kill()
    process.communicate()
    (dead,) = driver.json("status", long)["drivers"]
    assert (dead["pid"], dead["alive"]) == (process.pid, False)
    start = time.monotonic()
    again = driver.start("run", long, *INLINE)
    wait_for(lambda: (newest(driver.storage) or (None, {}))[1]["holders"][0]["pid"] == again.pid)
    assert time.monotonic() - start < 30, "it does not wait until the lease expires"
    out, err = again.communicate(timeout=240)
    assert again.returncode == 0, err
    assert "taking over from" in out
    assert driver.json("status", long)["drivers"] == []
    assert pd.read_parquet(driver.storage / "trials")["attempt"].sum() == 5


def test_a_driver_that_died_on_another_machine_is_waited_for(driver: Driver, sweep: Path) -> None:
    gone = Holder.here(None)
    entry = {**vars(gone), "host": "far", "machine": "another", "heartbeat": 0.25}
    folder = driver.storage / "leases" / "tiny" / "log"
    folder.mkdir(parents=True)
    (folder / "00000001.json").write_text(json.dumps({"holders": [entry]}))
    done = driver.run("run", sweep, *INLINE)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert "on far" in lines[1]
    assert "waiting up to 2 s" in lines[1]
    assert lines[2].startswith("taking over from")


@pytest.mark.parametrize("backend", ["inline", pytest.param("ray", marks=pytest.mark.long)])
def test_a_driver_that_slept_through_a_takeover_stops(driver: Driver, long: Path, backend: str) -> None:
    program = "from orchestrator import cli, lease; lease.HEARTBEAT = 0.3; cli.main()"
    command = [sys.executable, "-c", program, "run", str(long), "--backend", backend, "--set", "search.epochs=2000"]
    process = subprocess.Popen(
        [*command, "--storage", str(driver.storage)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    driver.started.append(process)
    until_begun(driver, process, epochs=1)
    process.send_signal(signal.SIGSTOP)
    leases = Leases(LocalStorage(driver.storage), "tiny")
    other = Holder.here(None)
    assert leases.change(leases.holders()[0], [other])
    process.send_signal(signal.SIGCONT)
    out, err = process.communicate(timeout=240)
    assert process.returncode == 4, err
    assert err == ""
    assert f"tiny was taken over by {other.described()}" in out
    assert leases.holders()[1] == [other]
    wait_for(lambda: not driver.processes(), seconds=20)


def test_two_shards_at_once_equal_one_driver(driver: Driver, tmp_path: Path) -> None:
    # Few images, one epoch: several seeds find the same cell, in different shards.
    sweep = write_sweep(tmp_path / "s.yaml", search={"epochs": 1}, seeds=list(range(8)))
    whole = Driver(tmp_path / "whole")
    assert whole.run("run", sweep, *INLINE).returncode == 0
    found = (
        ledger(whole.storage)
        .query("genotype.notna()")
        .merge(pd.read_parquet(whole.storage / "trials")[["trial_id", "stage"]], on="trial_id")
    )
    searches = found[found["stage"] == "search"]
    parts = searches["trial_id"].map(Shard(1, 2).holds).groupby(searches["genotype"]).nunique()
    assert parts.max() == 2, "no cell is found in both shards"
    two = [driver.start("run", sweep, "--shard", f"{index}/2", *INLINE) for index in (1, 2)]
    leases = Leases(LocalStorage(driver.storage), "tiny")
    wait_for(lambda: len(leases.holders()[1]) == 2 or any(process.poll() is not None for process in two))
    for more in ([], ["--shard", "1/3"]):
        refused = driver.run("run", sweep, *more, *INLINE)
        assert refused.returncode in (0, 2)
        # All may have been done by then, and the two be about to end.
        assert refused.returncode == 2 or all(process.wait(timeout=240) == 0 for process in two)
    for process in two:
        out, err = process.communicate(timeout=240)
        assert process.returncode == 0, err
        assert "of shard" in out
    pd.testing.assert_frame_equal(ledger(driver.storage), ledger(whole.storage))
    assert (pd.read_parquet(driver.storage / "trials")["attempt"] == 1).all()
    assert not list(driver.storage.glob("claims/*/*"))
    status = driver.json("status", sweep)
    assert (status["missing"], status["drivers"]) == (0, [])
    again = driver.run("run", sweep, "--shard", "2/2")
    assert again.returncode == 0
    assert "all" in again.stdout.splitlines()[2]


@pytest.mark.parametrize("backend", ["inline", pytest.param("ray", marks=pytest.mark.long)])
def test_a_shard_waits_for_a_retraining_that_a_living_shard_has(driver: Driver, tmp_path: Path, backend: str) -> None:
    sweep = write_sweep(tmp_path / "s.yaml")
    whole = Driver(tmp_path / "whole")
    assert whole.run("run", sweep, *INLINE).returncode == 0
    trials = pd.read_parquet(whole.storage / "trials")
    part = next(f"{index}/2" for index in (1, 2) if any(map(Shard(index, 2).holds, searches_of(trials))))
    mine = Shard.parse(part)
    other = Holder.here(Shard(3 - mine.index, 2))
    storage = LocalStorage(driver.storage)
    leases = Leases(storage, "tiny")
    assert leases.change(0, [other])
    for name in trials.query("stage == 'retrain'")["trial_id"]:
        storage.create(f"claims/{name}/00000001.json", json.dumps(vars(other)).encode())
    process = driver.start("run", sweep, "--shard", part, "--backend", backend)
    searches = sum(map(mine.holds, searches_of(trials)))
    wait_for(lambda: len(driver.records()) == searches or process.poll() is not None)
    time.sleep(4)
    assert process.poll() is None, process.communicate()
    assert len(driver.records()) == searches
    number, holders = leases.holders()
    assert leases.change(number, [entry for entry in holders if entry != other])
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    assert f"pid {os.getpid()}, shard {other.shard}) since {other.since} is at it" in out
    assert len(driver.records()) > searches


def searches_of(trials: pd.DataFrame) -> list[str]:
    return trials.query("stage == 'search'")["trial_id"].tolist()
