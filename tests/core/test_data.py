"""Batches on the device: augmentation against slow per-image references, orders, resizing."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stcnas_core.data import ImageSet
from stcnas_core.datasets import Images
from stcnas_core.errors import InputError

MEAN, STD = (0.5, 0.4, 0.3), (0.25, 0.2, 0.3)


def make_images(count=12, side=8, flip=True, seed=0):
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (count, 3, side, side), dtype=np.uint8)
    return Images(pixels, np.arange(count, dtype=np.int64) % 3, 3, MEAN, STD, flip)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def normalise(pixels):
    """(..., 3, H, W) uint8 to float64, written the long way."""
    mean, std = (np.array(values).reshape(3, 1, 1) for values in (MEAN, STD))
    return (pixels.astype(np.float64) / 255 - mean) / std


def everything(image_set, batch_size=5, **options):
    options = {"order": None, "augment": None, **options}
    batches = list(image_set.batches(torch.arange(len(image_set)), batch_size, **options))
    return torch.cat([x for x, _ in batches]), torch.cat([y for _, y in batches])


def test_plain_batches_are_the_normalised_images_in_order():
    images = make_images()
    x, y = everything(ImageSet(images, "cpu"))
    assert x.dtype == torch.float32
    np.testing.assert_allclose(x.numpy(), normalise(images.images), atol=1e-5)
    assert y.tolist() == images.labels.tolist()


def test_layout_of_set_and_batches():
    image_set = ImageSet(make_images(6, 8), "cpu")
    assert (image_set.size, image_set.classes, len(image_set)) == (8, 3, 6)
    assert (tuple(image_set.images.shape), image_set.images.dtype) == ((6, 3, 8, 8), torch.uint8)
    assert image_set.labels.dtype == torch.int64
    x, y = next(image_set.batches(torch.tensor([4, 1]), 2, order=None, augment=generator(), cutout=8))
    assert x.shape == (2, 3, 8, 8)
    assert x.is_contiguous(memory_format=torch.channels_last)
    assert y.tolist() == [1, 1]


@pytest.mark.parametrize("flip", [True, False])
@pytest.mark.parametrize(("side", "margin"), [(4, 1), (8, 1), (16, 2), (32, 4)])
def test_every_augmented_image_is_a_crop_of_its_padded_original_and_all_crops_occur(side, margin, flip):
    images = make_images(1, side, flip=flip)
    padded = np.pad(images.images[0], ((0, 0), (margin, margin), (margin, margin)))
    shifts = range(2 * margin + 1)
    crops = {}
    for top in shifts:
        for left in shifts:
            crop = padded[:, top : top + side, left : left + side]
            crops[top, left, False] = crop
            crops[top, left, True] = crop[:, :, ::-1]
    wanted = {key for key in crops if flip or not key[2]}
    keys = list(crops)
    table = np.stack([normalise(crops[key]) for key in keys])
    image_set = ImageSet(images, "cpu")
    copies = torch.zeros(30 * len(wanted), dtype=torch.int64)
    seen = []
    for x, _ in image_set.batches(copies, 256, order=None, augment=generator(1)):
        for image in x.numpy():
            distance = np.abs(table - image).max((1, 2, 3))
            assert distance.min() < 1e-5
            seen.append(keys[int(distance.argmin())])
    assert set(seen) == wanted
    counts = np.unique([keys.index(key) for key in seen], return_counts=True)[1]
    assert counts.max() < 30 * 2.5
    if flip:
        assert abs(np.mean([key[2] for key in seen]) - 0.5) < 5 * 0.5 / len(seen) ** 0.5


def test_augmentation_equals_a_slow_reference_driven_by_the_same_draws():
    side, margin, cutout_side = 16, 2, 8
    images = make_images(9, side)
    image_set = ImageSet(images, "cpu")
    draws = generator(7)
    top, left = torch.randint(0, 2 * margin + 1, (2, 9), generator=draws).tolist()
    coins = torch.randint(0, 2, (9, 1), generator=draws).flatten().tolist()
    centres = torch.randint(0, side, (2, 9, 1), generator=draws).squeeze(-1).tolist()
    expected = []
    for index, image in enumerate(images.images):
        canvas = np.zeros((3, side + 2 * margin, side + 2 * margin), np.uint8)
        canvas[:, margin:-margin, margin:-margin] = image
        view = canvas[:, top[index] : top[index] + side, left[index] : left[index] + side]
        result = normalise(np.flip(view, 2) if coins[index] else view)
        y, x = centres[0][index], centres[1][index]
        half = cutout_side // 2
        result[:, max(y - half, 0) : y + half, max(x - half, 0) : x + half] = 0
        expected.append(result)
    found, _ = everything(image_set, 9, augment=generator(7), cutout=16)
    np.testing.assert_allclose(found.numpy(), np.stack(expected), atol=1e-5)
    assert 0 < sum(coins) < 9


@pytest.mark.parametrize(
    ("side", "cutout", "square"),
    [(32, 16, 16), (16, 16, 8), (8, 16, 4), (32, 5, 5), (8, 8, 2), (8, 1, 0), (8, 100, 25)],
)
def test_cutout_blanks_one_square_clipped_at_the_border(side, cutout, square):
    white = np.full((1, 3, side, side), 255, np.uint8)
    image_set = ImageSet(Images(white, np.zeros(1, np.int64), 2, (0.0,) * 3, (1.0,) * 3, False), "cpu")
    copies = torch.zeros(400, dtype=torch.int64)
    # Crops of the white image have black edges: find the square by comparing with the same draws without cutout.
    plain, cut = [], []
    for cutout_side, found in ((0, plain), (cutout, cut)):
        for _ in range(2):
            batch = next(image_set.batches(copies, 400, order=None, augment=generator(3), cutout=cutout_side))[0]
            found.append(batch.numpy())
    np.testing.assert_array_equal(cut[0], cut[1])
    assert set(np.unique(cut[0])) <= {0.0, 1.0}
    # With one batch the crop's draws come first, so both runs crop alike.
    areas = []
    for before, after in zip(plain[0], cut[0], strict=True):
        assert (before[0] == before[1]).all()
        assert (after[0] == after[1]).all()
        assert (after[0] == after[2]).all()
        gone = before[0] != after[0]
        areas.append(gone.sum())
        if gone.any():
            rows, columns = np.flatnonzero(gone.any(1)), np.flatnonzero(gone.any(0))
            box = gone[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
            assert box.all()
            assert max(box.shape) <= square
    if square == 0:
        assert max(areas) == 0
    elif square <= side:
        assert max(areas) == square * square
        assert len(set(areas)) > 1
    else:
        assert max(areas) == side * side


def test_cutout_needs_the_augmentation_generator():
    image_set = ImageSet(make_images(), "cpu")
    assert torch.equal(everything(image_set, cutout=16)[0], everything(image_set)[0])


def test_same_seeds_same_batches_and_the_global_generator_rests():
    image_set = ImageSet(make_images(50, 8), "cpu")
    state = torch.get_rng_state()

    def run(order, augment):
        return everything(image_set, 8, order=generator(order), augment=generator(augment), cutout=8)

    first, again = run(1, 2), run(1, 2)
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
    assert not torch.equal(first[0], run(1, 3)[0])
    assert not torch.equal(first[1], run(2, 2)[1])
    assert torch.equal(state, torch.get_rng_state())


def test_generators_go_on_where_they_stopped():
    image_set = ImageSet(make_images(30, 8), "cpu")
    order, augment = generator(1), generator(2)
    everything(image_set, 8, order=order, augment=augment)
    saved = order.get_state(), augment.get_state()
    second = everything(image_set, 8, order=order, augment=augment)
    order.set_state(saved[0])
    augment.set_state(saved[1])
    assert torch.equal(second[0], everything(image_set, 8, order=order, augment=augment)[0])


def test_order_is_drawn_when_batches_is_called():
    image_set = ImageSet(make_images(30, 8), "cpu")
    order = generator(1)
    before = order.get_state()
    waiting = image_set.batches(torch.arange(30), 8, order=order, augment=None)
    assert not torch.equal(before, order.get_state())
    assert next(waiting)[0].shape[0] == 8


@settings(max_examples=60)
@given(st.integers(0, 40), st.integers(1, 12), st.booleans(), st.data())
def test_each_index_comes_once_in_batches_of_the_size_asked(count, batch_size, shuffled, data):
    total = 60
    pixels = np.zeros((total, 3, 4, 4), np.uint8)
    pixels[:, 0, 0, 0] = np.arange(total)
    image_set = ImageSet(Images(pixels, np.arange(total, dtype=np.int64), total, MEAN, STD, False), "cpu")
    chosen = data.draw(st.lists(st.integers(0, total - 1), min_size=count, max_size=count, unique=True))
    order = generator(count) if shuffled else None
    batches = list(image_set.batches(torch.tensor(chosen, dtype=torch.int64), batch_size, order=order, augment=None))
    sizes = [len(y) for _, y in batches]
    labels = [label for _, y in batches for label in y.tolist()]
    lost = 1 if batch_size > 1 and count > 1 and count % batch_size == 1 else 0
    assert len(labels) == count - lost
    assert set(labels) <= set(chosen)
    assert len(set(labels)) == len(labels)
    assert all(size == batch_size for size in sizes[:-1])
    for x, y in batches:
        np.testing.assert_allclose(x[:, 0, 0, 0], (y.numpy() / 255 - MEAN[0]) / STD[0], atol=1e-5)
    if not shuffled:
        assert labels == chosen[: len(labels)]


def test_shuffling_moves_images():
    image_set = ImageSet(make_images(200, 4), "cpu")
    x = everything(image_set, 200, order=generator(5))[0]
    plain = everything(image_set, 200)[0]
    assert not torch.equal(x, plain)
    assert torch.equal(x.sum((1, 2, 3)).sort().values, plain.sum((1, 2, 3)).sort().values)


@pytest.mark.parametrize("indices", [[0, 12], [-1], [[0, 1]]])
def test_indices_out_of_the_set_are_refused_on_the_host(indices):
    with pytest.raises(IndexError, match="0 to 11"):
        ImageSet(make_images(12), "cpu").batches(torch.tensor(indices), 2, order=None, augment=None)


def test_averaging_down_rounds_to_the_nearest():
    images = make_images(2100, 8)
    image_set = ImageSet(images, "cpu", 4)
    blocks = images.images.astype(np.int64).reshape(2100, 3, 4, 2, 4, 2).sum((3, 5))
    np.testing.assert_array_equal(image_set.images.numpy(), np.floor(blocks / 4 + 0.5).astype(np.uint8))
    assert image_set.size == 4
    assert image_set.images.dtype == torch.uint8
    x = next(image_set.batches(torch.arange(3), 3, order=None, augment=None))[0]
    np.testing.assert_allclose(x.numpy(), normalise(image_set.images[:3].numpy()), atol=1e-5)


def test_a_white_image_stays_white_at_any_side():
    white = Images(np.full((2, 3, 12, 12), 255, np.uint8), np.zeros(2, np.int64), 2, MEAN, STD, True)
    for side in (1, 2, 3, 4, 6, 12, 24, 36):
        image_set = ImageSet(white, "cpu", side)
        assert image_set.images.shape == (2, 3, side, side)
        assert bool((image_set.images == 255).all())


def test_repeating_up_copies_pixels():
    images = make_images(3, 8)
    image_set = ImageSet(images, "cpu", 32)
    np.testing.assert_array_equal(image_set.images.numpy(), images.images.repeat(4, 2).repeat(4, 3))
    assert image_set.images.is_contiguous(memory_format=torch.channels_last)
    assert everything(image_set, augment=generator(), cutout=16)[0].shape == (3, 3, 32, 32)


@pytest.mark.parametrize("resolution", [5, 12, 33, 7])
def test_other_sides_are_refused_with_the_possible_ones(resolution):
    with pytest.raises(
        InputError, match=rf"8 pixels cannot be brought to {resolution}.*possible: 2, 4, 8, .*16 and 24"
    ):
        ImageSet(make_images(2, 8), "cpu", resolution)


def test_native_resolution_is_no_change():
    images = make_images(4, 8)
    assert torch.equal(ImageSet(images, "cpu", 8).images, ImageSet(images, "cpu").images)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_batches_never_wait_for_the_device():
    image_set = ImageSet(make_images(64, 16), "cuda", 8)
    augment = torch.Generator("cuda").manual_seed(0)
    batches = image_set.batches(torch.arange(64), 16, order=generator(), augment=augment, cutout=16)
    torch.cuda.set_sync_debug_mode("error")
    try:
        shapes = [tuple(x.shape) for x, _ in batches]
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert shapes == [(16, 3, 8, 8)] * 4


def test_a_single_last_image_is_kept_where_no_batch_statistics_are_taken():
    images = make_images(11)
    assert len(everything(ImageSet(images, "cpu"))[1]) == 10
    assert everything(ImageSet(images, "cpu"), drop_single=False)[1].tolist() == images.labels.tolist()
