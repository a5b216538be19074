"""Whole clusters on this machine, for `make cluster-test`, and what an unbroken run of their sweep gives."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from driver import ROOT, Driver, write_sweep
from hosts import Host, Hosts

LONGER: dict[str, Any] = {"search": {"epochs": 60}, "seeds": [0, 1, 2, 3]}
"""Four searches of some seconds each, so that there is a middle to break them in."""


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    return write_sweep(tmp_path / "s.yaml", **LONGER)


@pytest.fixture(scope="session")
def reference(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """The records of an unbroken run."""
    from faulty import trials

    folder = tmp_path_factory.mktemp("unbroken")
    driver = Driver(folder / "results")
    done = driver.run("run", write_sweep(folder / "s.yaml", **LONGER), "--backend", "inline")
    assert done.returncode == 0, done.stderr
    return trials(driver.storage)


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[Callable[..., Hosts]]:
    """Makes hosts that have `stcnas`, by their names."""
    made: list[Hosts] = []

    def make(*names: str) -> Hosts:
        made.append(Hosts(tmp_path, *names))
        for host in made[-1].by_name.values():
            install(host)
        return made[-1]

    yield make
    for one in made:
        one.close()


def install(host: Host) -> None:
    """Put this checkout's `stcnas`, and the Python and Ray of these tests, into the host's path."""
    folder = Path(host.environment["HOME"]) / "bin"
    folder.mkdir()
    here = Path(sys.executable)
    for name, command in {"python": here, "ray": here.with_name("ray"), "stcnas": f"{here} -m orchestrator"}.items():
        tool = folder / name
        tool.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
        tool.chmod(0o755)
    host.environment |= {"PYTHONPATH": str(ROOT), "RAY_worker_niceness": "0", "RAY_USAGE_STATS_ENABLED": "0"}
