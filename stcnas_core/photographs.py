"""One photograph of any size made into the square that a network sees, as DARTS does for ImageNet; free of torch.

For training a random crop of 8 to 100 % of the area, at a ratio of 3/4 to 4/3, scaled; a left-right flip by the toss
of a coin; brightness, contrast and saturation changed by up to 40 % and the hue by up to a fifth of the circle, in
random order. Else the shorter side scaled to 256 / 224 of the crop's, and its centre. What is done to an image is a
function of `DRAWS` uniform numbers, so that it does not matter which thread does it when.
"""

import io
import math
from typing import TYPE_CHECKING

import numpy as np

from stcnas_core.errors import InputError

if TYPE_CHECKING:
    from PIL.Image import Image

AREA, RATIO = (0.08, 1.0), (3 / 4, 4 / 3)
JITTER, HUE = 0.4, 0.2
ATTEMPTS = 10
"""Draws of area and ratio, of which the first that fits into the image counts."""
DRAWS = 2 * ATTEMPTS + 2 + 1 + 4 + 4
"""Uniform numbers of one image: areas, ratios, place of the crop, coin, four strengths, their order."""
LARGEST_PIXELS = 100_000_000

_FORMATS = ("JPEG", "PNG", "WEBP", "BMP")


def decode(encoded: bytes | memoryview, where: str) -> "Image":
    """The image in RGB, grey repeated and an alpha channel ignored; raises InputError beginning with `where`."""
    from PIL import Image

    # PIL's parsers raise whatever a damaged file leads them to (OSError, SyntaxError, struct.error, ...).
    try:
        image = Image.open(io.BytesIO(encoded), formats=_FORMATS)
    except Exception:
        raise InputError(
            f"{where}: {len(encoded):,} bytes that are no image in {', '.join(_FORMATS)}, or one far too large; "
            "replace or remove it"
        ) from None
    if image.width * image.height > LARGEST_PIXELS:
        raise InputError(f"{where}: the image has {image.width}x{image.height} pixels; scale it down or remove it")
    try:
        image.load()
        return image if image.mode == "RGB" else image.convert("RGB")
    except Exception as error:
        raise InputError(f"{where}: damaged image ({str(error)[:100]}); replace or remove it") from None


def centred(image: "Image", side: int) -> "Image":
    """The centre as a square of `side` pixels, after the shorter side was scaled to `side` * 256 / 224."""
    from PIL.Image import Resampling

    width, height = image.size
    shorter = round(side * 256 / 224)
    longer = int(shorter * max(width, height) / min(width, height))
    size = (shorter, longer) if width <= height else (longer, shorter)
    scaled = image.resize(size, Resampling.BILINEAR)
    left, top = round((size[0] - side) / 2), round((size[1] - side) / 2)
    return scaled.crop((left, top, left + side, top + side))


def augmented(image: "Image", side: int, draws: np.ndarray) -> "Image":
    """A random square of `side` pixels by `draws`, (DRAWS,) uniform numbers in [0, 1)."""
    from PIL.Image import Resampling, Transpose

    left, top, width, height = crop(image.size, draws)
    out = image.crop((left, top, left + width, top + height)).resize((side, side), Resampling.BILINEAR)
    coin, *strengths = draws[2 * ATTEMPTS + 2 : 2 * ATTEMPTS + 7].tolist()
    if coin < 0.5:
        out = out.transpose(Transpose.FLIP_LEFT_RIGHT)
    return _jittered(out, strengths, np.argsort(draws[-4:], kind="stable").tolist())


def crop(size: tuple[int, int], draws: np.ndarray) -> tuple[int, int, int, int]:
    """Left, top, width and height of the random crop of an image of `size` (width, height)."""
    wide, high = size
    areas, ratios = draws[:ATTEMPTS], draws[ATTEMPTS : 2 * ATTEMPTS]
    across, down = draws[2 * ATTEMPTS : 2 * ATTEMPTS + 2].tolist()
    for u, v in zip(areas.tolist(), ratios.tolist(), strict=True):
        area = wide * high * (AREA[0] + u * (AREA[1] - AREA[0]))
        ratio = math.exp(math.log(RATIO[0]) + v * (math.log(RATIO[1]) - math.log(RATIO[0])))
        width, height = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < width <= wide and 0 < height <= high:
            return int(across * (wide - width + 1)), int(down * (high - height + 1)), width, height
    width = min(wide, max(1, round(high * RATIO[1])))
    height = min(high, max(1, round(wide / RATIO[0])))
    return (wide - width) // 2, (high - height) // 2, width, height


def _jittered(image: "Image", strengths: list[float], order: list[int]) -> "Image":
    from PIL import Image, ImageEnhance

    factors = [1 + JITTER * (2 * u - 1) for u in strengths[:3]]
    for step in order:
        if step < 3:
            enhance = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)[step]
            image = enhance(image).enhance(factors[step])
        else:
            hue, saturation, value = image.convert("HSV").split()
            shift = np.uint8(int(HUE * (2 * strengths[3] - 1) * 255) % 256)
            turned = Image.fromarray(np.asarray(hue) + shift)  # beyond 255 the circle begins anew
            image = Image.merge("HSV", (turned, saturation, value)).convert("RGB")
    return image
