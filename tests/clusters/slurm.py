"""A Slurm cluster of Debian's `slurm-wlm` on hosts of this machine."""

import secrets
import shutil
from pathlib import Path

import pytest
from driver import wait_for
from hosts import Host, Hosts

PROGRAMS = ("slurmctld", "slurmd", "sbatch", "munged")

_CONF = """
ClusterName=test
SlurmctldHost=control({control})
SlurmUser=root
SlurmctldPidFile=/run/slurmctld.pid
SlurmdPidFile=/run/slurmd.pid
SlurmdSpoolDir=/run/slurmd
StateSaveLocation={folder}/state
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%h.log
SlurmdParameters=config_overrides
AuthType=auth/munge
# How long a job that was put back waits, which is 120 seconds where nothing is said.
AuthInfo=cred_expire=10
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
MailProg=/bin/true
KillWait=10
SlurmdTimeout=30
ReturnToService=2
{nodes}
PartitionName=all Nodes=ALL Default=YES MaxTime=60 State=UP
"""


class Slurm:
    """A controller on the host `control`, and a node of one CPU on each other host."""

    def __init__(self, folder: Path, hosts: Hosts, *nodes: str) -> None:
        missing = [name for name in PROGRAMS if shutil.which(name) is None]
        if missing:
            pytest.skip(f"not installed: {', '.join(missing)} (apt-get install slurm-wlm munge)")
        self.hosts = hosts
        self.control: Host = hosts["control"]
        self.folder = folder / "slurm"
        (self.folder / "state").mkdir(parents=True)
        key = self.folder / "munge.key"
        key.touch(0o400)
        key.write_bytes(secrets.token_bytes(128))
        listed = "\n".join(f"NodeName={name} NodeAddr={hosts[name].address} CPUs=1 RealMemory=4000" for name in nodes)
        conf = self.folder / "slurm.conf"
        conf.write_text(_CONF.format(control=self.control.address, folder=self.folder, nodes=listed))
        every = [self.control, *(hosts[name] for name in nodes)]
        for host in every:
            host.environment |= {"SLURM_CONF": str(conf)}
            host.run(
                f"mkdir -m 755 /run/munge; munged --force --key-file={key} --pid-file=/run/munge/munged.pid "
                f"--seed-file=/run/munge/munged.seed --log-file=/run/munge/munged.log"
            )
        self.control.run("slurmctld")
        for host in every[1:]:
            host.run("slurmd")
        wait_for(lambda: self.nodes_idle() == len(nodes), 60)

    def nodes_idle(self) -> int:
        return int(self.control.run("sinfo --noheader --format=%D --states=idle").split()[0] or 0)

    def state(self, job: str) -> str:
        """Of a job, as Slurm calls it."""
        return self._told(job)["JobState"]

    def restarts(self, job: str) -> int:
        """How often a job was put back into the queue."""
        return int(self._told(job)["Restarts"])

    def minutes(self, job: str) -> int:
        """For which a job has run, as whole ones."""
        hours, minutes, _ = map(int, self._told(job)["RunTime"].split(":"))
        return 60 * hours + minutes

    def _told(self, job: str) -> dict[str, str]:
        said = self.control.run(f"scontrol show job --oneliner {job}")
        return dict(word.split("=", 1) for word in said.split() if "=" in word)
