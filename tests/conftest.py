"""Sweeps small enough to be run for real in tests, and `stcnas` as a process of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from driver import Driver, write_sweep


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    """A sweep of two searches and their retrainings that takes a second or two."""
    return write_sweep(tmp_path / "tiny.yaml")


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[Driver]:
    """Starts `stcnas` processes on the storage `tmp_path / "results"`, and leaves none behind."""
    driver = Driver(tmp_path / "results")
    yield driver
    driver.clean()
