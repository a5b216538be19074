"""Runs a retraining on several devices: a process for each, all of them in the placement group that Tune made for it.

Tune's worker computes nothing. It starts the processes, hands on what the first of them says, and when one fails or
dies it ends the others, which would wait for it for ever.
"""

import contextlib
import os
import socket
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import psutil
import ray
from ray.exceptions import RayError, RayTaskError
from ray.util.placement_group import get_current_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from orchestrator.cluster import handover
from orchestrator.job import Job
from orchestrator.surroundings import check_data, device_of, reset_peak_memory, threads, threads_of
from orchestrator.trainable import FailedError, Failure, Progress, record_failure, run_trial
from stcnas_core.errors import InputError

GRACE = 10.0
"""Seconds in which a process that lost its connection to another may turn out to have lost it by that one's death."""


START = 300.0
"""Seconds in which all processes must be there."""


class LostError(Exception):
    """A process of the group died: for Tune, the trial's worker did."""


def run(job: Job, keeper: str | None) -> Iterator[Progress]:
    """Run a trial on its devices, as `run_trial` does on one.

    Raises LostError where one of the processes is gone, InputError where the storage or the data cannot be used.
    """
    group = get_current_placement_group()
    assert group is not None
    members: list[Any] = [
        ray.remote(_Member)
        .options(
            num_cpus=devices.get("CPU", 0),
            num_gpus=devices.get("GPU", 0),
            scheduling_strategy=PlacementGroupSchedulingStrategy(group, number),
        )
        .remote(job.to_dict(), keeper, number)
        for number, devices in enumerate(group.bundle_specs)
    ]
    try:
        # A node that is lost now would leave its process waiting for another one for ever.
        address, *_ = _get([members[0].host.remote(), *(member.greet.remote() for member in members)], START)
        streams = [member.work.options(num_returns="streaming").remote(address) for member in members]
        while True:
            said = _next(streams)
            if said is None:
                return
            if "progress" in said:
                yield Progress(**{**said["progress"], "notices": tuple(said["progress"]["notices"])})
                continue
            if "refused" in said:
                raise InputError(said["refused"])
            failure = Failure(**said["failed"])
            if failure.kind == "lost":
                _await_death(streams)
                raise LostError(failure.text)
            yield record_failure(job, failure)
            return
    finally:
        for member in members:
            ray.kill(member)


def _next(streams: list[Any]) -> dict[str, Any] | None:
    """The next that a process says; None when the first has ended well, after which the others have nothing to do."""
    first = streams[0]
    while True:
        (ready,), _ = ray.wait(streams, num_returns=1)
        try:
            return _said(ready)
        except StopIteration:
            if ready is first:
                return None
            streams.remove(ready)


def _await_death(streams: list[Any]) -> None:
    """Raise LostError with what Ray knows of a process that died, where one did; the others say nothing new."""
    left: Any = streams
    while left:
        ready, left = ray.wait(left, num_returns=1, timeout=GRACE)
        for stream in ready:
            with contextlib.suppress(StopIteration):
                _said(stream)
                left.append(stream)
        if not ready:
            return


def _said(stream: Any) -> Any:
    """The next of a stream that has one, or StopIteration."""
    return _get(next(stream))


def _get(reference: Any, timeout: float | None = None) -> Any:
    """What a process says; raises LostError where it is gone, and what it raised where it should not have."""
    try:
        return ray.get(reference, timeout=timeout)
    except RayTaskError:
        raise
    except RayError as error:
        raise LostError(str(error)) from None


class _Member:
    """One process of a group, on one device."""

    def __init__(self, job: dict[str, Any], keeper: str | None, rank: int) -> None:
        self.job, self.keeper, self.rank = Job.from_dict(job), keeper, rank
        self.store: Any = None

    def host(self) -> tuple[str, int]:
        """In the first: open the place where all of them meet, at the address that Ray's nodes reach each other by."""
        from torch.distributed import TCPStore  # pyright: ignore[reportPrivateImportUsage]

        listening = socket.create_server((ray.util.get_node_ip_address(), 0))
        host, port = listening.getsockname()[:2]
        self.store = TCPStore(host, port, is_master=True, wait_for_workers=False, master_listen_fd=listening.detach())
        return host, port

    def greet(self) -> None:
        """Say that this process is there."""

    def work(self, address: tuple[str, int]) -> Iterator[dict[str, Any]]:
        """Compute; yields what the first says of the trial's progress, and what went wrong in any of them."""
        try:
            handover.accept(self.keeper)
            for progress in self._run(address):
                yield {"progress": asdict(progress)}
        except FailedError as error:
            yield {"failed": asdict(error.failure)}
        except InputError as error:
            yield {"refused": str(error)}

    def _run(self, address: tuple[str, int]) -> Iterator[Progress]:
        from torch.distributed import TCPStore  # pyright: ignore[reportPrivateImportUsage]

        from stcnas_core.parallel import Group

        job, device = self.job, device_of(self.job)
        _choose_interface(ray.util.get_node_ip_address())
        try:
            store = self.store or TCPStore(*address, is_master=False)
            group = Group.join(store, self.rank, job.devices, device)
        except Exception as error:
            raise FailedError(Failure.of(error, device, group=True)) from error
        if self.rank == 0:
            yield from run_trial(job, group)
        else:
            _follow(job, device, group)


def _follow(job: Job, device: str, group: Any) -> None:
    """Compute this process's part of what the group's first does; that one alone knows the storage."""
    from stcnas_core.retrain import Retrain, RetrainConfig

    check_data(job)
    assert isinstance(job.config, RetrainConfig)
    try:
        with threads(threads_of(job)):
            reset_peak_memory(job, device)
            run = Retrain(job.config, data_path=job.data_path, device=device, group=group)
            run.join()
            while not run.finished:
                run.run_epoch()
    except Exception as error:  # the worker that started all of them tells whose came first
        raise FailedError(Failure.of(error, device, group=True)) from error


def _choose_interface(address: str) -> None:
    """Let processes of a group talk where Ray's nodes do: Gloo would ask the machine's name, and a cluster of this
    machine alone is closed to others.
    """
    for name, ends in psutil.net_if_addrs().items():
        if any(end.address == address for end in ends):
            os.environ.setdefault("GLOO_SOCKET_IFNAME", name)
            if address.startswith("127."):
                os.environ.setdefault("NCCL_SOCKET_IFNAME", name)
