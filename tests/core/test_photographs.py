"""What is done to a photograph, against torchvision's transforms given the same draws, and as a distribution."""

import io
import warnings

import numpy as np
import pytest
from PIL import Image

from stcnas_core.errors import InputError
from stcnas_core.photographs import ATTEMPTS, DRAWS, augmented, centred, crop, decode

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from torchvision.transforms import functional


def photograph(width: int = 61, height: int = 47, seed: int = 0) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


@pytest.mark.parametrize("seed", range(6))
def test_an_augmented_image_is_torchvisions_crop_flip_and_jitter_of_the_same_draws(seed: int) -> None:
    draws = np.random.default_rng(seed).random(DRAWS)
    image = photograph(seed=seed)
    left, top, width, height = crop(image.size, draws)
    expected = functional.resized_crop(image, top, left, height, width, [32, 32])
    coin, light, contrast, colour, hue, *order = draws[2 * ATTEMPTS + 2 :]
    if coin < 0.5:
        expected = functional.hflip(expected)
    steps = [
        lambda x: functional.adjust_brightness(x, 0.6 + 0.8 * light),
        lambda x: functional.adjust_contrast(x, 0.6 + 0.8 * contrast),
        lambda x: functional.adjust_saturation(x, 0.6 + 0.8 * colour),
        lambda x: functional.adjust_hue(x, -0.2 + 0.4 * hue),
    ]
    for step in np.argsort(order):
        expected = steps[step](expected)
    np.testing.assert_array_equal(np.asarray(augmented(image, 32, draws)), np.asarray(expected))


@pytest.mark.parametrize("size", [(61, 47), (47, 61), (300, 40), (28, 28)])
def test_the_centre_is_torchvisions(size: tuple[int, int]) -> None:
    image = photograph(*size)
    expected = functional.center_crop(functional.resize(image, 32), [28, 28])
    np.testing.assert_array_equal(np.asarray(centred(image, 28)), np.asarray(expected))


def test_crops_have_the_areas_and_ratios_of_the_protocol_and_reach_everywhere() -> None:
    draws = np.random.default_rng(1).random((4000, DRAWS))
    found = np.array([crop((400, 300), row) for row in draws])
    left, top, width, height = found.T
    assert min(left.min(), top.min()) == 0
    assert (left + width).max() == 400
    assert (top + height).max() == 300
    area, ratio = width * height / 120_000, width / height
    assert area.min() == pytest.approx(0.08, abs=0.01)
    assert area.max() > 0.9
    assert ratio.min() == pytest.approx(3 / 4, abs=0.01)
    assert ratio.max() == pytest.approx(4 / 3, abs=0.01)
    # Crops that do not fit are drawn again, so large areas are rarer than small ones; logarithms of ratios are even.
    small = area < 0.5
    assert np.median(np.log(ratio[small])) == pytest.approx(0, abs=0.03)
    assert area[small].mean() == pytest.approx((0.08 + 0.5) / 2, abs=0.01)


def test_where_no_crop_fits_the_centre_at_the_nearest_ratio_is_taken() -> None:
    draws = np.random.default_rng(0).random(DRAWS)
    draws[:ATTEMPTS] = 0.999
    assert crop((900, 30), draws) == (430, 0, 40, 30)
    assert crop((30, 900), draws) == (0, 430, 30, 40)


def encode(image: Image.Image, kind: str) -> bytes:
    file = io.BytesIO()
    image.save(file, kind)
    return file.getvalue()


@pytest.mark.parametrize(("mode", "kind"), [("L", "JPEG"), ("CMYK", "JPEG"), ("RGBA", "PNG"), ("P", "PNG")])
def test_images_of_other_modes_become_rgb(mode: str, kind: str) -> None:
    grey = Image.new("L", (20, 10), 120).convert(mode)
    found = decode(encode(grey, kind), "here")
    assert (found.mode, found.size) == ("RGB", (20, 10))
    assert abs(int(np.asarray(found)[5, 5].mean()) - 120) < 4


def test_damaged_images_are_named() -> None:
    data = encode(photograph(200, 200), "JPEG")
    for bad, says in (
        (b"no image", "a.JPEG: 8 bytes that are no image in JPEG"),
        (data[: len(data) // 2], "a.JPEG: damaged image .*replace or remove it"),
        (b"", "a.JPEG: 0 bytes"),
    ):
        with pytest.raises(InputError, match=says):
            decode(bad, "a.JPEG")
    huge = encode(Image.new("1", (11_000, 10_000)), "PNG")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(InputError, match="b: the image has 11000x10000 pixels"):
            decode(huge, "b")
