"""Data sets as arrays: where they lie, whether they are whole, and their images, labels and statistics; free of torch.

| data set | where from | split |
| --- | --- | --- |
| digits | scikit-learn, 8x8 grey handwritten digits | 1,437 train, 360 test (36 of each class) |
| cifar10, cifar100 | torchvision's layout, or image Parquet | as published |
| parquet | any image Parquet | train and test files |
| imagenet | class folders, image Parquet or WebDataset shards (`imagenet`) | train, and the validation images as test |

Image Parquet is a folder with `train.parquet` and `test.parquet`, or with shards named as Hugging Face names them
(`train-00000-of-00002.parquet`, ...); `image_parquet` says which columns. A data path is a root: the data lie in
`<path>/<data set>/` where that folder exists, else in `<path>` itself. Nothing is downloaded except by `fetch`.
"""

import hashlib
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, get_args

import numpy as np

from stcnas_core import cifar, imagenet
from stcnas_core.config import DatasetName
from stcnas_core.errors import InputError
from stcnas_core.image_files import SPLITS, Source, Split, file_digest, parquet_shards, root_of
from stcnas_core.image_parquet import ImageTable

_MEASURED_IMAGES = 4096
_SORTED_ROWS = 20


@dataclass(frozen=True)
class Images:
    """A split in memory; `images` (N, 3, H, H) uint8, in channels-last order underneath, and `labels` (N,) int64."""

    images: np.ndarray
    labels: np.ndarray
    classes: int
    """Number of classes; labels are 0 to classes - 1."""
    mean: tuple[float, float, float]
    """Mean of each channel over the training images, of pixels in [0, 1]."""
    std: tuple[float, float, float]
    """Standard deviation of each channel likewise, at least 1/255."""
    flip: bool
    """Whether a left-right flip keeps an image's label."""


def read(dataset: str, split: Split, *, path: str | None = None, limit: int | None = None) -> Images:
    """Read the first `limit` images (all when None) of a split; raises InputError naming what is wrong and where.

    `mean` and `std` never depend on `split` or `limit`: those published for CIFAR, measured on all training images
    for digits, and on up to 4,096 training images evenly spread over the files for other Parquet.
    """
    if split not in SPLITS:
        raise InputError(f"{split!r} is no split; known: {', '.join(SPLITS)}")
    if limit is not None and limit < 1:
        raise InputError(f"{dataset}: cannot read {limit} images; ask for at least 1")
    source = locate(dataset, path)
    if dataset == "imagenet":
        raise ValueError("imagenet is too large to be read whole: image_sets.open_images")
    if source.folder is None:
        return _read_digits(split, limit)
    if source.kind == "torchvision":
        images, labels = cifar.read(dataset, source.folder, train=split == "train")
        count = _count(f"{dataset}, {split} split", len(labels), limit)
        published = cifar.PUBLISHED[dataset]
        return Images(_channels_first(images[:count]), labels[:count], published.classes, *published.statistics, True)
    return _read_parquet(dataset, source, split, limit)


def fingerprint(dataset: str, path: str | None = None) -> str:
    """Name a data set and its content: `digits@scikit-learn`, `cifar10@torchvision`, `cifar10@parquet:<12 hex>`.

    `imagenet.fingerprint` says what names ImageNet. Elsewhere the hexadecimal digits depend on the bytes of the train
    and test files alone (beyond 256 MiB on a file's size and last 64 KiB, which hold its footer), not on names, folders
    or times. Raises InputError where the data are missing,
    damaged or, in torchvision's layout, not the published files.
    """
    source = locate(dataset, path)
    if dataset == "imagenet":
        return imagenet.fingerprint(source)
    if source.kind == "torchvision" and source.folder is not None:
        cifar.verify(dataset, source.folder)
    if source.kind != "parquet":
        return f"{dataset}@{source.kind}"
    content = hashlib.sha256()
    for split in SPLITS:
        files = source.files(split)
        ImageTable(files, _label_columns(dataset))
        for file in files:
            content.update(f"{split} {file_digest(file)}\n".encode())
    return f"{dataset}@parquet:{content.hexdigest()[:12]}"


