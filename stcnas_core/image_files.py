"""Where the files of a data set lie, and what names their content; free of torch."""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from stcnas_core.errors import InputError

Split = Literal["train", "test"]
SPLITS: tuple[Split, ...] = ("train", "test")

LARGE_FILE = 256 * 2**20
"""Bytes beyond which a file is named by its size and its end."""
TAIL = 64 * 2**10


@dataclass(frozen=True)
class Source:
    """Where a data set lies: scikit-learn, torchvision's folder, or files (of `folder`, one folder) by split."""

    kind: Literal["scikit-learn", "torchvision", "parquet", "folder", "webdataset"]
    folder: Path | None = None
    train: tuple[Path, ...] = ()
    test: tuple[Path, ...] = ()

    def files(self, split: Split) -> tuple[Path, ...]:
        """The files of a split, in order of name."""
        return self.train if split == "train" else self.test


def root_of(dataset: str, path: str | None) -> Path:
    """The folder `<path>/<data set>` where it exists, else `<path>`; raises InputError where that is no folder."""
    if path is None:
        root = Path("~/.cache/stcnas").expanduser()
    elif "://" in path:
        raise InputError(f"data.path: {path} is no local folder; copy the data to a disk that every worker can read")
    else:
        root = Path(path).expanduser()
        try:
            if not root.is_dir():
                what = "is a file" if root.exists() else "does not exist"
                raise InputError(f"data.path: {root} {what}; name the folder that holds {dataset}")
        except OSError as error:
            raise InputError(f"data.path: {str(root)[:200]} cannot be read ({error.strerror})") from None
    inner = root / dataset
    return inner if inner.is_dir() else root


def parquet_shards(folder: Path, split: str) -> tuple[Path, ...]:
    """`<split>.parquet`, or all of Hugging Face's `<split>-00000-of-0000N.parquet`; empty where there are none."""
    single = folder / f"{split}.parquet"
    shards = sorted(folder.glob(f"{split}-*.parquet"))
    if single.exists() and shards:
        raise InputError(f"{folder}: both {single.name} and {shards[0].name}; keep one form, so that it is clear which")
    totals: set[int] = set()
    for shard in shards:
        match = re.fullmatch(rf"{split}-(\d{{5}})-of-(\d{{5}})(?:-[0-9a-f]+)?\.parquet", shard.name)
        if match is None:
            raise InputError(f"{shard}: name shards {split}-00000-of-00002.parquet and so on, counted from 0")
        totals.add(int(match[2]))
    if shards and totals != {len(shards)}:
        raise InputError(
            f"{folder}: {len(shards)} {split} shards ({shards[0].name}, ...) that do not add up; put all of them there"
        )
    return (single,) if single.exists() else tuple(shards)


def file_digest(file: Path, *, whole: int | None = None) -> str:
    """Size and SHA-256 of a file's bytes; of one above `whole` bytes (`LARGE_FILE` when None), of its last 64 KiB."""
    try:
        size = file.stat().st_size
        with file.open("rb") as stream:
            if size > (LARGE_FILE if whole is None else whole):
                stream.seek(max(0, size - TAIL))
            return f"{size} {hashlib.file_digest(stream, 'sha256').hexdigest()}"
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror})") from None
