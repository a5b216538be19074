"""The storage fills up, becomes read-only or goes away in the middle: a clear error, and what was done is kept."""

import contextlib
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from driver import Driver
from faulty import check_unbroken, mounted, no_process_is_left, until_begun

pytestmark = [pytest.mark.slow, pytest.mark.alone]


def stopped_by(process: subprocess.Popen[str], *said: str) -> None:
    """The run ends by itself with exit code 2, one message and no traceback."""
    _, err = process.communicate(timeout=240)
    assert process.returncode == 2, err
    assert err.startswith("error: ")
    assert "Traceback" not in err
    for text in said:
        assert text in err


@pytest.mark.parametrize("backend", ["ray", pytest.param("inline", marks=pytest.mark.long)])
def test_a_full_disk(backend: str, driver: Driver, sweep: Path, reference: pd.DataFrame) -> None:
    with mounted(driver.storage, "-o", "size=110m") as folder:
        process = driver.start("run", sweep, "--backend", backend)
        until_begun(driver, process, records=1)
        filler = folder / "filler"
        # What the run itself frees, as it deletes old checkpoints, is filled as well.
        with filler.open("wb", buffering=0) as file:
            while process.poll() is None:
                try:
                    file.write(b"0" * 65536)
                except OSError:
                    time.sleep(0.002)
        stopped_by(process, "No space left on device; make room there and run the same command again")
        no_process_is_left(driver)
        kept = driver.records()
        assert kept
        filler.unlink()
        again = driver.run("run", sweep, "--backend", "inline")
        assert again.returncode == 0, again.stderr
        check_unbroken(driver, sweep, reference, kept)


def test_too_little_room_is_said_before_anything_runs(driver: Driver, sweep: Path) -> None:
    with mounted(driver.storage, "-o", "size=1m"):
        done = driver.run("run", sweep)
        assert done.returncode == 2
        assert "too little for checkpoints; make room there" in done.stderr
        assert driver.run("doctor", sweep).returncode == 5


def test_read_only(driver: Driver, sweep: Path, reference: pd.DataFrame) -> None:
    with mounted(driver.storage, "-o", "size=200m") as folder:
        process = driver.start("run", sweep, "--backend", "inline")
        until_begun(driver, process, records=1)
        subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
        stopped_by(process, "Read-only file system")
        kept = driver.records()
        # What only reads still works, and a run is refused at once.
        assert driver.run("status", sweep).returncode == 0
        assert driver.run("run", sweep).returncode == 2
        subprocess.run(["mount", "-o", "remount,rw", str(folder)], check=True)
        again = driver.run("run", sweep, "--backend", "inline")
        assert again.returncode == 0, again.stderr
        check_unbroken(driver, sweep, reference, kept)


def _renamed(folder: Path) -> Callable[[], None]:
    aside = folder.with_name("aside")
    folder.rename(aside)

    def back() -> None:
        shutil.rmtree(folder, ignore_errors=True)
        aside.rename(folder)

    return back


def _unmounted(folder: Path) -> Callable[[], None]:
    """As when a network file system is unmounted: the folder is there, and empty."""
    aside = folder.with_name("aside")
    aside.mkdir()
    subprocess.run(["mount", "--move", str(folder), str(aside)], check=True)

    def back() -> None:
        subprocess.run(["mount", "--move", str(aside), str(folder)], check=True)

    return back


@pytest.mark.parametrize(
    ("backend", "remove"), [pytest.param("ray", _renamed, marks=pytest.mark.long), ("inline", _unmounted)]
)
def test_gone_in_the_middle(
    backend: str,
    remove: Callable[[Path], Callable[[], None]],
    driver: Driver,
    sweep: Path,
    reference: pd.DataFrame,
) -> None:
    # A mount can only be moved out of one that is not shared with other namespaces.
    with mounted(driver.storage.parent / "private"):
        parent = driver.storage.parent / "private"
        subprocess.run(["mount", "--make-private", str(parent)], check=True)
        driver.storage = parent / "results"
        with mounted(driver.storage) if remove is _unmounted else contextlib.nullcontext():
            process = driver.start("run", sweep, "--backend", backend)
            until_begun(driver, process, records=1)
            back = remove(driver.storage)
            stopped_by(process, "is not the storage that the run began with")
            no_process_is_left(driver)
            back()
            kept = driver.records()
            assert kept
            again = driver.run("run", sweep, "--backend", "inline")
            assert again.returncode == 0, again.stderr
            check_unbroken(driver, sweep, reference, kept)
