"""What the fault tests share: the sweep, what an unbroken run of it gives, and what must hold after any fault."""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from driver import Driver, wait_for
from photograph_files import write_folder

SAME = [
    "trial_id",
    "state",
    "stage",
    "seed",
    "genotype",
    "valid_accuracy",
    "derived_accuracy",
    "train_accuracy",
    "test_accuracy",
    "params",
    "macs",
    "epochs_done",
    "config",
]
"""Columns of a record that no fault may change, bit for bit."""

EPOCHS = 24
"""Of a retraining on photographs."""

KILLS = int(os.environ.get("STCNAS_KILLS", "100"))
"""How many random kills, in `make faults` alone."""


def trials(storage: Path) -> pd.DataFrame:
    return pd.read_parquet(storage / "trials").sort_values("trial_id", ignore_index=True)


def check_unbroken(driver: Driver, sweep: Path, reference: pd.DataFrame, kept: dict[str, tuple[int, bytes]]) -> None:
    """The ledger is that of an unbroken run, no id twice, and what was finished before the fault was not touched."""
    status = driver.json("status", sweep)
    assert status["missing"] == status["failed"] == 0
    found = trials(driver.storage)
    assert found["trial_id"].is_unique
    assert sorted(found["trial_id"]) == sorted(row["id"] for row in status["trials"])
    pd.testing.assert_frame_equal(found[SAME], reference[SAME], check_exact=True)
    after = driver.records()
    assert {name: after[name] for name in kept} == kept
    epochs = pd.read_parquet(driver.storage / "epochs")
    assert not epochs.duplicated(["trial_id", "epoch"]).any()
    assert len(epochs) == found["epochs_done"].sum()


def begun(storage: Path, epochs: int) -> dict[str, Any] | None:
    """The mark of a trial that has done so many epochs and is running."""
    with contextlib.suppress(FileNotFoundError):  # a trial ends, and its folder goes, while it is looked into
        for file in sorted((storage / "checkpoints").glob("*/*.ckpt")):
            if int(file.stem) >= epochs:
                marks = sorted(file.parent.glob("attempt-*.json"), key=lambda mark: int(mark.stem.split("-")[1]))
                return {"id": file.parent.name, **json.loads(marks[-1].read_text())} if marks else None
    return None


def until_begun(driver: Driver, process: subprocess.Popen[str], epochs: int = 2, records: int = 0) -> dict[str, Any]:
    """Wait until a trial is in the middle, with so many recorded already; the run must not have ended."""
    found = wait_for(
        lambda: process.poll() is not None or (len(driver.records()) >= records and begun(driver.storage, epochs))
    )
    assert isinstance(found, dict), process.communicate()
    return found


def no_process_is_left(driver: Driver) -> None:
    """Everything that was started ends by itself."""
    try:
        wait_for(lambda: not driver.processes(), 120)
    except AssertionError:
        left = [(process.pid, process.ppid(), process.name(), process.cmdline()) for process in driver.processes()]
        raise AssertionError(f"left after two minutes: {left}") from None


def photographs(folder: Path, devices: int | list[int]) -> Path:
    """A sweep of one retraining on real photographs in ImageNet's layout."""
    write_folder(folder / "imagenet")
    size = {"dataset": "imagenet", "resolution": 32, "cells": 3, "channels": 4, "batch_size": 16, "epochs": EPOCHS}
    content = {
        "name": "several",
        "genotypes": ["DARTS_V2"],
        "retrain": {**size, "auxiliary_weight": 0},
        "resources": {"retrain": {"cpus": 1, "gpus": 0, "devices": devices}},
        "data": {"path": str(folder)},
    }
    file = folder / "sweep.yaml"
    file.write_text(yaml.safe_dump(content))
    return file


def done(driver: Driver) -> tuple[pd.Series, list[int]]:
    """The record, and how many devices computed each epoch, each of which was computed once."""
    found, epochs = trials(driver.storage), pd.read_parquet(driver.storage / "epochs").sort_values("epoch")
    assert len(found) == 1
    assert epochs["epoch"].tolist() == list(range(EPOCHS))
    assert not list((driver.storage / "checkpoints").glob("*"))
    record = found.iloc[0]
    assert (record["state"], record["epochs_done"]) == ("finished", EPOCHS)
    assert 0 <= record["test_accuracy"] <= 100
    return record, epochs["devices"].tolist()


@contextlib.contextmanager
def mounted(folder: Path, *options: str) -> Iterator[Path]:
    """A file system in memory at `folder`; skips where mounting is not permitted."""
    folder.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(["mount", "-t", "tmpfs", *options, "tmpfs", str(folder)], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"mounting is not permitted here: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], capture_output=True, check=False)


class Nodes:
    """A Ray cluster of several nodes on this machine, with a token, in a process of its own (`cluster.py`)."""

    def __init__(self, driver: Driver, *nodes: str) -> None:
        token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0" * 32, "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
        driver.environment |= token
        environment = {key: value for key, value in os.environ.items() if not key.startswith("RAY_")}
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("cluster.py")), *nodes],
            env={**environment, **token, "STCNAS_TEST_MARK": driver.mark, "PYTHONPATH": str(Path(__file__).parents[2])},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        driver.started.append(self.process)
        self.address: str = self._answer()["address"]

    def say(self, command: str, node: int) -> None:
        """`kill` or `drain` a node, by its number from 0, the head."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{command} {node}\n")
        self.process.stdin.flush()
        self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("{"):
                return json.loads(line)
        raise AssertionError("the cluster has ended")

    def close(self) -> None:
        """End all nodes."""
        self.process.kill()
        self.process.wait()
