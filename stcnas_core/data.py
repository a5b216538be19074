"""A whole data set on the device, cut into batches and augmented there by batched tensor operations.

Shapes: N images of the set, B images of a batch, S the side in pixels, P the side with padding.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from stcnas_core.cifar import Triple
from stcnas_core.datasets import Images
from stcnas_core.errors import InputError
from stcnas_core.halves import draw_halves
from stcnas_core.parallel import ALONE, LEAST, Group

_RESIZE_CHUNK = 2048


class ImageSet:
    """Images and labels on a device, at the side that the networks see.

    `images` is (N, 3, S, S) uint8 in channels-last memory, `labels` (N,) int64, `size` S. `resolution` averages blocks
    of pixels (rounded to the nearest, halves up) or repeats pixels, by a whole factor; InputError for another side.
    """

    def __init__(self, images: Images, device: torch.device | str, resolution: int | None = None) -> None:
        self.device = self.draws_on = torch.device(device)
        self.classes = images.classes
        self.images = _resize(torch.from_numpy(images.images), resolution, self.device)
        self.labels = torch.from_numpy(np.ascontiguousarray(images.labels)).to(self.device)
        self.size = self.images.shape[2]
        self._flip = images.flip
        self._mean, self._scale = statistics(images.mean, images.std, self.size, self.device)

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def device_bytes(self) -> int:
        """Bytes that each image takes on the device."""
        return 3 * self.size**2

    def halves(self, seed: int, share: float | None) -> tuple[Tensor, Tensor]:
        """Two disjoint sets of images of equal size (`draw_halves`)."""
        train, valid, _ = draw_halves(self.labels.cpu().numpy(), seed, share)
        return train, valid

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
        """Batches (x, y) of the images `indices`: x (B, 3, S, S) float32, normalised, in channels-last memory; y (B,).

        `indices` (int64) and the generator `order`, which shuffles them once per call, are on the CPU; None keeps the
        order given. The generator `augment`, on the device, draws per image a crop after zero padding by S // 8 (at
        least 1), a left-right flip where the data set allows it, and the centre of a square of `cutout` pixels of a
        32-pixel image (scaled with S) that is blanked after normalisation; None augments nothing and cuts nothing.
        With `drop_single` a last batch of one image is dropped, because batch norm over a batch needs two, unless it
        is the only batch or all are that small. Both generators together determine every batch; the global one is
        never drawn from. Of each batch a process of a `group` gets its part, and a last one is dropped that leaves any
        process fewer than two images.
        """
        check_indices(indices, len(self), batch_size)
        if order is not None:
            indices = indices[torch.randperm(len(indices), generator=order)]
        sizes = batch_sizes(len(indices), batch_size, group.least if drop_single else 1)
        return self._batches(indices[: sum(sizes)].to(self.device).split(sizes), augment, cutout, group)

    def _batches(
        self, batches: Sequence[Tensor], augment: torch.Generator | None, cutout: int, group: Group
    ) -> Iterator[tuple[Tensor, Tensor]]:
        for whole in batches:
            part = group.part(len(whole))
            chosen = whole[part]
            pixels = self.images.permute(0, 2, 3, 1).index_select(0, chosen)
            if augment is not None:
                pixels = _crop_and_flip(pixels, self._flip, augment, len(whole), part)
            cut = squares(len(whole), self.size, cutout, augment)[part] if augment is not None and cutout else None
            yield normalised(pixels, self._mean, self._scale, cut), self.labels.index_select(0, chosen)


def check_indices(indices: Tensor, images: int, batch_size: int) -> None:
    """Raise where a set of so many images cannot be cut into such batches."""
    if batch_size < 1:
        raise ValueError(f"batch_size is {batch_size}, it must be at least 1")
    if indices.ndim != 1 or (len(indices) and not 0 <= int(indices.min()) <= int(indices.max()) < images):
        raise IndexError(f"indices must be one-dimensional and in 0 to {images - 1}")


def batch_sizes(images: int, batch_size: int, least: int = LEAST) -> list[int]:
    """How many images each batch has; a last one of fewer than `least` is left out, unless all are that small."""
    whole, last = divmod(images, batch_size)
    left_out = whole and last < least <= batch_size
    return [batch_size] * whole + ([last] if last and not left_out else [])


def statistics(mean: Triple, std: Triple, size: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """What `normalised` subtracts and multiplies with: (S * 3,) each, for one row of uint8 pixels.

    A vector that long is subtracted many times faster than one of 3 channels.
    """
    means, stds = (torch.tensor(values, dtype=torch.float64) * 255 for values in (mean, std))
    return means.float().repeat(size).to(device), (1 / stds).float().repeat(size).to(device)


def normalised(pixels: Tensor, mean: Tensor, scale: Tensor, cut: Tensor | None) -> Tensor:
    """(B, S, S, 3) uint8 to (B, 3, S, S) float32 in channels-last memory, zero where `cut` (B, S, S * 3) is."""
    batch, size = pixels.shape[:2]
    x = pixels.view(batch, size, size * 3).float().sub_(mean).mul_(scale)
    if cut is not None:
        x.masked_fill_(cut, 0.0)
    return x.view(batch, size, size, 3).permute(0, 3, 1, 2)


def _crop_and_flip(pixels: Tensor, flip: bool, generator: torch.Generator, whole: int, part: slice) -> Tensor:
    """A crop of each padded image, flipped by the toss of a coin; (B, S, S, 3) uint8 in and out, the images `part` of
    the `whole` that the batch has.

    Draws, in this order: (2, whole) offsets of the crop's upper and left edge in the padded image, then (whole,) coins.
    """
    batch, size = pixels.shape[:2]
    device = pixels.device
    margin = max(size // 8, 1)
    padded_side = size + 2 * margin
    top, left = torch.randint(0, 2 * margin + 1, (2, whole), generator=generator, device=device)[:, part]
    step = torch.arange(size, device=device)
    columns = step.expand(batch, size)
    if flip:
        coin = torch.randint(0, 2, (whole, 1), generator=generator, device=device)[part]
        columns = torch.where(coin == 1, size - 1 - columns, columns)
    padded = pad(pixels, (0, 0, margin, margin, margin, margin))
    rows = torch.arange(batch, device=device)[:, None] * padded_side + top[:, None] + step
    strips = padded.view(batch * padded_side, padded_side * 3).index_select(0, rows.view(-1))
    values = ((columns + left[:, None])[:, :, None] * 3 + torch.arange(3, device=device)).view(batch, 1, size * 3)
    cropped = strips.view(batch, size, padded_side * 3).gather(2, values.expand(batch, size, size * 3))
    return cropped.view(batch, size, size, 3)


def squares(batch: int, size: int, cutout: int, generator: torch.Generator) -> Tensor:
    """Mask (B, S, S * 3) of a square per image, its centre uniform over the pixels and its overhang cut off (DARTS's).

    Draws (2, B) centres, rows then columns. An odd side has its longer half below and right of the centre.
    """
    side = (cutout * size + 16) // 32
    device = generator.device
    centre = torch.randint(0, size, (2, batch, 1), generator=generator, device=device)
    offset = torch.arange(size, device=device) - centre + side // 2
    rows, columns = (offset >= 0) & (offset < side)
    return rows[:, :, None] & columns.repeat_interleave(3, dim=1)[:, None, :]


def _resize(images: Tensor, resolution: int | None, device: torch.device) -> Tensor:
    """(N, 3, H, H) uint8 to (N, 3, S, S) uint8 on the device in channels-last memory."""
    count, _, side, _ = images.shape
    size = side if resolution is None else resolution
    if size < 1 or (side % size and size % side):
        down = [str(side // factor) for factor in range(side // 2, 0, -1) if side % factor == 0]
        raise InputError(
            f"resolution: images of {side} pixels cannot be brought to {size} by a whole factor; "
            f"possible: {', '.join(down)}, and multiples such as {2 * side} and {3 * side}"
        )
    if size == side:
        return images.to(device).contiguous(memory_format=torch.channels_last)
    out = torch.empty((count, 3, size, size), dtype=torch.uint8, device=device, memory_format=torch.channels_last)
    for start in range(0, count, _RESIZE_CHUNK):
        chunk = images[start : start + _RESIZE_CHUNK].to(device)
        if size > side:
            factor = size // side
            chunk = chunk.repeat_interleave(factor, 2).repeat_interleave(factor, 3)
        else:
            factor = side // size
            blocks = chunk.reshape(-1, 3, size, factor, size, factor)
            chunk = (blocks.sum((3, 5), dtype=torch.int32) + factor * factor // 2) // (factor * factor)
        out[start : start + _RESIZE_CHUNK] = chunk
    return out
