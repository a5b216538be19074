"""Encoded images that are read one by one by any thread: class folders, WebDataset shards, Parquet; free of torch."""

import os
import tarfile
import threading
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from stcnas_core.errors import InputError
from stcnas_core.image_parquet import ImageTable

SUFFIXES = (".jpeg", ".jpg", ".png", ".webp", ".bmp")
LARGEST_GROUP = 64 * 2**20
"""Bytes of the largest Parquet row group read: a row group is read as a whole, and some are held at a time."""
HELD_GROUPS = 48
"""Row groups in memory: those that two passes shuffle among each other (`streaming.WINDOW`), and the next ones."""


class Encoded(Protocol):
    """A split of N images in the order in which they lie."""

    labels: np.ndarray
    """(N,) int64, at least 0."""
    blocks: np.ndarray | None
    """(N,) int64, ascending: what is read together; None where each image is read by itself."""

    def read(self, index: int) -> bytes | memoryview:
        """The encoded image; raises InputError naming the file where it cannot be read. Safe in several threads."""
        ...

    def place(self, index: int) -> str:
        """Name where the image lies, as messages do."""
        ...


class FolderImages:
    """`<folder>/<class>/<image>`, classes and images in order of name; `classes` are the names that count as labels."""

    blocks: np.ndarray | None = None

    def __init__(self, folder: Path, classes: Sequence[str]) -> None:
        known = {name: label for label, name in enumerate(classes)}
        self._folders: list[Path] = []
        self._names: list[str] = []
        counts: list[int] = []
        labels: list[int] = []
        for name in class_names(folder):
            if name not in known:
                raise InputError(f"{folder / name}: {name} is no class of the training images; remove or rename it")
            names = image_names(folder / name)
            self._folders.append(folder / name)
            self._names += names
            counts.append(len(names))
            labels.append(known[name])
        self.labels = np.repeat(np.array(labels, np.int64), counts)
        self._of = np.repeat(np.arange(len(counts)), counts)

    def read(self, index: int) -> bytes:
        """The file's bytes."""
        file = self._file(index)
        try:
            return file.read_bytes()
        except OSError as error:
            raise InputError(f"{file}: cannot be read ({error.strerror})") from None

    def place(self, index: int) -> str:
        """The file."""
        return str(self._file(index))

    def _file(self, index: int) -> Path:
        return self._folders[self._of[index]] / self._names[index]


class TarImages:
    """WebDataset shards: of each sample `<key>.jpg` (or another image) and `<key>.cls`, a whole number from 0, next to
    each other, whatever else it has; read by offset, so that any order will do.
    """

    blocks: np.ndarray | None = None

    def __init__(self, files: Sequence[Path]) -> None:
        self._files = tuple(files)
        self._keys: list[str] = []
        spans: list[tuple[int, int, int]] = []
        labels: list[int] = []
        for number, file in enumerate(self._files):
            before = len(labels)
            for key, offset, size, label in _samples(file):
                self._keys.append(key)
                spans.append((number, offset, size))
                labels.append(label)
            if len(labels) == before:
                raise InputError(f"{file}: no sample; a shard holds pairs such as 000000.jpg and 000000.cls")
        self.labels = np.array(labels, np.int64)
        self._spans = np.array(spans, np.int64).reshape(-1, 3)

    def read(self, index: int) -> bytes:
        """The bytes of the image within its shard."""
        number, offset, size = self._spans[index].tolist()
        try:
            with self._files[number].open("rb", buffering=0) as stream:
                data = os.pread(stream.fileno(), size, offset)
        except OSError as error:
            raise InputError(f"{self._files[number]}: cannot be read ({error.strerror})") from None
        if len(data) != size:
            raise InputError(f"{self.place(index)}: the shard ends within the image; copy it again")
        return data

    def place(self, index: int) -> str:
        """The shard and the key in it."""
        return f"{self._files[self._spans[index, 0]]}, sample {self._keys[index]}"


