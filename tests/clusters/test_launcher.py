"""The page for Ray's cluster launcher, command by command, by ssh onto two hosts."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from cluster_pages import command
from driver import Driver, wait_for
from faulty import check_unbroken
from hosts import Host, Hosts

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1200)]

USER = "nas"


@pytest.fixture
def key(tmp_path: Path) -> Path:
    missing = [name for name in ("sshd", "ssh-keygen", "rsync") if shutil.which(name, path=SEARCHED) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)} (apt-get install openssh-server rsync)")
    file = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", file], check=True)
    return file


SEARCHED = "/usr/bin:/bin:/usr/sbin:/sbin"


def serve_ssh(host: Host, key: Path) -> None:
    """A user `nas` who may log in with the key, and whose home is the host's own."""
    home = Path(host.environment["HOME"])
    users = home / "passwd"
    # Another name of root, and the first one, since ssh asks whose number it has for the home that `~` stands for.
    users.write_text(f"{USER}:x:0:0::{home}:/bin/bash\n{Path('/etc/passwd').read_text()}")
    told = "".join(f"export {name}='{host.environment[name]}'\n" for name in ("PATH", "PYTHONPATH"))
    (home / ".profile").write_text(told)
    host.run(
        f"mount --bind passwd /etc/passwd && mkdir -p /run/sshd && $(which sshd || echo /usr/sbin/sshd) -h {key} "
        f"-o AuthorizedKeysFile={key}.pub -o StrictModes=no -o PidFile=/run/sshd.pid -o UsePAM=no"
    )


def test_ray_up_runs_a_sweep(
    driver: Driver, hosts: Callable[..., Hosts], key: Path, sweep: Path, reference: pd.DataFrame
) -> None:
    cluster = hosts("one", "two")
    for host in cluster.by_name.values():
        serve_ssh(host, key)
    one, two = cluster["one"], cluster["two"]
    one.environment |= {"SWEEP": str(sweep), "STORAGE": str(driver.storage), "USER": USER}
    one.run(command("launcher", "templates"))
    file = Path(one.environment["HOME"]) / "launcher.yaml"
    content = file.read_text()
    for ours, theirs in {
        "10.0.0.11": one.address,
        "[10.0.0.12, 10.0.0.13]": f"[{two.address}]",
        "max_workers: 2": "max_workers: 1",
        "~/.ssh/id_ed25519": str(key),
        "--port=6379": "--port=6379 --num-cpus=1",
        "$RAY_HEAD_IP:6379": "$RAY_HEAD_IP:6379 --num-cpus=1",
    }.items():
        assert ours in content
        content = content.replace(ours, theirs)
    file.write_text(content)
    one.run(command("launcher", "token"))
    one.run(command("launcher", "up"))
    wait_for(lambda: "raylet" in two.processes(), 240)
    wait_for(lambda: "2 nodes" in one.run(command("launcher", "doctor")), 240)
    one.run(command("launcher", "run"), seconds=900)
    check_unbroken(driver, sweep, reference, {})
    assert "0 missing" in one.run(command("launcher", "status"))
    one.run(command("launcher", "down"))
    for host in (one, two):
        wait_for(lambda host=host: "raylet" not in host.processes(), 240)
