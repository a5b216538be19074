"""The command line: `python -m stcnas_core.bench step|search`."""

import argparse
import json

import torch

from stcnas_core.bench import Setting, bench_search, bench_step, table
from stcnas_core.method_fields import UNTRAINED
from stcnas_core.methods import METHODS
from stcnas_core.topology import TOPOLOGIES
from stcnas_core.training import default_device

TRAINED = [method for method in METHODS if method not in UNTRAINED]
"""What has a step to be measured."""


def main(arguments: list[str] | None = None) -> None:
    """Read the command line, measure, print a table or JSON."""
    parser = argparse.ArgumentParser(
        prog="python -m stcnas_core.bench", description="What a step or an epoch of a search costs."
    )
    parser.add_argument("what", choices=["step", "search"])
    parser.add_argument("--method", action="append", choices=TRAINED, help="may be repeated; all by default")
    parser.add_argument("--space", default="darts", choices=list(TOPOLOGIES))
    parser.add_argument("--cells", type=int, help="8 in the DARTS space, 5 per stage in NAS-Bench-201 by default")
    parser.add_argument("--channels", type=int, default=16)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--precision", default="fp32", choices=["fp32", "bf16"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1, help="of each process")
    parser.add_argument("--device", default=default_device())
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--rounds", type=int, default=15, help="step: rounds measured")
    parser.add_argument("--double", action="store_true", help="step: measure doubled candidate lists too")
    parser.add_argument("--images", type=int, default=640, help="search: random images; 50000 is CIFAR-10's size")
    parser.add_argument("--epochs", type=int, default=1, help="search: epochs measured")
    parser.add_argument("--processes", type=int, default=1, help="search: searches side by side")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    setting = Setting(
        space=options.space,
        cells=options.cells or {"darts": 8, "nasbench201": 5}[options.space],
        channels=options.channels,
        batch=options.batch,
        seed=options.seed,
        rounds=options.rounds,
        precision=options.precision,
        device=options.device,
    )
    methods = options.method or TRAINED
    if options.what == "step":
        result = bench_step(setting, methods, doubled=options.double)
    else:
        result = bench_search(
            setting, methods, images=options.images, epochs=options.epochs, processes=options.processes
        )
    print(json.dumps(result) if options.json else table(result))


if __name__ == "__main__":
    main()
