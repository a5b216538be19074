"""What a step costs, beside the networks that a search derives: everything in turn, round by round, in one process."""

import statistics
from typing import Any

import numpy as np

from stcnas_core.bench.measure import Clocked, clock
from stcnas_core.bench.setting import Setting, described
from stcnas_core.bench.step import Step
from stcnas_core.bench.subnet import FIXED, Subnet, drawn_at_random
from stcnas_core.genotype import Genotype

WARM_UP = 2
"""Rounds that do not count."""


def bench_step(setting: Setting, methods: list[str], *, doubled: bool = False) -> dict[str, Any]:
    """Cost of one step of each method, as plain data: `rows`, the setting, and what it was measured on.

    `doubled` adds what listing every candidate operation twice does to a step (`ratio_doubled`).
    """
    steps: dict[str, Step | Subnet] = {method: Step(setting, method) for method in methods}
    steps["fixed subnet"] = Subnet(setting, Genotype.parse(FIXED[setting.space]))
    generator = np.random.default_rng(setting.seed)
    times: dict[str, list[Clocked]] = {}
    saved: dict[str, list[int]] = {}
    for number in range(-WARM_UP, setting.rounds):
        steps["random subnet"] = Subnet(setting, drawn_at_random(setting, generator))
        steps["random subnet"]()  # a new network's first step is also spent on choosing algorithms and on new memory
        for name, step in steps.items():
            clocked = clock(step, setting.device)
            if number >= 0:
                times.setdefault(name, []).append(clocked)
                saved.setdefault(name, []).append(step.saved_bytes())

    def ratios(values: dict[str, list[float]], name: str, yardstick: str) -> list[float]:
        return [a / b for a, b in zip(values[name], values[yardstick], strict=True)]

    def ratio(values: dict[str, list[float]], name: str, yardstick: str) -> float:
        return statistics.median(ratios(values, name, yardstick))

    def quartiles(name: str, yardstick: str) -> list[float]:
        return np.quantile(ratios(ms, name, yardstick), [0.25, 0.75]).tolist()

    ms = {name: [clocked.ms for clocked in found] for name, found in times.items()}
    megabytes = {name: [size / 1e6 for size in found] for name, found in saved.items()}
    rows = [
        {
            "method": name,
            "ms": statistics.median(ms[name]),
            "cpu_ms": statistics.median(clocked.cpu_ms for clocked in times[name]),
            "ratio_random_subnet": ratio(ms, name, "random subnet"),
            "ratio_random_subnet_quartiles": quartiles(name, "random subnet"),
            "ratio_fixed_subnet": ratio(ms, name, "fixed subnet"),
            "ratio_fixed_subnet_quartiles": quartiles(name, "fixed subnet"),
            "saved_mb": statistics.median(megabytes[name]),
            "saved_ratio_random_subnet": ratio(megabytes, name, "random subnet"),
            "saved_ratio_fixed_subnet": ratio(megabytes, name, "fixed subnet"),
            "peak_mb": _median_peak(times[name]),
        }
        for name in steps
    ]
    if doubled:
        for row in rows:
            name = row["method"]
            row["ratio_doubled"] = doubling(setting, name) if name in methods else None
    return {"bench": "step", **described(setting), "rows": rows}


def doubling(setting: Setting, method: str) -> float:
    """How many times a step costs what it did when every candidate operation is listed twice; median over rounds.

    A method that runs a drawn cell alone is made to run the same cell in both, so that only the list differs. A round
    has both twice, in the order a b b a, so that a machine that slows down or speeds up changes nothing.
    """
    once, twice = Step(setting, method), Step(setting, method, copies=2)
    ratios: list[float] = []
    for number in range(-WARM_UP, setting.rounds):
        drawn = once.bilevel.method.sample(once.noise, once.draws)
        first, second = (once, twice) if number % 2 else (twice, once)
        spent = {id(once): 0.0, id(twice): 0.0}
        for step in (first, second, second, first):
            step.cell = drawn.cell if drawn.runs == drawn.cell else None
            spent[id(step)] += clock(step, setting.device).ms
        if number >= 0:
            ratios.append(spent[id(twice)] / spent[id(once)])
    return statistics.median(ratios)


def _median_peak(clocked: list[Clocked]) -> float | None:
    peaks = [each.peak / 1e6 for each in clocked if each.peak is not None]
    return statistics.median(peaks) if peaks else None