def locate(dataset: str, path: str | None = None) -> Source:
    """Find a data set without reading it; raises InputError where it is not, saying what was looked for."""
    _check_known(dataset)
    if dataset == "digits":
        return Source("scikit-learn")
    if dataset == "parquet" and path is None:
        raise InputError("parquet: where are the images? Set data.path to a folder with train.parquet and test.parquet")
    folder = root_of(dataset, path)
    if dataset == "imagenet":
        return imagenet.locate(folder)
    train, test = parquet_shards(folder, "train"), parquet_shards(folder, "test")
    if train and test:
        return Source("parquet", folder, train, test)
    if dataset in cifar.PUBLISHED and cifar.exists(dataset, folder):
        return Source("torchvision", folder)
    if train or test:
        raise InputError(
            f"{dataset}: {folder} has {'train' if train else 'test'} Parquet files but no "
            f"{'test.parquet' if train else 'train.parquet'}; both splits are needed"
        )
    others = sorted(file.name for file in folder.glob("*.parquet"))[:5] if folder.is_dir() else []
    found = f"; found {', '.join(others)} instead" if others else ""
    if dataset == "parquet":
        raise InputError(
            f"parquet: no train.parquet and test.parquet in {folder}{found}; "
            "rename the files or point data.path elsewhere"
        )
    raise InputError(
        f"{dataset}: no data in {folder}{found}; run `stcnas data fetch {dataset} --path {path or folder}`, "
        "or point data.path at a folder of image Parquet (train.parquet, test.parquet)"
    )


def fetch(dataset: str, path: str | None = None) -> Path | None:
    """Download CIFAR under `path` unless it is there already; returns its folder, None where nothing is needed.

    A download that fails leaves nothing behind, and a damaged copy is replaced. Raises InputError where the network
    or the disk fails, or where a data set cannot be downloaded.
    """
    _check_known(dataset)
    if dataset == "digits":
        return None
    if dataset == "parquet":
        raise InputError("parquet: these are your own files, there is nothing to fetch; fetch cifar10 or cifar100")
    if dataset == "imagenet":
        raise InputError(
            "imagenet: its terms are accepted by each user on image-net.org, so it cannot be fetched from here; "
            "docs/imagenet.md says how to lay it out"
        )
    if path is not None and "://" not in path:
        try:
            Path(path).expanduser().mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{path}: cannot be made a folder ({error.strerror}); choose another --path") from None
    folder = root_of(dataset, path)
    if parquet_shards(folder, "train") and parquet_shards(folder, "test"):
        fingerprint(dataset, path)
        return folder
    cifar.fetch(dataset, folder)
    return folder


def _check_known(dataset: str) -> None:
    if dataset not in get_args(DatasetName):
        raise InputError(f"unknown data set {str(dataset)[:60]!r}; known: {', '.join(get_args(DatasetName))}")


def _label_columns(dataset: str) -> tuple[str, ...]:
    return ("fine_label", "label") if dataset == "cifar100" else ("label",)


def _count(where: str, rows: int, limit: int | None) -> int:
    if limit is not None and limit > rows:
        raise InputError(f"{where}: {limit:,} images asked for, there are {rows:,}; ask for at most so many")
    return rows if limit is None else limit


def _channels_first(images: np.ndarray) -> np.ndarray:
    return images.transpose(0, 3, 1, 2)


def _digits() -> tuple[np.ndarray, np.ndarray]:
    """scikit-learn's grey values of 0 to 16, (1797, 8, 8), and labels (1797,).

    Read from its file where that is found: importing scikit-learn takes more time than a small search.
    """
    package = find_spec("sklearn")
    folders = [] if package is None else package.submodule_search_locations or []
    files = [file for folder in folders if (file := Path(folder, "datasets", "data", "digits.csv.gz")).is_file()]
    if files:
        table = np.loadtxt(files[0], delimiter=",", dtype=np.int64)
        return table[:, :-1].reshape(-1, 8, 8), table[:, -1]
    from sklearn.datasets import load_digits

    digits: Any = load_digits()
    return digits.images.astype(np.int64), digits.target.astype(np.int64)


