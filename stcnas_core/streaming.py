"""A data set that stays encoded on the disk: images are read, decoded and augmented by threads ahead of the network.

Shapes: N images of the set, B images of a batch, S the side in pixels.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from stcnas_core.data import batch_sizes, check_indices, normalised, squares, statistics
from stcnas_core.encoded import Encoded
from stcnas_core.errors import InputError
from stcnas_core.halves import draw_halves, first_by_turns
from stcnas_core.imagenet import NATIVE_SIDE, STATISTICS
from stcnas_core.parallel import ALONE, Group
from stcnas_core.photographs import DRAWS, augmented, centred, decode

AHEAD = 2
"""Batches that are being made while the network computes on one."""
WINDOW = 16
"""Blocks whose images are shuffled among each other, where images cannot be read singly."""
SMALLEST_SIDE = 8


class StreamedImages:
    """Encoded images as batches on a device, with the interface of `ImageSet` (`image_sets.ImageBatches`).

    `limit` keeps so many images, taken from the classes by turns; `threads` decode. Raises InputError for a side that
    is no photograph's, and while batches are made for images that cannot be read.
    """

    device_bytes = 0

    def __init__(
        self,
        encoded: Encoded,
        device: torch.device | str,
        resolution: int | None = None,
        *,
        limit: int | None = None,
        threads: int = 1,
    ) -> None:
        self.device = torch.device(device)
        self.draws_on = torch.device("cpu")
        self.size = NATIVE_SIDE if resolution is None else resolution
        if self.size < SMALLEST_SIDE:
            raise InputError(f"resolution: crops of {self.size} pixels of photographs; {SMALLEST_SIDE} at least")
        self._encoded = encoded
        self._rows = first_by_turns(encoded.labels, limit)
        self._labels = encoded.labels[self._rows]
        self._blocks = None if encoded.blocks is None else torch.from_numpy(encoded.blocks[self._rows])
        self.classes = int(encoded.labels.max()) + 1
        self._mean, self._scale = statistics(*STATISTICS, self.size, self.device)
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="decode")

    def __len__(self) -> int:
        return len(self._rows)

    def halves(self, seed: int, share: float | None) -> tuple[Tensor, Tensor]:
        """Two disjoint sets of images of equal size, `draw_halves`'s, in an order that can be read."""
        train, valid, generator = draw_halves(self._labels, seed, share)
        return self._shuffled(train, generator), self._shuffled(valid, generator)

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
        """As `ImageSet.batches`, with photographs' augmentation (`photographs`); both generators are on the CPU.

        Where images are read in blocks, `order` shuffles the blocks, and images within `WINDOW` of them. A process of a
        `group` reads and decodes its part alone.
        """
        check_indices(indices, len(self), batch_size)
        if order is not None:
            indices = self._shuffled(indices, order)
        sizes = batch_sizes(len(indices), batch_size, group.least if drop_single else 1)
        return self._batches(indices[: sum(sizes)].split(sizes), augment, cutout, group)

    def _shuffled(self, indices: Tensor, generator: torch.Generator) -> Tensor:
        if self._blocks is None:
            return indices[torch.randperm(len(indices), generator=generator)]
        blocks, of = torch.unique(self._blocks[indices], return_inverse=True)
        place = torch.randperm(len(blocks), generator=generator)[of] // WINDOW
        # Equal places are told apart by the second draw.
        draw = torch.randperm(len(indices), generator=generator)
        return indices[torch.argsort(place * len(indices) + draw)]

    def _batches(
        self, batches: Sequence[Tensor], augment: torch.Generator | None, cutout: int, group: Group
    ) -> Iterator[tuple[Tensor, Tensor]]:
        chosen = iter(batches)
        under_way: deque[_Batch] = deque()
        try:
            while True:
                while len(under_way) <= AHEAD and (rows := next(chosen, None)) is not None:
                    under_way.append(self._begun(rows, augment, cutout, group))
                if not under_way:
                    return
                yield self._finished(under_way.popleft())
        finally:
            for batch in under_way:
                batch.cancel()

    def _begun(self, whole: Tensor, augment: torch.Generator | None, cutout: int, group: Group) -> "_Batch":
        """Give the threads the images of a batch; what is drawn is drawn here, in the order of the batches."""
        part = group.part(len(whole))
        indices = whole[part]
        count, on_cuda = len(indices), self.device.type == "cuda"
        pixels = torch.empty((count, self.size, self.size, 3), dtype=torch.uint8, pin_memory=on_cuda)
        into, draws, mask = pixels.numpy(), None, None
        if augment is not None:
            draws = torch.rand((len(whole), DRAWS), generator=augment, dtype=torch.float64)[part].numpy()
            if cutout:
                mask = squares(len(whole), self.size, cutout, augment)[part]
        images = [
            self._pool.submit(self._load, index, into[at], None if draws is None else draws[at])
            for at, index in enumerate(indices.tolist())
        ]
        return _Batch(images, pixels, torch.from_numpy(self._labels[indices.numpy()]), mask)

    def _load(self, index: int, into: np.ndarray, draws: np.ndarray | None) -> None:
        row = int(self._rows[index])
        image = decode(self._encoded.read(row), self._encoded.place(row))
        into[...] = np.asarray(centred(image, self.size) if draws is None else augmented(image, self.size, draws))

    def _finished(self, batch: "_Batch") -> tuple[Tensor, Tensor]:
        for image in batch.images:
            image.result()
        pixels, labels = batch.pixels.to(self.device, non_blocking=True), batch.labels.to(self.device)
        mask = None if batch.mask is None else batch.mask.to(self.device)
        return normalised(pixels, self._mean, self._scale, mask), labels


class _Batch:
    """A batch that threads are making."""

    def __init__(self, images: list[Future[None]], pixels: Tensor, labels: Tensor, mask: Tensor | None) -> None:
        self.images, self.pixels, self.labels, self.mask = images, pixels, labels, mask

    def cancel(self) -> None:
        """Let the threads leave out what they have not begun."""
        for image in self.images:
            image.cancel()
