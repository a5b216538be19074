"""What a trial finds where it runs: its device and that device's memory, its data, its threads."""

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

from orchestrator import simulation
from orchestrator.cpus import usable_cpus
from orchestrator.job import Job
from orchestrator.packing import allocator_share
from stcnas_core.errors import InputError


def device_of(job: Job) -> str:
    """PyTorch's name of the device that a trial was given; raises InputError where it is not there."""
    if job.simulation is not None:
        return simulation.DEVICE
    if job.gpus == 0:
        return "cpu"
    import torch

    if not torch.cuda.is_available():
        raise InputError(
            f"on {socket.gethostname()}: the trial was given a GPU and PyTorch finds no CUDA device there; install a "
            f"CUDA build of PyTorch, or set resources.{job.stage}.gpus: 0"
        )
    return "cuda"


def check_data(job: Job) -> None:
    """The data that this process sees must be what the plan was made with."""
    if job.simulation is not None:
        return
    from stcnas_core.datasets import fingerprint

    host = socket.gethostname()
    try:
        found = fingerprint(job.config.dataset, job.data_path)
    except InputError as error:
        raise InputError(f"on {host}: {error}") from None
    if found != job.data:
        raise InputError(
            f"on {host}: the data set is {found}, but the sweep was planned with {job.data}; make data.path hold the "
            "same files everywhere and run the same command again"
        )


def threads_of(job: Job) -> int:
    """Threads that a trial computes with here on each of its devices: no more than there are usable CPUs."""
    return min(job.threads, usable_cpus())


@contextlib.contextmanager
def threads(count: int) -> Iterator[None]:
    """Compute with `count` threads, and with as many as before afterwards."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def reset_peak_memory(job: Job, device: str) -> None:
    """Forget what earlier trials of this process needed, and keep a shared GPU's other trials safe from this one."""
    if device == simulation.DEVICE:
        return  # Nothing is trained, and collecting garbage takes longer than such a trial.
    import torch

    from stcnas_core.training import give_back_freed_memory

    if device == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        memory = torch.cuda.get_device_properties(0).total_memory
        torch.cuda.set_per_process_memory_fraction(allocator_share(job.gpus, memory))
        return
    give_back_freed_memory()
    # Linux alone can forget it; elsewhere the peak is that of the whole process so far.
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def device_name(device: str) -> str:
    """What a record calls PyTorch's name of a device."""
    import torch

    return torch.cuda.get_device_name() if device == "cuda" else device