def _read_digits(split: Split, limit: int | None) -> Images:
    """Of each class 36 images, evenly spaced in scikit-learn's order, test; both splits go round the classes in turn.

    The spacing keeps every writer in both splits, as in the usual random split of this data set: accuracies are for
    known handwriting.
    """
    values, labels = _digits()
    rank, in_class = np.zeros(len(labels), np.int64), np.bincount(labels)[labels]
    for label in range(10):
        rank[labels == label] = np.arange((labels == label).sum())
    test = (rank + 1) * 36 // in_class > rank * 36 // in_class
    grey = ((values * 255 + 8) // 16).astype(np.uint8)
    images = np.repeat(grey[..., None], 3, axis=3)
    rows = np.flatnonzero(test if split == "test" else ~test)
    turn = np.empty_like(rows)
    for label in range(10):
        turn[labels[rows] == label] = np.arange((labels[rows] == label).sum())
    rows = rows[np.lexsort((labels[rows], turn))]
    rows = rows[: _count(f"digits, {split} split", len(rows), limit)]
    return Images(_channels_first(images[rows]), labels[rows], 10, *_statistics(images[~test]), flip=False)


def _read_parquet(dataset: str, source: Source, split: Split, limit: int | None) -> Images:
    train = ImageTable(source.train, _label_columns(dataset))
    labels = train.labels()
    published = cifar.PUBLISHED.get(dataset)
    classes = _classes(dataset, train, labels, published)
    table = train
    if split == "test":
        table = ImageTable(source.test, _label_columns(dataset))
        labels = table.labels()
        if labels.max() >= classes:
            row = int(np.flatnonzero(labels >= classes)[0])
            raise InputError(
                f"{table.place(row)}: label {labels[row]} is none of the train split's, which are 0 to {classes - 1}; "
                "correct the label or drop the row"
            )
    count = _count(f"{source.files(split)[0]}, {split} split", len(labels), limit)
    labels = labels[:count]
    if split == "train" and count >= _SORTED_ROWS and (labels == labels[0]).all():
        raise InputError(
            f"{source.train[0]}: the first {count:,} training images are all of class {labels[0]}; "
            "shuffle the rows, so that the first ones are a fair sample"
        )
    if published is not None:
        images = table.images(range(count), published.side)
        return Images(_channels_first(images), labels, classes, *published.statistics, flip=True)
    step = -(-train.rows // _MEASURED_IMAGES)
    if split == "train" and count == train.rows:
        images = train.images(range(count), None)
        sample = images[::step]
    else:
        sample = train.images(range(0, train.rows, step), None)
        images = table.images(range(count), sample.shape[1])
    return Images(_channels_first(images), labels, classes, *_statistics(sample), flip=True)


def _classes(dataset: str, train: ImageTable, labels: np.ndarray, published: cifar.Published | None) -> int:
    """Number of classes of the train split; its labels must be 0 to K - 1, every one of them there."""
    found = np.unique(labels)
    expected = len(found) if published is None else published.classes
    gaps = np.setdiff1d(np.arange(expected), found)
    where = f"{train.files[0]}, train split"
    if expected < 2:
        raise InputError(f"{where}: all labels are {found[0]}; a data set needs at least two classes")
    if len(gaps):
        raise InputError(
            f"{where}: labels must be 0 to K - 1 without gaps{'' if published is None else f', K = {expected}'}; "
            f"no image has label {gaps[0]}, the largest label is {found[-1]}"
        )
    if len(found) > expected:
        row = int(np.flatnonzero(labels >= expected)[0])
        raise InputError(f"{train.place(row)}: label {labels[row]}, but {dataset} has the classes 0 to {expected - 1}")
    return expected


def _statistics(images: np.ndarray) -> tuple[cifar.Triple, cifar.Triple]:
    """Mean and standard deviation of each channel of (N, H, W, 3) uint8, from exact integer sums."""
    total, square = np.zeros(3, np.int64), np.zeros(3, np.int64)
    for start in range(0, len(images), 256):
        pixels = images[start : start + 256].astype(np.int64)
        total += pixels.sum((0, 1, 2))
        square += (pixels * pixels).sum((0, 1, 2))
    count = images.size // 3
    mean = total / count
    std = np.sqrt(np.maximum(square / count - mean * mean, 1.0))
    (r, g, b), (sr, sg, sb) = (mean / 255).tolist(), (std / 255).tolist()
    return (r, g, b), (sr, sg, sb)
