"""`stcnas doctor`: whether a sweep could run here or on a cluster, found out before any device is taken."""

import shutil
from dataclasses import asdict
from typing import Any

from orchestrator import preflight
from orchestrator.cluster.nodes import Check, Images, check_cluster, comparable, images_of
from orchestrator.cpus import usable_cpus
from orchestrator.identity import Stage
from orchestrator.plan import fingerprint_of, make_plan
from orchestrator.preflight import Demand, Node, check_demands, gpus_of
from orchestrator.spec import Sweep
from orchestrator.storage import LocalStorage, Storage
from orchestrator.storage.environment import variables
from orchestrator.sweep_file.resources import RetrainResources
from stcnas_core.errors import InputError

HERE = "here"


def examine(sweep: Sweep | None, storage: Storage, address: str | None) -> list[Check]:
    """All checks of this machine, and of the cluster at `address` where there is one.

    Raises InputError where the sweep itself cannot be planned, whatever the machine.
    """
    findings = [_storage(storage), _versions()]
    images: list[Images] = []
    if sweep is not None:
        images, found = _images(sweep)
        findings += found
    if address is None:
        return [*findings, *_resources(sweep, [_this_machine()])]
    # Ray's settings, which this module makes, come before Ray.
    from orchestrator.cluster.ray_backend import connected  # isort: split
    from orchestrator.cluster import handover

    try:
        with connected(address) as nodes:
            findings.append(Check("cluster", address, True, f"{len(nodes)} nodes"))
            findings += _resources(sweep, [node["Resources"] for node in nodes])
            if findings[0].ok:
                offered = handover.offer(variables(storage.uri))
                findings += check_cluster(storage, images, offered[0] if offered else None)
    except InputError as error:
        findings.append(Check("cluster", address, False, str(error)))
    return findings


def listed(findings: list[Check]) -> dict[str, Any]:
    """What `doctor --json` prints."""
    return {"ok": all(finding.ok for finding in findings), "checks": [asdict(finding) for finding in findings]}


def _storage(storage: Storage) -> Check:
    try:
        warnings = preflight.check_storage(storage)
    except InputError as error:
        return Check("storage", HERE, False, str(error))
    if warnings:
        return Check("storage", HERE, True, f"warning: {'; '.join(warnings)}")
    free = ""
    if isinstance(storage, LocalStorage):
        free = f", {shutil.disk_usage(storage.root).free / 1024**3:.0f} GiB free"
    return Check("storage", HERE, True, f"{storage.uri}: writable{free}")


def _versions() -> Check:
    missing = [name for name, value in comparable().items() if value is None]
    if missing:
        return Check("versions", HERE, False, f"not installed: {', '.join(missing)}; pip install stcnas")
    said = ", ".join(f"{name.removesuffix('_version')} {value}" for name, value in comparable().items())
    return Check("versions", HERE, True, said)


def _images(sweep: Sweep) -> tuple[list[Images], list[Check]]:
    """The data sets of a sweep, and whether they and its benchmark table are here."""
    findings: dict[str, Check] = {}

    def known(dataset: str, path: str | None) -> str:
        try:
            found = fingerprint_of(dataset, path)
        except InputError as error:
            findings[dataset] = Check("data", HERE, False, str(error))
            return f"{dataset}@missing"
        findings[dataset] = Check("data", HERE, True, found)
        return found

    images = images_of(make_plan(sweep, known))
    return [one for one in images if not one.data.endswith("@missing")], list(findings.values())


def _this_machine() -> Node:
    import torch

    return {"CPU": float(usable_cpus()), "GPU": float(torch.cuda.device_count())}


def _resources(sweep: Sweep | None, nodes: list[Node]) -> list[Check]:
    cpus, gpus = (sum(node.get(name, 0.0) for node in nodes) for name in ("CPU", "GPU"))
    has = f"{cpus:g} CPUs, {gpus:g} GPUs on {len(nodes)} {'node' if len(nodes) == 1 else 'nodes'}"
    if sweep is None:
        return [Check("resources", HERE, True, has)]
    planned: dict[Stage, bool] = {"search": sweep.searching, "retrain": sweep.retrain is not None}
    stages: list[Stage] = [stage for stage, is_planned in planned.items() if is_planned]
    findings: list[Check] = []
    for stage in stages:
        asked = getattr(sweep.resources, stage)
        least = asked.least if isinstance(asked, RetrainResources) else 1
        demand = Demand(asked.cpus, gpus_of(asked.gpus, gpus), least)
        try:
            check_demands({stage: demand}, nodes)
        except InputError as error:
            findings.append(Check("resources", HERE, False, str(error)))
            continue
        findings.append(Check("resources", HERE, True, f"{has}: {demand.slots(nodes)} of {stage} at once"))
    return findings
