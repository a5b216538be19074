"""Real photographs in ImageNet's layouts: crops of scikit-learn's two sample images as JPEG files of many sizes."""

import io
import tarfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

CLASSES = ("n01440764", "n01443537", "n02123045", "n07753592")
"""Roof, sky, petal, leaf: quarters of the two photographs."""

Sample = tuple[int, str, bytes]
"""Label, name and JPEG."""


@cache
def _quarters() -> list[np.ndarray]:
    from sklearn.datasets import load_sample_images

    china, flower = load_sample_images().images
    return [china[214:], china[:213], flower[:, :320], flower[:, 320:]]


def samples(split: str, each: int, *, sides: tuple[int, int] = (40, 90)) -> list[Sample]:
    """So many JPEGs of each class, class by class, of widths and heights between the two."""
    draws = np.random.default_rng([each, split == "train"])
    found: list[Sample] = []
    for label, photograph in enumerate(_quarters()):
        for number in range(each):
            width, height = draws.integers(*sides, 2).tolist()
            top = int(draws.integers(photograph.shape[0] - height))
            left = int(draws.integers(photograph.shape[1] - width))
            file = io.BytesIO()
            Image.fromarray(photograph[top : top + height, left : left + width]).save(file, "JPEG", quality=90)
            found.append((label, f"{CLASSES[label]}_{number:05d}", file.getvalue()))
    return found


def write_folder(root: Path, train: int = 12, val: int = 4, **options: tuple[int, int]) -> Path:
    """`train/<class>/<name>.JPEG` and `val/<class>/<name>.JPEG` below `root`, which is returned."""
    for split, each in (("train", train), ("val", val)):
        for label, name, data in samples(split, each, **options):
            folder = root / split / CLASSES[label]
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{name}.JPEG").write_bytes(data)
    return root


def write_parquet(root: Path, train: int = 12, val: int = 4, rows: int = 6) -> Path:
    """Two training files and one of validation images as Hugging Face writes them, shuffled, in small row groups."""
    root.mkdir(parents=True, exist_ok=True)
    for split, each, files in (("train", train, 2), ("validation", val, 1)):
        order = np.random.default_rng(0).permutation(each * len(CLASSES))
        found = samples("train" if split == "train" else "val", each)
        shuffled = [found[at] for at in order]
        for number in range(files):
            part = shuffled[number::files]
            images = [{"bytes": data, "path": f"{name}.JPEG"} for _, name, data in part]
            table = pa.table({"image": images, "label": pa.array([label for label, _, _ in part], pa.int64())})
            pq.write_table(table, root / f"{split}-{number:05d}-of-{files:05d}.parquet", row_group_size=rows)
    return root


def write_shards(root: Path, train: int = 12, val: int = 4, files: int = 2) -> Path:
    """`imagenet1k-train-0000.tar`, ... and one of validation images, as WebDataset reads them."""
    root.mkdir(parents=True, exist_ok=True)
    for split, each, count in (("train", train, files), ("validation", val, 1)):
        found = samples("train" if split == "train" else "val", each)
        for number in range(count):
            with tarfile.open(root / f"imagenet1k-{split}-{number:04d}.tar", "w") as tar:
                for member, data in _members(found[number::count]):
                    info = tarfile.TarInfo(member)
                    info.size = len(data)
                    tar.addfile(info, io.BytesIO(data))
    return root


def _members(found: list[Sample]) -> Iterator[tuple[str, bytes]]:
    for label, name, data in found:
        yield f"{name}.jpg", data
        yield f"{name}.cls", str(label).encode()
        yield f"{name}.json", b"{}"
