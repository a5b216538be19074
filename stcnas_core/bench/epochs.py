"""What an epoch of a whole search costs, alone or with others beside it on the same device."""

import dataclasses
import math
import multiprocessing
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import numpy as np
import torch

from stcnas_core.bench.measure import clock
from stcnas_core.bench.setting import Setting, described
from stcnas_core.bench.subnet import FIXED, Subnet, drawn_at_random
from stcnas_core.datasets import Images
from stcnas_core.genotype import Genotype
from stcnas_core.search import Search

YARDSTICK_STEPS = 4
"""Steps of each yardstick after an epoch."""


def bench_search(
    setting: Setting, methods: list[str], *, images: int, epochs: int = 1, processes: int = 1
) -> dict[str, Any]:
    """Cost of one epoch of whole searches on random images, `processes` of them side by side, as plain data.

    An epoch has a pass over both halves of the `images` and the evaluation; one more goes before those that count.
    Ratios are of an epoch to as many steps of the derived networks as it has, in the same process right after it:
    processor time on a CPU, elapsed time on CUDA. Of a method of several stages these are epochs of the first.
    """
    rows = []
    for method in methods:
        context = multiprocessing.get_context("spawn")
        barrier = context.Barrier(processes)
        with ProcessPoolExecutor(processes, context, _join, (barrier, torch.get_num_threads())) as pool:
            seeds = range(setting.seed, setting.seed + processes)
            settings = [dataclasses.replace(setting, seed=seed) for seed in seeds]
            jobs = [pool.submit(_epochs, each, method, images, epochs) for each in settings]
            found = [epoch for job in jobs for epoch in job.result()]
        wall = max(each["ended"] for each in found) - min(each["began"] for each in found)
        peak = [each["peak_mb"] for each in found[epochs - 1 :: epochs]]
        rows.append(
            {
                "method": method,
                "processes": processes,
                "epoch_seconds": wall / epochs,
                "cpu_seconds": statistics.median(each["cpu_seconds"] for each in found),
                "step_ms": statistics.median(1e3 * each["step_seconds"] for each in found),
                "hours_50_epochs": 50 * wall / epochs / 3600,
                "ratio_random_subnet": statistics.median(each["ratio_random"] for each in found),
                "ratio_fixed_subnet": statistics.median(each["ratio_fixed"] for each in found),
                "peak_mb": max(peak),
                "peak_mb_all": sum(peak),
            }
        )
    return {"bench": "search", **described(setting), "images": images, "n": epochs, "rows": rows}


_barrier: Any = None  # of this process, set when a pool starts it


def _join(barrier: Any, threads: int) -> None:
    global _barrier
    _barrier = barrier
    torch.set_num_threads(threads)


def _epochs(setting: Setting, method: str, images: int, epochs: int) -> list[dict[str, float]]:
    """One search in a process of its own; measuring begins when all have done their first epoch."""
    draws = np.random.default_rng(setting.seed)
    pixels = draws.integers(0, 256, (images, setting.size, setting.size, 3), dtype=np.uint8).transpose(0, 3, 1, 2)
    labels = draws.integers(0, setting.classes, images)
    half = (0.5, 0.5, 0.5)
    config = setting.config(method, epochs=max(epochs + 1, 50), warmup_epochs=0)
    search = Search(
        config, device=setting.device, images=Images(pixels, labels, setting.classes, half, half, flip=True)
    )
    search.run_epoch()
    _barrier.wait(timeout=600)
    steps = math.ceil(images // 2 / setting.batch)
    fixed = Subnet(setting, Genotype.parse(FIXED[setting.space]))
    fixed()
    found = []
    for _ in range(epochs):
        began, processor = time.time(), time.process_time()
        epoch = search.run_epoch()
        ended, cpu_seconds = time.time(), time.process_time() - processor
        peak = search.peak_memory()
        spent = ended - began if setting.device.startswith("cuda") else cpu_seconds
        subnets = [Subnet(setting, drawn_at_random(setting, draws)) for _ in range(YARDSTICK_STEPS)]
        for subnet in subnets:
            subnet()
        random_ms = statistics.mean(clock(subnet, setting.device).ms for subnet in subnets)
        fixed_ms = statistics.mean(clock(fixed, setting.device).ms for _ in subnets)
        found.append(
            {
                "began": began,
                "ended": ended,
                "cpu_seconds": cpu_seconds,
                "ratio_random": spent / (1e-3 * random_ms * steps),
                "ratio_fixed": spent / (1e-3 * fixed_ms * steps),
                "step_seconds": epoch.step_seconds,
                "peak_mb": peak / 1e6,
            }
        )
    return found
