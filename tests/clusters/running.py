"""Which hosts run trials, by what the trials write."""

import json
from pathlib import Path


def hosts_at_work(storage: Path, epochs: int = 2) -> set[str]:
    """Names of the hosts whose newest started trials have done so many epochs and have no record."""
    found = set()
    for folder in (storage / "checkpoints").glob("*"):
        done = max((int(file.stem) for file in folder.glob("*.ckpt")), default=0)
        marks = sorted(folder.glob("attempt-*.json"), key=lambda mark: int(mark.stem.split("-")[1]))
        if marks and done >= epochs and not (storage / "trials" / f"{folder.name}.parquet").exists():
            found.add(json.loads(marks[-1].read_text())["host"])
    return found
