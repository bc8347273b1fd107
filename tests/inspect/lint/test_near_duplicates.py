from io import BytesIO

import numpy as np
import polars as pl
import pytest
from PIL import Image, ImageDraw, ImageEnhance

from blender.data.images.perceptual_hash import look_the_same, perceptual_hash
from blender.inspect.lint.near_duplicates import IMAGE_HASHES, hashes_agree


def picture(seed, size=(320, 240)):
    """Draw something with the shapes of a photograph."""
    coarse = np.random.default_rng(seed).integers(0, 256, (9, 12, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)


def encoded(image, kind="JPEG", **options):
    buffer = BytesIO()
    image.save(buffer, kind, **({"quality": 85} | options if kind == "JPEG" else options))
    return buffer.getvalue()


def with_a_ball(image):
    changed = image.copy()
    ImageDraw.Draw(changed).ellipse((40, 40, 80, 80), fill="red")
    return changed


def are_numbers_alike(content, other):
    rows = [(0, None, *perceptual_hash(content)), (1, None, *perceptual_hash(other))]
    looks = pl.DataFrame(rows, schema=IMAGE_HASHES, orient="row")
    return hashes_agree(looks[:1].join(looks[1:], how="cross", suffix="_other")).item()


def are_same(content, other):
    return are_numbers_alike(content, other) and look_the_same(content, other)


COPIES = {
    "compressed": lambda image: encoded(image, quality=30),
    "half as large": lambda image: encoded(image.resize((160, 120))),
    "squeezed": lambda image: encoded(image.resize((224, 224))),
    "another format": lambda image: encoded(image, "PNG"),
    "brighter": lambda image: encoded(ImageEnhance.Brightness(image).enhance(1.06)),
}


@pytest.mark.parametrize("copy", COPIES)
@pytest.mark.parametrize("seed", range(4))
def test_copies_look_the_same(copy, seed):
    image = picture(seed)
    assert are_same(encoded(image), COPIES[copy](image))


def test_other_pictures_do_not():
    pictures = [encoded(picture(seed)) for seed in range(12)]
    assert not any(are_numbers_alike(one, other) for one in pictures for other in pictures if one is not other)


def test_a_small_thing_more_is_a_difference_though_the_numbers_agree():
    image = picture(1, (640, 480))
    one, other = encoded(image), encoded(with_a_ball(image))
    assert are_numbers_alike(one, other)
    assert not look_the_same(one, other)


def test_plain_pictures_are_told_by_their_colour():
    red, dark_red, blue = (encoded(Image.new("RGB", (64, 64), colour)) for colour in ("#c02020", "#b81c1c", "#2020c0"))
    assert are_same(red, dark_red)
    assert not are_numbers_alike(red, blue)
    assert not are_numbers_alike(red, encoded(picture(3)))


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "1", "I;16"])
def test_every_kind_of_picture_is_looked_at(mode):
    image = Image.fromarray(np.arange(64 * 64, dtype=np.uint16).reshape(64, 64)) if mode == "I;16" else None
    perceptual_hash(encoded(image or picture(1).convert(mode), "PNG"))
