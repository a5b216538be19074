"""The page for plain machines, command by command, on three hosts and an S3 server; hosts die and are cut off."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from bucket import URI, Bucket
from cluster_pages import command
from driver import Driver, wait_for
from faulty import check_unbroken
from hosts import Host, Hosts
from running import hosts_at_work

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1800)]


def start(hosts: Hosts, head: str, *workers: str) -> None:
    """Ray on hosts as the page says, a CPU each."""
    every = [hosts[name] for name in (head, *workers)]
    for host in every:
        host.environment |= {"HEAD": hosts[head].address, "OPTIONS": "--num-cpus=1"}
        host.run(command("plain", "templates"))
    token = Path(".ray/auth_token")
    home = Path(hosts[head].environment["HOME"])
    if not (home / token).exists():
        hosts[head].run(command("plain", "token"))
    for host in every[1:]:
        to = Path(host.environment["HOME"]) / token
        to.parent.mkdir(mode=0o700, exist_ok=True)
        shutil.copy(home / token, to)
    hosts[head].run(command("plain", "head"))
    for host in every[1:]:
        host.run(command("plain", "worker"))


def prepare(driver: Host, bucket: Bucket, sweep: Path) -> None:
    """The shell that a driver is run in."""
    driver.environment |= {"RAY_AUTH_MODE": "token", "SWEEP": str(sweep), "STORAGE": URI, **bucket.environment}


def ended(process: subprocess.Popen[str]) -> bool:
    return process.poll() is not None


def test_a_host_is_cut_off_and_one_dies(
    driver: Driver, hosts: Callable[..., Hosts], sweep: Path, reference: pd.DataFrame
) -> None:
    cluster = hosts("one", "two", "three", "store")
    bucket = Bucket(cluster["store"])
    network = "10.77.0.8/30,10.77.0.12/31"  # one to three, and not the store
    assert cluster["store"].address == "10.77.0.14"
    for name in ("one", "two", "three"):
        cluster[name].run(command("plain", "firewall"), NETWORK=network)
        # More than the page asks for: nothing but what it names may come in.
        cluster[name].run("iptables -A INPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT; iptables -P INPUT DROP")
    start(cluster, "one", "two", "three")
    one, two, three = (cluster[name] for name in ("one", "two", "three"))
    prepare(one, bucket, sweep)
    assert "(connection refused)" in cluster["store"].run(
        f"python -c 'import socket; socket.create_connection((\"{one.address}\", 6379), 5)' 2>&1 |"
        " sed 's/.*refused.*/(connection refused)/'"
    )
    said = one.run(command("plain", "doctor"))
    assert "3 nodes" in said
    assert "FAILED" not in said
    assert said.count("asked for") == 3

    process = one.start("exec > sweep.log 2>&1\n" + command("plain", "run"))
    log = Path(one.environment["HOME"]) / "sweep.log"
    for host in (two, three):
        wait_for(lambda host=host: ended(process) or host.name in hosts_at_work(bucket.copy(driver.storage)), 240)
        assert not ended(process), log.read_text()
        host.freeze()
    kept = driver.records()
    three.kill()
    two.cut()
    two.thaw()
    wait_for(lambda: ended(process) or log.read_text().count("it starts again") >= 2, 240)
    assert not ended(process), log.read_text()

    # The one that was cut off finds itself given up, and joins again as the page says.
    two.join()
    wait_for(lambda: "raylet" not in two.processes(), 180)
    two.run(command("plain", "worker"))
    process.wait(timeout=600)
    assert process.returncode == 0, log.read_text()
    bucket.copy(driver.storage)
    check_unbroken(driver, sweep, reference, kept)
    assert {row["kind"] for row in driver.json("status", sweep)["failure_kinds"]} <= {"lost", "preempted"}
    assert "2 nodes" in one.run(command("plain", "doctor"))
    assert "0 missing" in one.run(command("plain", "status"))
    one.run(command("plain", "report"))
    for host in (two, one):
        host.run(command("plain", "stop"))
        wait_for(lambda host=host: "raylet" not in host.processes(), 60)