class ParquetImages:
    """The rows of Parquet files, read by the row group; those that were used last are held."""

    def __init__(self, files: Sequence[Path]) -> None:
        self._table = ImageTable(files, ("label",))
        sizes = self._table.group_sizes()
        largest = max(held for _, held in sizes)
        if largest > LARGEST_GROUP:
            raise InputError(
                f"{files[0].parent}: a row group holds {largest / 2**20:,.0f} MiB of images, more than "
                f"{LARGEST_GROUP >> 20}; write the files again with row groups of 100 rows"
            )
        self.labels = self._table.labels()
        self._group = np.repeat(np.arange(len(sizes)), [rows for rows, _ in sizes])
        self.blocks: np.ndarray | None = self._group
        self._first = np.concatenate([[0], np.cumsum([rows for rows, _ in sizes])])
        self._held: OrderedDict[int, list[memoryview]] = OrderedDict()
        self._lock = threading.Lock()
        self._check_order()

    def read(self, index: int) -> memoryview:
        """The image's bytes within its row group."""
        number = int(self._group[index])
        with self._lock:
            group = self._held.get(number)
            if group is None:
                group = self._held[number] = self._table.group(number)
                if len(self._held) > HELD_GROUPS:
                    self._held.popitem(last=False)
            else:
                self._held.move_to_end(number)
        return group[index - int(self._first[number])]

    def place(self, index: int) -> str:
        """The file and the row in it."""
        return self._table.place(index)

    def _check_order(self) -> None:
        """Rows are shuffled within a few row groups at a time, so these must hold a mixture of classes."""
        groups = np.split(self.labels, self._first[1:-1])
        classes = len(np.unique(self.labels))
        mixed = [len(np.unique(group)) / min(len(group), classes) for group in groups]
        if len(groups) > 1 and np.mean(mixed) < 0.25:
            raise InputError(
                f"{self._table.files[0]}: the rows lie in order of their labels; write the files with shuffled rows"
            )


def class_names(folder: Path) -> list[str]:
    """Names of the class folders in `folder`, sorted; raises InputError where there are none."""
    try:
        with os.scandir(folder) as entries:
            found = [(entry.name, entry.is_dir()) for entry in entries if not entry.name.startswith(".")]
    except OSError as error:
        raise InputError(f"{folder}: cannot be read ({error.strerror})") from None
    names = sorted(name for name, is_folder in found if is_folder)
    if not names:
        images = sum(name.lower().endswith(SUFFIXES) for name, _ in found)
        how = (
            f"it holds {images:,} images without class folders; sort them into one folder a class"
            if images
            else "empty"
        )
        raise InputError(f"{folder}: no class folders: {how}")
    return names


def image_names(folder: Path) -> list[str]:
    """Names of the images in `folder`, sorted; raises InputError where there are none."""
    try:
        with os.scandir(folder) as entries:
            names = sorted(
                entry.name
                for entry in entries
                if entry.name.lower().endswith(SUFFIXES) and not entry.name.startswith(".")
            )
    except OSError as error:
        raise InputError(f"{folder}: cannot be read ({error.strerror})") from None
    if not names:
        raise InputError(f"{folder}: no images ({', '.join(SUFFIXES)}); every class needs some")
    return names


def _samples(file: Path) -> list[tuple[str, int, int, int]]:
    """Key, offset, size and label of each sample of a shard, in its order."""
    images: dict[str, tuple[int, int]] = {}
    labels: dict[str, int] = {}
    try:
        with tarfile.open(file, "r:") as tar:
            for member in tar:
                tar.members = []  # type: ignore[assignment] # it would keep every header of the shard
                if not member.isfile():
                    continue
                folder, _, name = member.name.rpartition("/")
                stem, _, suffix = name.partition(".")
                key = f"{folder}/{stem}" if folder else stem
                if f".{suffix.lower()}" in SUFFIXES:
                    if key in images:
                        raise InputError(f"{file}: sample {key} has two images; a sample has one")
                    images[key] = (member.offset_data, member.size)
                elif suffix == "cls":
                    content = tar.extractfile(member)
                    labels[key] = _label(b"" if content is None else content.read(32), f"{file}: {member.name}")
    except (tarfile.TarError, OSError) as error:
        raise InputError(f"{file}: not readable as a tar file ({str(error)[:100]}); copy or write it again") from None
    for key in images:
        if key not in labels:
            raise InputError(f"{file}: sample {key} has an image and no {key}.cls, which must hold its label")
    return [(key, *span, labels[key]) for key, span in images.items()]


def _label(text: bytes, where: str) -> int:
    if not text.strip().isdigit() or len(text.strip()) > 9:
        raise InputError(f"{where}: {text[:20]!r} is no label; it must hold a whole number from 0")
    return int(text)
