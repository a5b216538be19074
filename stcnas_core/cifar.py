"""CIFAR in torchvision's layout: published facts, integrity, reading and download.

torchvision unpickles its batch files, so nothing is read before every file has the published checksum. Importing this
module, and checking integrity, is free of torch.
"""

import hashlib
import shutil
import tempfile
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from stcnas_core.errors import InputError

Triple = tuple[float, float, float]


@dataclass(frozen=True)
class Published:
    """What is published about one of the two data sets."""

    classes: int
    side: int
    """Height and width in pixels."""
    statistics: tuple[Triple, Triple]
    """Mean and standard deviation of each channel of the training images, of pixels in [0, 1]."""
    torchvision: str
    """Name of torchvision's class."""
    folder: str
    checksums: Mapping[str, str]
    """MD5 of each file in `folder`, as torchvision publishes them."""


PUBLISHED: Mapping[str, Published] = MappingProxyType(
    {
        "cifar10": Published(
            classes=10,
            side=32,
            statistics=((0.49139968, 0.48215841, 0.44653091), (0.24703223, 0.24348513, 0.26158784)),
            torchvision="CIFAR10",
            folder="cifar-10-batches-py",
            checksums={
                "data_batch_1": "c99cafc152244af753f735de768cd75f",
                "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
                "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
                "data_batch_4": "634d18415352ddfa80567beed471001a",
                "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
                "test_batch": "40351d587109b95175f43aff81a1287e",
                "batches.meta": "5ff9c542aee3614f3951f8cda6e48888",
            },
        ),
        "cifar100": Published(
            classes=100,
            side=32,
            statistics=((0.50707516, 0.48654887, 0.44091784), (0.26733429, 0.25643846, 0.27615047)),
            torchvision="CIFAR100",
            folder="cifar-100-python",
            checksums={
                "train": "16019d7e3df5f24257cddd939b257f8d",
                "test": "f0ef6b0ae62326f3e7ffdfab6717acfc",
                "meta": "7973b15100ade9c7d40fb424638fde48",
            },
        ),
    }
)


def exists(dataset: str, folder: Path) -> bool:
    """Whether torchvision's folder of this data set lies in `folder`, whole or not."""
    return (folder / PUBLISHED[dataset].folder).is_dir()


def verify(dataset: str, folder: Path) -> None:
    """Raise InputError unless every file has its published checksum."""
    published = PUBLISHED[dataset]
    for name, checksum in published.checksums.items():
        file = folder / published.folder / name
        again = f"run `stcnas data fetch {dataset} --path {folder}` to download it again"
        if not file.is_file():
            raise InputError(f"{dataset}: {file} is missing; {again}")
        try:
            with file.open("rb") as stream:
                found = hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
        except OSError as error:
            raise InputError(f"{dataset}: {file} cannot be read ({error.strerror})") from None
        if found != checksum:
            raise InputError(f"{dataset}: {file} is damaged, its checksum is not the published one; {again}")


def read(dataset: str, folder: Path, *, train: bool) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, 32, 32, 3) uint8 and labels (N,) int64 of a split; raises InputError as `verify` does."""
    verify(dataset, folder)
    loaded = _torchvision(dataset, folder, train=train, download=False)
    return np.ascontiguousarray(loaded.data), np.asarray(loaded.targets, dtype=np.int64)


def fetch(dataset: str, folder: Path) -> None:
    """Download into `folder` unless a whole copy is there; raises InputError where the network or the disk fails.

    The download goes to a hidden folder beside its final place and is renamed once it is whole, so that a reader or
    another `fetch` never meets half of it.
    """
    from http.client import HTTPException

    published = PUBLISHED[dataset]
    target = folder / published.folder
    if _whole(dataset, folder):
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".fetch-", dir=folder) as name:
            temporary = Path(name)
            _torchvision(dataset, temporary, train=True, download=True)
            verify(dataset, temporary)
            if target.exists() and not _whole(dataset, folder):
                shutil.move(target, temporary / "damaged")
            if not target.exists():
                (temporary / published.folder).rename(target)
    except (OSError, RuntimeError, HTTPException, EOFError) as error:
        if _whole(dataset, folder):
            return
        reason = str(error)[:200] or type(error).__name__
        raise InputError(
            f"{dataset}: the download to {folder} failed ({reason}); check the network and the disk, or unpack "
            f"torchvision's archive there by hand, so that {target} exists"
        ) from error


def _whole(dataset: str, folder: Path) -> bool:
    try:
        verify(dataset, folder)
    except InputError:
        return False
    return True


def _torchvision(dataset: str, root: Path, *, train: bool, download: bool) -> Any:
    # torchvision's reader trips deprecations of NumPy and tarfile that only its authors can act on.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from torchvision import datasets

        return getattr(datasets, PUBLISHED[dataset].torchvision)(root, train=train, download=download)
