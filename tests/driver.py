"""Runs `stcnas` as real processes and waits for what they do to a ledger."""

import contextlib
import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import yaml

MARK = "STCNAS_TEST_MARK"

ROOT = Path(__file__).resolve().parent.parent

TINY: dict[str, Any] = {
    "name": "tiny",
    "search": {
        "space": "nasbench201",
        "dataset": "digits",
        "cells": 1,
        "channels": 2,
        "epochs": 2,
        "batch_size": 32,
        "train_images": 128,
        "augment": False,
        "derive_by": "alpha",
    },
    "seeds": [0, 1],
    "retrain": {
        "cells": 1,
        "channels": 2,
        "epochs": 2,
        "batch_size": 32,
        "train_images": 128,
        "test_images": 64,
        "cutout": 0,
    },
    "resources": {"search": {"cpus": 1, "gpus": 0}, "retrain": {"cpus": 1, "gpus": 0}},
}
"""Two searches and two retrainings."""


def write_sweep(path: Path, **changes: Any) -> Path:
    """Write TINY with some top-level keys changed, their mappings merged, None removing one."""
    content = dict(TINY)
    for key, value in changes.items():
        content[key] = {**content[key], **value} if isinstance(value, dict) and key in content else value
    path.write_text(yaml.safe_dump({key: value for key, value in content.items() if value is not None}))
    return path


def wait_for(what: Callable[[], Any], seconds: float = 240.0) -> Any:
    """Poll until `what()` is true and return it; fails the test after so many seconds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := what():
            return found
        time.sleep(0.02)
    raise AssertionError(f"waited {seconds} s in vain")


class Driver:
    """`stcnas` processes on one storage."""

    def __init__(self, storage: Path) -> None:
        self.storage = storage
        self.mark = secrets.token_hex(8)
        """In the environment of all that is started here, and hence of all that this starts."""
        self.environment: dict[str, str] = {}
        """Variables for what is started from now on."""
        self.started: list[subprocess.Popen[str]] = []

    def start(self, *arguments: str | Path, storage: str | Path | None = None) -> subprocess.Popen[str]:
        """Start `stcnas ARGUMENTS --storage STORAGE` in a session of its own."""
        environment = {key: value for key, value in os.environ.items() if not key.startswith("RAY_")}
        environment |= {MARK: self.mark, **self.environment}
        process = subprocess.Popen(
            [sys.executable, "-m", "orchestrator", *map(str, arguments), "--storage", str(storage or self.storage)],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.started.append(process)
        return process

    def run(self, *arguments: str | Path, storage: str | Path | None = None) -> subprocess.CompletedProcess[str]:
        """Run it to its end."""
        process = self.start(*arguments, storage=storage)
        out, err = process.communicate(timeout=240)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def json(self, *arguments: str | Path) -> dict[str, Any]:
        """Run it with --json, which must succeed, and return what it printed."""
        done = self.run(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def records(self) -> dict[str, tuple[int, bytes]]:
        """Time and content of each record, by trial id."""
        files = (self.storage / "trials").glob("*.parquet")
        return {file.stem: (file.stat().st_mtime_ns, file.read_bytes()) for file in files}

    def processes(self) -> list[psutil.Process]:
        """All processes that live and were started from here, by whatever detours."""
        sessions = {process.pid for process in self.started}
        return [process for process in psutil.process_iter() if self._is_ours(process, sessions) and _lives(process)]

    def _is_ours(self, process: psutil.Process, sessions: set[int]) -> bool:
        """By its session, or, where it has one of its own, by its environment, which a new title may overwrite."""
        try:
            return os.getsid(process.pid) in sessions or process.environ().get(MARK) == self.mark
        except (psutil.Error, OSError):
            return False

    def clean(self) -> None:
        """End whatever is left."""
        for left in self.processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                left.kill()
        for process in self.started:
            process.communicate()


def _lives(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
