"""The cluster that a run starts for itself is closed to others, and ends with its driver."""

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from driver import Driver, write_sweep
from faulty import no_process_is_left, until_begun

pytestmark = [pytest.mark.slow, pytest.mark.alone]


def test_it_listens_on_loopback_asks_for_a_token_and_dies_with_its_driver(driver: Driver, tmp_path: Path) -> None:
    # Whatever the environment says of tokens.
    driver.environment = {"RAY_AUTH_MODE": "disabled"}
    sweep = write_sweep(tmp_path / "s.yaml", search={"epochs": 60})
    process = driver.start("run", sweep)
    until_begun(driver, process)
    ours = driver.processes()
    # None where the platform does not say, as for sockets of other users.
    listening = {
        connection.laddr
        for one in ours
        for connection in one.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN
    }
    assert len(listening) >= 3
    assert {address.ip.removeprefix("::ffff:") for address in listening} <= {"127.0.0.1", "::1"}

    (server,) = (one for one in psutil.Process(process.pid).children(recursive=True) if one.name() == "gcs_server")
    port = next(part.split("=")[1] for part in server.cmdline() if part.startswith("--gcs_server_port="))
    if port == "0":
        port = str(max(address.port for address in _listening(server)))
    knock = "import sys; from ray._raylet import GcsClient; GcsClient(address=sys.argv[1]).internal_kv_keys(b'', None)"
    clean = {key: value for key, value in os.environ.items() if not key.startswith("RAY_")}
    stranger = subprocess.run(
        [sys.executable, "-c", knock, f"127.0.0.1:{port}"],
        env={**clean, "RAY_AUTH_MODE": "disabled"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert stranger.returncode != 0
    assert "InvalidAuthToken" in stranger.stderr

    process.kill()
    process.communicate()
    no_process_is_left(driver)


def _listening(process: psutil.Process) -> list:
    return [one.laddr for one in process.net_connections("tcp") if one.status == psutil.CONN_LISTEN]
