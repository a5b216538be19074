"""Hosts on this machine: each has an address, a name, processes, and folders for temporary files of its own.

They are Linux namespaces joined by a bridge that is in a namespace too, so nothing outside can reach them.
"""

import os
import secrets
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

import pytest

PRIVATE = ("/tmp/ray", "/dev/shm", "/run")
"""Folders that each host has for itself, in memory."""

_INIT = """
set -e
mount --make-rprivate /
mount --bind {hosts} /etc/hosts
for folder in {private}; do mkdir -p $folder; mount -t tmpfs tmpfs $folder; done
hostname {name}
ip link set lo up
echo up
while :; do sleep 3600 & wait $!; done
"""


def _do(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise OSError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


class Host:
    """One host; its first process holds all its others, as a machine's does."""

    def __init__(self, name: str, address: str, space: str, hosts: Path, environment: Mapping[str, str]) -> None:
        self.name, self.address, self.space = name, address, space
        self.environment = dict(environment)
        """Variables of all that is started here from now on."""
        script = _INIT.format(hosts=hosts, private=" ".join(PRIVATE), name=name)
        own = ["--mount", "--uts", "--ipc", "--pid", "--mount-proc", "--fork", "--kill-child"]
        inside = ["setpriv", "--pdeathsig", "KILL", "nsenter", f"--net=/run/netns/{space}", "unshare", *own]
        self.started: list[subprocess.Popen[str]] = []
        self._init = subprocess.Popen([*inside, "bash", "-c", script], stdout=subprocess.PIPE, text=True)
        assert self._init.stdout is not None
        assert self._init.stdout.readline() == "up\n", f"{name} does not start"
        children = Path(f"/proc/{self._init.pid}/task/{self._init.pid}/children").read_text(encoding="ascii")
        self._first = int(children.split()[0])

    def start(self, script: str, **variables: str) -> "subprocess.Popen[str]":
        """Start a script of bash's here, with these variables besides the host's."""
        process = subprocess.Popen(
            self._command(script),
            env={**self.environment, **variables},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.started.append(process)
        return process

    def run(self, script: str, *, seconds: float = 240, code: int = 0, **variables: str) -> str:
        """Run a script to its end, which must be this exit code; returns what it printed."""
        # To a file: what a script leaves running in the background may hold its output open.
        with tempfile.TemporaryFile("w+") as said:
            done = subprocess.run(
                self._command(script),
                env={**self.environment, **variables},
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
                timeout=seconds,
            )
            said.seek(0)
            text = said.read()
        assert done.returncode == code, f"{self.name}: exit code {done.returncode}, not {code}, of\n{script}\n{text}"
        return text

    def _command(self, script: str) -> list[str]:
        spaces = ["--mount", "--uts", "--ipc", "--net", "--pid"]
        return ["nsenter", f"--target={self._first}", *spaces, "bash", "-c", f"cd\n{script}"]

    def processes(self) -> str:
        """Command lines of all that runs here."""
        return self.run("ps -eo args")

    def freeze(self) -> None:
        """Stop the trials that run here where they are, so that what comes next meets them in the middle."""
        self.run("pkill -STOP -f ^ray::Implicit")

    def thaw(self) -> None:
        """Let them go on."""
        self.run("pkill -CONT -f ^ray::Implicit")

    def cut(self) -> None:
        """Pull its cable."""
        _do("ip", "-n", self.space, "link", "set", "eth0", "down")

    def join(self) -> None:
        """Plug it in again."""
        _do("ip", "-n", self.space, "link", "set", "eth0", "up")

    def kill(self) -> None:
        """Its power fails: all its processes end at once, and nobody hears of it."""
        self.cut()
        self.end()

    def end(self) -> None:
        """End all that runs here; a second time does nothing."""
        if self._init.returncode is not None:
            return
        self._init.kill()
        self._init.communicate()
        for process in self.started:
            process.communicate()


class Hosts:
    """Hosts by name, in a network 10.77.0.0/24 of their own."""

    def __init__(self, folder: Path, *names: str) -> None:
        self._mark = f"st{secrets.token_hex(3)}"
        self._spaces: list[str] = []
        self.by_name: dict[str, Host] = {}
        addresses = {name: f"10.77.0.{number}" for number, name in enumerate(names, 11)}
        listed = folder / "hosts"
        listed.write_text("127.0.0.1 localhost\n" + "".join(f"{at} {name}\n" for name, at in addresses.items()))
        try:
            switch = self._space("switch")
        except OSError as error:
            pytest.skip(f"hosts need root and network namespaces: {error}")
        try:
            _do("ip", "-n", switch, "link", "add", "bridge", "type", "bridge")
            _do("ip", "-n", switch, "link", "set", "bridge", "up")
            for name, address in addresses.items():
                space = self._space(name)
                _do(
                    "ip",
                    "-n",
                    switch,
                    "link",
                    "add",
                    "name",
                    name,
                    "type",
                    "veth",
                    "peer",
                    "name",
                    "eth0",
                    "netns",
                    space,
                )
                _do("ip", "-n", switch, "link", "set", "dev", name, "master", "bridge", "up")
                _do("ip", "-n", space, "address", "add", f"{address}/24", "dev", "eth0")
                _do("ip", "-n", space, "link", "set", "eth0", "up")
                home = folder / name
                home.mkdir()
                self.by_name[name] = Host(name, address, space, listed, _environment(home))
        except BaseException:
            self.close()
            raise

    def __getitem__(self, name: str) -> Host:
        return self.by_name[name]

    def close(self) -> None:
        """End all that runs on them, and them."""
        for host in self.by_name.values():
            host.end()
        for space in self._spaces:
            subprocess.run(["ip", "netns", "delete", space], check=False, capture_output=True)

    def _space(self, name: str) -> str:
        space = f"{self._mark}-{name}"
        _do("ip", "netns", "add", space)
        self._spaces.append(space)
        return space


def _environment(home: Path) -> dict[str, str]:
    """What a login gives, with `stcnas` and `ray` of this environment on the path."""
    kept = {name: os.environ[name] for name in ("LANG", "OPENBLAS_CORETYPE") if name in os.environ}
    return {**kept, "HOME": str(home), "PATH": f"{home / 'bin'}:{os.environ['PATH']}"}
