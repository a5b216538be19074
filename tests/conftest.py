"""Sweeps small enough to be run for real, `stcnas` as a process of its own, and which tests run side by side."""

import io
import os
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
from driver import Driver, write_sweep

from orchestrator.api import Sweep

# Before anything imports torch, and inherited by what is started: tensors are tiny here, and more threads would wait
# for each other, all the more beside other tests.
os.environ["OMP_NUM_THREADS"] = "1"

# On a busy machine an example may take any time. The same examples each time: `make fuzz` is what looks for new ones.
hypothesis.settings.register_profile(
    "suite", deadline=None, derandomize=True, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("suite")

ASKED_FOR = {"long": "STCNAS_KILLS", "cluster": "STCNAS_CLUSTERS"}
"""Marks of tests that run only where a variable of the environment is set."""


@pytest.hookimpl(tryfirst=True)  # before xdist asks for groups
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Long forms of fault tests and whole clusters run where they are asked for.

    Where tests are spread over processes (`-n 2 --dist loadgroup --no-loadscope-reorder`), a file stays in one, and
    what is marked `alone` runs in one, one after the other, and begins at once, since it takes longest.
    """
    for mark, variable in ASKED_FOR.items():
        if variable not in os.environ:
            left = [item for item in items if item.get_closest_marker(mark)]
            config.hook.pytest_deselected(items=left)
            items[:] = [item for item in items if item not in left]
    for item in items:
        item.add_marker(pytest.mark.xdist_group("alone" if _alone(item) else item.path.stem))
    items.sort(key=lambda item: not _alone(item))


def _alone(item: pytest.Item) -> bool:
    return item.get_closest_marker("alone") is not None


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


@pytest.fixture(scope="session")
def real_sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `sweep.yaml`, two settings of two seeds, and with what really running it left in `results`.

    To be read, never changed.
    """
    folder = tmp_path_factory.mktemp("real")
    # Alphas move in both epochs, or the two settings would find the same cells.
    file = write_sweep(folder / "sweep.yaml", search={"warmup_epochs": 0}, grid={"js_lambda": ["0", "0->2"]})
    assert Sweep(file, folder / "results").run(backend="inline", out=io.StringIO()) == 0
    return folder
