"""Small pictures of images."""

import io

import numpy as np
import pytest
from PIL import Image

from blender.inspect.thumbnails import SIZES, Size, choose_size, make_thumbnail

SIZE = Size(64, 60)


def encoded(image, kind="JPEG", **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def opened(content):
    return Image.open(io.BytesIO(content))


def noise(width, height):
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))


@pytest.mark.parametrize(("size", "expected"), [((640, 480), (64, 48)), ((48, 32), (48, 32)), ((30, 900), (2, 64))])
def test_the_longer_side_is_limited_and_never_enlarged(size, expected):
    assert opened(make_thumbnail(encoded(noise(*size)), SIZE).content).size == expected


def test_a_turned_photograph_is_shown_upright():
    exif = Image.Exif()
    exif[0x0112] = 6
    picture = Image.new("RGB", (80, 40), "red")
    picture.paste("blue", (0, 0, 40, 40))
    found = opened(make_thumbnail(encoded(picture, exif=exif), SIZE).content).convert("RGB")
    assert found.size == (32, 64)
    assert found.getpixel((16, 4))[2] > 150, "the left half is up"


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "LA", "CMYK", "1"])
def test_every_mode_is_shown(mode):
    picture = noise(40, 30).convert(mode)
    kind = "JPEG" if mode == "CMYK" else "PNG"
    assert opened(make_thumbnail(encoded(picture, kind), SIZE).content).size == (40, 30)


@pytest.mark.parametrize("content", [b"", b"nonsense", encoded(noise(40, 30))[:60], b"<svg onload='alert(1)'/>"])
def test_what_is_no_picture_gives_a_fault(content):
    made = make_thumbnail(content, SIZE)
    assert made.content == b""
    assert "cannot be decoded" in made.fault


def test_many_pictures_are_made_smaller_than_few():
    pilot = [encoded(noise(640, 480))]
    few, many = choose_size(pilot, 10, 10_000_000), choose_size(pilot, 4_000, 24_000_000)
    assert few == SIZES[0]
    assert many.side < few.side
    assert len(make_thumbnail(pilot[0], many).content) * 4_000 <= 24_000_000 or many == SIZES[-1]
