"""What is checked before a run takes any device, so that an operator hears of it in seconds and not in hours."""

import math
import secrets
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from orchestrator.identity import Stage
from orchestrator.spec import Sweep
from orchestrator.storage import LocalStorage, Storage, StorageError
from stcnas_core.errors import InputError

SMALLEST_FREE = 100 * 1024**2
"""Bytes below which a run does not start."""

COMFORTABLE_FREE = 2 * 1024**3
"""Bytes below which a run says so."""

Node = Mapping[str, float]
"""What a node of a cluster has, by Ray's names."""


@dataclass(frozen=True)
class Demand:
    """What one trial asks of a node, for each of its devices; GPUs may be a share of one."""

    cpus: float
    gpus: float
    devices: int = 1

    def places(self, nodes: Sequence[Node]) -> int:
        """How many such devices there are on the nodes; a share never straddles two GPUs."""
        return sum(self._on(node) for node in nodes)

    def slots(self, nodes: Sequence[Node]) -> int:
        """How many such trials fit on the nodes at once; the devices of one may lie on several."""
        return self.places(nodes) // self.devices

    def shares_device(self, nodes: Sequence[Node]) -> bool:
        """Whether others may compute on the same device: on a share of a GPU, or on the CPUs of one machine."""
        if self.gpus:
            return self.gpus < 1
        return any(self._on(node) > 1 for node in nodes) and self.places(nodes) > self.devices

    def alone(self, nodes: Sequence[Node]) -> "Demand":
        """The same with a device for itself: a whole GPU, or all CPUs of the largest node; several are its own."""
        if self.devices > 1:
            return self
        if self.gpus:
            return Demand(self.cpus, max(1.0, self.gpus))
        return Demand(max(node.get("CPU", 0.0) for node in nodes), 0.0)

    def _on(self, node: Node) -> int:
        by_cpu = math.floor(node.get("CPU", 0.0) / self.cpus)
        if not self.gpus:
            return by_cpu
        gpus = int(node.get("GPU", 0.0))
        return min(by_cpu, gpus * math.floor(1 / self.gpus) if self.gpus <= 1 else math.floor(gpus / self.gpus))


def check_storage(storage: Storage) -> list[str]:
    """Create and delete a file; returns warnings, raises StorageError where the storage cannot be written."""
    key = f"probe/{secrets.token_hex(8)}"
    storage.create(key, b"stcnas")
    found = storage.read(key)
    storage.delete(key)
    if found != b"stcnas":
        raise StorageError(f"{storage.uri} does not give back what was written there")
    if not isinstance(storage, LocalStorage):
        return []
    free = shutil.disk_usage(storage.root).free
    if free < SMALLEST_FREE:
        raise StorageError(
            f"{storage.uri} has {free / 1024**2:.0f} MiB left, too little for checkpoints; make room there"
        )
    if free < COMFORTABLE_FREE:
        return [f"{storage.uri} has only {free / 1024**3:.1f} GiB left"]
    return []


def check_demands(demands: Mapping[Stage, Demand], nodes: Sequence[Node]) -> None:
    """Raise InputError where no node could ever run a trial of some stage."""
    for stage, demand in demands.items():
        if demand.slots(nodes):
            continue
        if demand.devices > 1 and (places := demand.places(nodes)):
            raise InputError(
                f"resources.{stage}.devices: a trial asks for {demand.devices} devices with {demand.cpus:g} CPUs and "
                f"{demand.gpus:g} GPUs each, and there is room for {places}; set resources.{stage}.devices={places} or "
                f"[1, {demand.devices}], or use a cluster that has them (--address)"
            )
        most_cpus = max((node.get("CPU", 0.0) for node in nodes), default=0.0)
        most_gpus = max((node.get("GPU", 0.0) for node in nodes), default=0.0)
        raise InputError(
            f"resources.{stage}: a trial asks for {demand.cpus:g} CPUs and {demand.gpus:g} GPUs on one node, and no "
            f"node has them (the largest: {most_cpus:g} CPUs, {most_gpus:g} GPUs); lower resources.{stage}, or use a "
            "cluster that has them (--address)"
        )


def check_inline(sweep: Sweep) -> None:
    """Raise InputError where a sweep cannot run in one process, which has one device."""
    if sweep.retrain is not None and sweep.resources.retrain.least > 1:
        raise InputError(
            f"{sweep.where('resources', 'retrain', 'devices')}: a retraining asks for {sweep.resources.retrain.least} "
            "devices, and --backend inline runs on one; add --set resources.retrain.devices=1, or leave out "
            "--backend inline"
        )


def gpus_of(wanted: float | str, available: float) -> float:
    """GPUs for one trial where so many are available; `auto` is one where there are any."""
    return min(1.0, float(available > 0)) if isinstance(wanted, str) else wanted
