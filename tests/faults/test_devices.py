"""A retraining on several devices loses one of them, or a whole node: it goes on with what is left."""

import os
import signal
from pathlib import Path

import psutil
import pytest
import yaml
from driver import Driver, wait_for, write_sweep
from faulty import Nodes, begun, done, no_process_is_left, photographs, trials, until_begun

pytestmark = [pytest.mark.slow, pytest.mark.alone, pytest.mark.long]


def test_a_device_is_lost_and_the_driver_is_stopped(driver: Driver, tmp_path: Path) -> None:
    sweep = photographs(tmp_path, 2)
    process = driver.start("run", sweep)
    first = until_begun(driver, process)
    # Where the processes meet is closed to others, as the cluster is.
    listening = [one.net_connections("tcp") for one in driver.processes()]
    addresses = {one.laddr.ip for found in listening for one in found if one.status == psutil.CONN_LISTEN}
    assert {address.removeprefix("::ffff:") for address in addresses} <= {"127.0.0.1", "::1"}
    (other,) = (one for one in driver.processes() if one.name().startswith("ray::_Member") and one.pid != first["pid"])
    other.kill()
    second = wait_for(lambda: process.poll() is not None or _later(driver, first["pid"]))
    assert isinstance(second, dict), process.communicate()
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=240)
    assert (process.returncode, err) == (4, "")
    assert "its process or node died, it starts again" in out
    no_process_is_left(driver)
    again = driver.run("run", sweep)
    assert again.returncode == 0, again.stderr
    record, devices = done(driver)
    assert (record["attempt"], record["devices"], set(devices)) == (3, 2, {2})
    (lost,) = driver.json("status", sweep)["failure_kinds"]
    assert (lost["kind"], lost["attempts"]) == ("lost", 1)


def _later(driver: Driver, pid: int) -> dict | None:
    """The mark of a start by another process that has begun to compute."""
    found = begun(driver.storage, 4)
    return found if found is not None and found["pid"] != pid else None


def test_a_node_is_lost_and_it_goes_on_with_the_devices_that_are_left(driver: Driver, tmp_path: Path) -> None:
    sweep = photographs(tmp_path, [1, 2])
    cluster = Nodes(driver, "plain")
    process = driver.start("run", sweep, "--address", cluster.address)
    until_begun(driver, process)
    cluster.say("kill", 1)
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    assert "it starts again" in out
    record, devices = done(driver)
    assert (devices[0], devices[-1], record["devices"]) == (2, 1, 1)
    assert devices == sorted(devices, reverse=True)
    assert record["attempt"] == 2
    cluster.close()
    no_process_is_left(driver)


def test_a_node_is_lost_while_a_retraining_waits_for_its_devices(driver: Driver, tmp_path: Path) -> None:
    cell = {"given": "|none~0|+|none~0|none~1|+|none~0|none~1|nor_conv_1x1~2|"}
    asked = {"retrain": {"devices": [1, 2]}}
    sweep = write_sweep(tmp_path / "s.yaml", search={"epochs": 60}, seeds=[0], genotypes=cell, resources=asked)
    content = yaml.safe_load(sweep.read_text())
    content["resources"]["retrain"] |= {"cpus": 1, "gpus": 0}
    sweep.write_text(yaml.safe_dump(content))
    cluster = Nodes(driver, "plain")
    process = driver.start("run", sweep, "--address", cluster.address)
    running = until_begun(driver, process)
    cluster.say("kill", 1)
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0, out + err
    found = trials(driver.storage)
    assert len(found) == 3
    assert set(found["state"]) == {"finished"}
    assert set(found.query("stage == 'retrain'")["devices"]) == {1}
    assert running["id"] in set(found.query("stage == 'search'")["trial_id"])
    cluster.close()
    no_process_is_left(driver)
