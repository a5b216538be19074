"""The images of a data set as batches on a device, whether the whole set lies there or it is read from the disk."""

from collections.abc import Iterator
from typing import Protocol

import torch
from torch import Tensor

from stcnas_core import datasets, imagenet
from stcnas_core.data import ImageSet
from stcnas_core.encoded import Encoded
from stcnas_core.errors import InputError
from stcnas_core.image_files import Split
from stcnas_core.parallel import ALONE, Group
from stcnas_core.streaming import StreamedImages

STREAMED = ("imagenet",)
"""Data sets that are too large for a device."""


class ImageBatches(Protocol):
    """A split of a data set; equal generators give equal batches, whatever ran before."""

    device: torch.device
    draws_on: torch.device
    """Where generators of augmentation must be."""
    size: int
    """Side in pixels that networks see."""
    classes: int

    @property
    def device_bytes(self) -> int:
        """Bytes that each image takes on the device while it is in no batch."""
        ...

    def __len__(self) -> int:
        """Number of images."""
        ...

    def halves(self, seed: int, share: float | None) -> tuple[Tensor, Tensor]:
        """Indices of two disjoint sets of images (`draw_halves`): they train weights and architecture parameters."""
        ...

    def batches(
        self,
        indices: Tensor,
        batch_size: int,
        *,
        order: torch.Generator | None,
        augment: torch.Generator | None,
        cutout: int = 0,
        drop_single: bool = True,
        group: Group = ALONE,
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches of images (B, 3, S, S) and labels (B,); see `ImageSet.batches`."""
        ...


def open_images(
    dataset: str,
    split: Split,
    *,
    path: str | None,
    device: torch.device | str,
    limit: int | None = None,
    resolution: int | None = None,
) -> ImageBatches:
    """A split of a data set, or its first `limit` images; raises InputError where there are none that can be used.

    What is read from the disk is decoded by as many threads as PyTorch computes with.
    """
    if dataset not in STREAMED:
        return ImageSet(datasets.read(dataset, split, path=path, limit=limit), device, resolution)
    encoded = _encoded(dataset, split, path, limit)
    return StreamedImages(encoded, device, resolution, limit=limit, threads=torch.get_num_threads())


def count_images(dataset: str, split: Split, *, path: str | None, limit: int | None) -> int:
    """How many images `open_images` would give; raises InputError as it does."""
    if dataset not in STREAMED:
        return len(datasets.read(dataset, split, path=path, limit=limit).labels)
    return limit or len(_encoded(dataset, split, path, limit).labels)


def _encoded(dataset: str, split: Split, path: str | None, limit: int | None) -> Encoded:
    source = datasets.locate(dataset, path)
    encoded = imagenet.open_split(source, split)
    if limit is not None and limit > len(encoded.labels):
        raise InputError(
            f"{dataset}, {split} split: {limit:,} images asked for, there are {len(encoded.labels):,} in "
            f"{source.folder}; ask for at most so many"
        )
    return encoded
