"""What every node of a cluster is asked before a run takes any device, and what its answers must be."""

import math
import os
import re
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.plan import Plan
from orchestrator.preflight import check_storage
from orchestrator.storage import Storage, StorageError, open_storage
from orchestrator.versions import versions
from stcnas_core.errors import InputError

PATIENCE = 60.0
"""Seconds that the nodes have for their answers."""

_VERSIONS = ("stcnas_version", "algorithm_version", "python_version", "torch_version", "ray_version")


@dataclass(frozen=True)
class Check:
    """One check at one place."""

    check: str
    where: str
    ok: bool
    said: str
    """What was found, and, where it is not `ok`, what to do."""


@dataclass(frozen=True)
class Images:
    """A data set that the sweep needs."""

    data: str
    """Data set and fingerprint, as planned."""
    path: str | None


@dataclass(frozen=True)
class Question:
    """What a node is asked: whether it sees `secret` under `key` in the storage, and these images."""

    uri: str
    key: str
    secret: str
    images: tuple[Images, ...]
    keeper: str | None = None
    """Who has the storage's variables for it (`handover`)."""


def images_of(plan: Plan) -> list[Images]:
    """The data sets that a plan needs."""
    found = dict.fromkeys(trial.data for trial in plan.searches)
    found |= dict.fromkeys(data for data in (plan.suggested_data, plan.retrain_data) if data is not None)
    return [Images(data, plan.sweep.data.path) for data in found]


def comparable() -> dict[str, Any]:
    """The versions that must be the same everywhere."""
    return {name: versions()[name] for name in _VERSIONS}


def asks_for_token(mode: str, ray_version: str) -> bool:
    """Return True if Ray asks for a token under this RAY_AUTH_MODE, which may be empty.

    Ray announces tokens as the default of all clusters from 2.61 on.
    """
    if mode:
        return mode.lower() == "token"
    return tuple(int(part) for part in re.findall(r"\d+", ray_version)[:2]) >= (2, 61)


def look(question: Question, answer_key: str) -> dict[str, Any]:
    """On a node: what it has and sees; `answer_key` is written to the storage, for the driver to find."""
    import ray

    from orchestrator.cluster import handover
    from stcnas_core.datasets import fingerprint

    if question.keeper is not None:
        handover.accept(question.keeper)
    seen: dict[str, Any] = {"versions": comparable(), "problem": None, "warnings": [], "images": {}}
    seen["token"] = asks_for_token(os.environ.get("RAY_AUTH_MODE", ""), ray.__version__)
    try:
        storage = open_storage(question.uri)
        found = storage.read(question.key)
        if found == question.secret.encode():
            seen["warnings"] = check_storage(storage)
            storage.create(answer_key, question.secret.encode())
        else:
            seen["problem"] = f"does not see {question.uri} as this machine does"
    except StorageError as error:
        seen["problem"] = str(error)
    for images in question.images:
        try:
            seen["images"][images.data] = fingerprint(images.data.partition("@")[0], images.path)
        except InputError as error:
            seen["images"][images.data] = str(error)
    return seen


def check_cluster(storage: Storage, images: Sequence[Images], keeper: str | None) -> list[Check]:
    """Ask all nodes of the cluster that this process is connected to; nodes that do not answer are named."""
    import ray
    from ray.exceptions import RayError, TaskUnschedulableError
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    key, secret = f"probe/{secrets.token_hex(8)}", secrets.token_hex(8)
    question = Question(storage.uri, key, secret, tuple(images), keeper)
    nodes = [(node["NodeID"], node["NodeManagerHostname"]) for node in alive_nodes()]
    # Two nodes of one name, as on a test's machine, are told apart.
    names = [f"{host} ({node[:8]})" for node, host in nodes]
    answer_keys = [f"{key}-{node[:16]}" for node, _ in nodes]
    storage.create(key, secret.encode())
    try:
        probe = ray.remote(num_cpus=0, max_retries=0)(look)
        asked = [
            probe.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False)).remote(question, answer)
            for (node, _), answer in zip(nodes, answer_keys, strict=True)
        ]
        answered, _ = ray.wait(asked, num_returns=len(asked), timeout=PATIENCE)
        findings: list[Check] = []
        for (node, _), reference, name, answer_key in zip(nodes, asked, names, answer_keys, strict=True):
            if reference not in answered:
                findings.append(Check("node", name, False, f"no answer within {PATIENCE:.0f} s: see whether it lives"))
                continue
            try:
                seen: dict[str, Any] = ray.get(reference)
            except RayError as error:
                if isinstance(error, TaskUnschedulableError) or node not in {one["NodeID"] for one in alive_nodes()}:
                    # No trial would be placed there either.
                    findings.append(Check("node", name, True, "warning: left out, it is leaving the cluster"))
                    continue
                said = str(error).strip().splitlines()[-1]
                findings.append(Check("node", name, False, f"{said}; install the same stcnas there as here"))
                continue
            if seen["problem"] is None and storage.read(answer_key) != secret.encode():
                seen["problem"] = f"what it writes to {storage.uri} is not seen here"
            findings += _judge(name, question, seen)
    finally:
        for left in (key, *answer_keys):
            storage.delete(left)
    return findings


def alive_nodes() -> list[dict[str, Any]]:
    """Ray's description of the nodes that live, of the cluster that this process is connected to."""
    import ray

    return [node for node in ray.nodes() if node["Alive"]]


class Look:
    """What the nodes that live have, by Ray's names; asked for at most once a second."""

    def __init__(self) -> None:
        self._seen: list[dict[str, float]] = []
        self._at = -math.inf

    def __call__(self) -> list[dict[str, float]]:
        if time.monotonic() - self._at > 1.0:
            self._seen = [node["Resources"] for node in alive_nodes()]
            self._at = time.monotonic()
        return self._seen


def _judge(name: str, question: Question, seen: dict[str, Any]) -> list[Check]:
    """What a node's answer comes to."""
    problem = seen["problem"]
    remedy = "; mount the same shared folder under the same path on every node, or use s3://, gs:// or az://"
    findings = [Check("storage", name, problem is None, f"{problem}{remedy}" if problem else "seen and writable")]
    findings += [Check("free space", name, True, f"warning: {warning}") for warning in seen["warnings"]]
    differing = [
        f"{what.removesuffix('_version')} is {seen['versions'].get(what)}, here it is {value}"
        for what, value in comparable().items()
        if seen["versions"].get(what) != value
    ]
    said = f"{', '.join(differing)}; install the same versions on every node" if differing else "as here"
    findings.append(Check("versions", name, not differing, said))
    for images in question.images:
        found = seen["images"].get(images.data)
        if found == images.data:
            findings.append(Check("data", name, True, images.data))
        else:
            what = f"{found}, planned with {images.data}; make data.path hold the same files on every node"
            findings.append(Check("data", name, False, what))
    token = (
        "asked for" if seen["token"] else "warning: none is asked for, whoever reaches the cluster can run code there"
    )
    findings.append(Check("token", name, True, token))
    return findings
