"""ImageNet's layouts, and any other large data set's in the same form; free of torch.

| layout | training images | validation images, which test |
| --- | --- | --- |
| folder | `train/<class>/*.JPEG` | `val/<class>/*.JPEG` |
| Parquet, as Hugging Face publishes it | `train-00000-of-00294.parquet`, ... | `validation-...` |
| WebDataset shards | `*train*.tar`, with `<key>.jpg` and `<key>.cls` | `*val*.tar` |

Images are of any size and stay encoded on the disk; a folder holds one of the layouts.
"""

import hashlib
from pathlib import Path
from typing import Literal

import numpy as np

from stcnas_core.encoded import Encoded, FolderImages, ParquetImages, TarImages, class_names, image_names
from stcnas_core.errors import InputError
from stcnas_core.image_files import SPLITS, Source, Split, file_digest, parquet_shards

NATIVE_SIDE = 224
"""Side in pixels of the crops that networks see."""
STATISTICS = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""Mean and standard deviation of each channel of ImageNet's training images, as everybody has used them."""

Form = Literal["parquet", "folder", "webdataset"]

_MEASURED_FILES = 10_000


def locate(folder: Path) -> Source:
    """Find the layout in `folder`; raises InputError where there is none or more than one."""
    found: list[Source] = []
    forms: tuple[tuple[Form, tuple[Path, ...], tuple[Path, ...]], ...] = (
        ("parquet", parquet_shards(folder, "train"), parquet_shards(folder, "validation")),
        ("folder", _folder(folder / "train"), _folder(folder / "val")),
        ("webdataset", tuple(sorted(folder.glob("*train*.tar"))), tuple(sorted(folder.glob("*val*.tar")))),
    )
    for kind, train, test in forms:
        if train and test:
            found.append(Source(kind, folder, train, test))
        elif train or test:
            missing = "validation" if train else "training"
            raise InputError(
                f"imagenet: {folder} has {(*train, *test)[0].name} but no {missing} images beside it; both are needed, "
                "as train and val folders, train and validation Parquet files, or train and val tar files"
            )
    if len(found) > 1:
        both = " and ".join(f"{source.kind} ({source.train[0].name})" for source in found)
        raise InputError(f"imagenet: {folder} holds two forms, {both}; keep one, so that it is clear which is meant")
    if not found:
        raise InputError(
            f"imagenet: no images in {folder}; put train and val with a folder of images a class there, Parquet files "
            "(train-00000-of-..., validation-00000-of-...) or WebDataset shards (*train*.tar, *val*.tar), or point "
            "data.path elsewhere; docs/imagenet.md has the layouts"
        )
    return found[0]


def _folder(path: Path) -> tuple[Path, ...]:
    return (path,) if path.is_dir() else ()


def fingerprint(source: Source) -> str:
    """`imagenet@folder:<12 hex>`, or `parquet`, `webdataset` for folder, without reading the images.

    The digits depend on the names of all images of a folder and the sizes of up to 10,000 of a split, evenly spread;
    of other files, on the size and the last 64 KiB of each.
    """
    content = hashlib.sha256()
    for split in SPLITS:
        for file in source.files(split):
            lines = _folder_lines(file) if source.kind == "folder" else [file_digest(file, whole=0)]
            for line in lines:
                content.update(f"{split} {line}\n".encode())
    return f"imagenet@{source.kind}:{content.hexdigest()[:12]}"


def open_split(source: Source, split: Split) -> Encoded:
    """The images of a split; raises InputError where files are damaged or labels are not 0 to K - 1."""
    files = source.files(split)
    if source.kind == "folder":
        encoded: Encoded = FolderImages(files[0], class_names(source.train[0]))
    else:
        encoded = ParquetImages(files) if source.kind == "parquet" else TarImages(files)
    found = np.unique(encoded.labels)
    if split == "train" and (len(found) < 2 or found[-1] != len(found) - 1):
        raise InputError(
            f"{files[0]}: {len(found):,} different labels, the largest is {found[-1]}; the training images must have "
            "the labels 0 to K - 1, all of them and at least two"
        )
    return encoded


def _folder_lines(folder: Path) -> list[str]:
    files = [(name, image) for name in class_names(folder) for image in image_names(folder / name)]
    step = -(-len(files) // _MEASURED_FILES)
    lines = [f"{name}/{image}" for name, image in files]
    for at in range(0, len(files), step):
        file = folder / lines[at]
        try:
            lines[at] += f" {file.stat().st_size}"
        except OSError as error:
            raise InputError(f"{file}: cannot be read ({error.strerror})") from None
    return lines
