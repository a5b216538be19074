"""The sweep that faults are injected into, and what it gives when nothing goes wrong."""

from pathlib import Path

import pandas as pd
import pytest
from driver import Driver, write_sweep
from faulty import trials


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    return write_sweep(tmp_path / "s.yaml", search={"epochs": 12}, seeds=[0, 1, 2])


@pytest.fixture(scope="session")
def reference(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """The records of an unbroken run."""
    folder = tmp_path_factory.mktemp("unbroken")
    driver = Driver(folder / "results")
    sweep = write_sweep(folder / "s.yaml", search={"epochs": 12}, seeds=[0, 1, 2])
    done = driver.run("run", sweep, "--backend", "inline")
    assert done.returncode == 0, done.stderr
    return trials(driver.storage)
