"""Processes that compute are killed with -9: in the middle of an epoch, while they write a record, as they run out."""

import contextlib
import os
import resource
import signal
import time
from pathlib import Path

import pandas as pd
import psutil
import pytest
from driver import Driver, wait_for, write_sweep
from faulty import check_unbroken, no_process_is_left, trials, until_begun

pytestmark = [pytest.mark.slow, pytest.mark.alone]


def test_killed_in_the_middle_and_while_the_record_is_written(
    driver: Driver, sweep: Path, reference: pd.DataFrame
) -> None:
    process = driver.start("run", sweep)
    in_the_middle = until_begun(driver, process)
    os.kill(in_the_middle["pid"], signal.SIGKILL)

    # A record has its hidden name for a few milliseconds, with the number of the writing process in it.
    folder, killed = driver.storage / "trials", set[str]()
    while process.poll() is None:
        names = os.listdir(folder) if folder.is_dir() else []  # noqa: PTH208
        for name in names:
            if name.startswith(".") and name[1:21] not in killed and len(killed) < 2:
                with_number = name.rsplit(".", 2)[1]
                killed.add(name[1:21])
                try:
                    os.kill(int(with_number), signal.SIGKILL)
                except ProcessLookupError:
                    continue
        time.sleep(0.0002)
    out, err = process.communicate()
    assert process.returncode == 0, err
    assert killed, "no record was caught while it was written"
    assert "its process or node died, it starts again" in out
    check_unbroken(driver, sweep, reference, {})
    status = driver.json("status", sweep)
    (lost,) = status["failure_kinds"]
    assert lost["kind"] == "lost"
    assert lost["attempts"] >= 1
    found = trials(driver.storage).set_index("trial_id")
    assert found["attempt"][in_the_middle["id"]] >= 2
    assert not list((driver.storage / "checkpoints").glob("*"))
    no_process_is_left(driver)


@pytest.mark.long
@pytest.mark.parametrize("attempt", range(3))
def test_killed_while_ray_starts(driver: Driver, sweep: Path, reference: pd.DataFrame, attempt: int) -> None:
    """Before the driver itself is connected: Ray would wait for a worker that it had started ahead for ever."""
    process = driver.start("run", sweep)
    killed = None
    while killed is None and process.poll() is None:
        with contextlib.suppress(psutil.NoSuchProcess):
            for child in psutil.Process(process.pid).children(recursive=True):
                if child.name().startswith("ray::") and "Agent" not in child.name():
                    child.kill()
                    killed = child
                    break
        time.sleep(0.02)
    assert killed is not None
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0, out + err
    check_unbroken(driver, sweep, reference, {})
    no_process_is_left(driver)


def test_memory_really_runs_out(driver: Driver, tmp_path: Path) -> None:
    big = {"channels": 96, "batch_size": 512, "train_images": 1200, "epochs": 1}
    sweep = write_sweep(
        tmp_path / "s.yaml", search={"epochs": 1}, seeds=[0], retrain=None, variants={"a": {}, "b": big}
    )
    limited = driver.start("run", sweep, "--backend", "inline")
    wait_for(lambda: driver.records() or limited.poll())
    # The first trial is done, the second, which needs some 500 MB more, begins.
    process = psutil.Process(limited.pid)
    most = process.memory_info().vms + 100 * 1024**2
    process.rlimit(resource.RLIMIT_AS, (most, most))
    out, err = limited.communicate(timeout=240)
    assert limited.returncode == 3, err
    assert "starts again, alone on its device" in out
    found = trials(driver.storage).set_index("setting")
    assert dict(found["state"]) == {"a": "finished", "b": "failed"}
    assert (found["error_kind"]["b"], found["attempt"]["b"]) == ("out_of_memory", 2)
    (kind,) = driver.json("status", sweep)["failure_kinds"]
    assert (kind["kind"], kind["attempts"]) == ("out_of_memory", 2)

    # The same configuration, with memory.
    kept = {name: record for name, record in driver.records().items() if name == found["trial_id"]["a"]}
    assert driver.run("run", sweep, "--backend", "inline", "--retry-failed").returncode == 0
    again = trials(driver.storage).set_index("setting")
    assert set(again["state"]) == {"finished"}
    assert again["config"]["b"] == found["config"]["b"]
    assert {name: driver.records()[name] for name in kept} == kept
