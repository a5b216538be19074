"""What a step and an epoch of a search cost, beside the networks that they derive; torch and numpy alone.

    python -m stcnas_core.bench step --space darts --cells 8 --channels 16 --batch 16
    python -m stcnas_core.bench search --batch 256 --images 50000 --processes 8

The yardstick is the derived network in plain PyTorch (see `plain`), trained with two full passes a step: one network is
fixed, another is drawn at random in every round. Everything is measured in turn within each round, in one process, and
compared within the round. Times are processor time on a CPU and the time between two events on CUDA.
"""

from stcnas_core.bench.epochs import bench_search
from stcnas_core.bench.setting import Setting
from stcnas_core.bench.step import Step, make_step
from stcnas_core.bench.steps import bench_step
from stcnas_core.bench.table import table

__all__ = ["Setting", "Step", "bench_search", "bench_step", "make_step", "table"]
