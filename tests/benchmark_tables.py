"""Benchmark tables made for tests, and the real one where it lies beside the repository."""

import itertools
from pathlib import Path

import pandas as pd
import pytest

REAL = Path(__file__).resolve().parents[2] / "shared" / "data" / "nb201.parquet"

needs_the_real_table = pytest.mark.skipif(not REAL.is_file(), reason=f"no NAS-Bench-201 table at {REAL}")

OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")

FEW = pd.DataFrame(
    {
        "arch_str": [
            "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|nor_conv_3x3~2|",
            "|skip_connect~0|+|none~0|skip_connect~1|+|none~0|none~1|nor_conv_1x1~2|",
            "|none~0|+|none~0|none~1|+|nor_conv_1x1~0|none~1|none~2|",
        ],
        "cifar10_test_acc_200": [94.25, 80.5, 70.0],
        "cifar100_valid": [73.0, 50.0, 40.0],
        "params_m": [1.1, 0.5, 0.3],
    }
)
"""Three cells, of which the last two compute the same."""


def cell(operations: tuple[str, ...]) -> str:
    """The text of a cell from its six operations, in the order of the edges."""
    a, b, c, d, e, f = operations
    return f"|{a}~0|+|{b}~0|{c}~1|+|{d}~0|{e}~1|{f}~2|"


def worth(text: str) -> float:
    """A made-up accuracy: convolutions help, `none` hurts, no two counts are the same."""
    return 40 + 8 * text.count("nor_conv_3x3") + 3 * text.count("nor_conv_1x1") + text.count("skip_connect")


def every_cell() -> pd.DataFrame:
    """All 15,625 cells with a made-up accuracy."""
    cells = [cell(operations) for operations in itertools.product(OPERATIONS, repeat=6)]
    accuracies = [worth(text) for text in cells]
    return pd.DataFrame({"arch_str": cells, "cifar10_test": accuracies, "cifar10_valid": accuracies})
