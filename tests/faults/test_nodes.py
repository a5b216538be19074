"""Nodes of a real cluster that are not ready, die or are taken away."""

import json
from pathlib import Path

import pandas as pd
import psutil
import pytest
from driver import Driver, wait_for
from faulty import Nodes, check_unbroken, mounted, no_process_is_left, until_begun

pytestmark = [pytest.mark.slow, pytest.mark.alone]


def test_nodes_are_killed_and_taken_away(driver: Driver, sweep: Path, reference: pd.DataFrame) -> None:
    cluster = Nodes(driver, "plain", "plain")
    process = driver.start("run", sweep, "--address", cluster.address)
    until_begun(driver, process)
    cluster.say("kill", 1)
    until_begun(driver, process, records=1)
    cluster.say("drain", 2)
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    assert "it starts again" in out
    check_unbroken(driver, sweep, reference, {})
    assert {row["kind"] for row in driver.json("status", sweep)["failure_kinds"]} <= {"lost", "preempted"}

    # A driver that is killed leaves nothing running on a cluster that stays.
    again = driver.start("run", sweep, "--address", cluster.address, "--set", "seeds=[3, 4, 5]")
    running = until_begun(driver, again)
    again.kill()
    again.communicate()
    wait_for(lambda: not psutil.pid_exists(running["pid"]))
    cluster.close()
    no_process_is_left(driver)


def test_a_node_without_the_storage_and_a_driver_without_the_token_are_named(
    driver: Driver, sweep: Path, tmp_path: Path
) -> None:
    driver.storage.mkdir()
    with mounted(tmp_path / "probe"):  # skips where mounting is not permitted
        pass
    cluster = Nodes(driver, f"hidden:{driver.storage}")
    done = driver.run("doctor", sweep, "--address", cluster.address, "--json")
    assert done.returncode == 5, done.stderr
    checks = json.loads(done.stdout)["checks"]
    (wrong,) = [check for check in checks if not check["ok"]]
    assert wrong["check"] == "storage"
    assert f"does not see {driver.storage}" in wrong["said"]
    assert "mount the same shared folder" in wrong["said"]
    nodes = {check["where"] for check in checks if check["check"] == "versions"} - {"here"}
    assert wrong["where"] in nodes
    assert len(nodes) == 2
    assert {check["said"] for check in checks if check["check"] == "token"} == {"asked for"}

    run = driver.run("run", sweep, "--address", cluster.address)
    assert run.returncode == 2
    assert f"{wrong['where']}: storage: does not see {driver.storage}" in run.stderr
    assert not driver.records()
    assert not list(driver.storage.glob("checkpoints/*"))

    driver.environment = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "1" * 32}
    stranger = driver.run("doctor", sweep, "--address", cluster.address)
    assert stranger.returncode == 5
    assert "FAILED  cluster" in stranger.stdout
    assert "RAY_AUTH_TOKEN in the environment" in stranger.stdout
    cluster.close()
    no_process_is_left(driver)
