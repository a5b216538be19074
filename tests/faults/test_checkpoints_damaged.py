"""Checkpoints are cut in half or have bytes flipped: an earlier one is gone on from, to the same results."""

from pathlib import Path

import pandas as pd
import pytest
from driver import Driver
from faulty import check_unbroken, until_begun

pytestmark = pytest.mark.slow


def _cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def _flipped(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 0x10
    file.write_bytes(content)


def _emptied(file: Path) -> None:
    file.write_bytes(b"")


@pytest.mark.parametrize(
    ("damage", "generations"),
    [
        (_cut, 1),
        *(pytest.param(_flipped, most, marks=pytest.mark.long) for most in (1, 2)),
        pytest.param(_emptied, 2, marks=pytest.mark.long),
    ],
)
def test_damaged_checkpoints(damage, generations: int, driver: Driver, sweep: Path, reference: pd.DataFrame) -> None:
    process = driver.start("run", sweep, "--backend", "inline")
    running = until_begun(driver, process, epochs=4)
    process.kill()
    process.communicate()
    kept = driver.records()
    found = sorted((driver.storage / "checkpoints" / running["id"]).glob("*.ckpt"), reverse=True)
    assert len(found) >= 2
    for file in found[:generations]:
        damage(file)
    again = driver.run("run", sweep, "--backend", "inline")
    assert again.returncode == 0, again.stderr
    assert again.stdout.count("is damaged") == generations
    check_unbroken(driver, sweep, reference, kept)
