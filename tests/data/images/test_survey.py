import io
import os
import random
import struct
import warnings
import zlib
from pathlib import Path

import pytest
from numpy.random import default_rng
from PIL import Image

from blender.data.images import ImageInfo, ImageLimits, open_store, survey_image
from blender.data.images.formats import GIF, JPEG, PNG, WEBP, format_of
from tests.data.images.pictures import picture, write_folder, write_zip

LIMITS = ImageLimits()


def survey(folder: Path, data: bytes, name: str = "x.jpg", limits: ImageLimits = LIMITS) -> ImageInfo:
    store = open_store("coco", str(write_folder(folder, {name: data})))
    return survey_image(store, name, limits)


def reason_for(folder: Path, data: bytes, name: str = "x.jpg", limits: ImageLimits = LIMITS) -> str | None:
    info = survey(folder, data, name, limits)
    assert (info.reason is None) == (info.detail is None)
    assert info.detail is None or name in info.detail
    return info.reason


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_claiming(width: int, height: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = png_chunk(b"IDAT", zlib.compress(bytes(1000)))
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + body + png_chunk(b"IEND", b"")


def frames(kind: str, **options) -> bytes:
    pictures = [Image.open(io.BytesIO(picture("PNG", seed=seed))) for seed in range(3)]
    buffer = io.BytesIO()
    pictures[0].save(buffer, kind, save_all=True, append_images=pictures[1:], **options)
    return buffer.getvalue()


def sixteen_bit() -> bytes:
    buffer = io.BytesIO()
    Image.frombytes("I;16", (48, 32), default_rng(0).bytes(48 * 32 * 2)).save(buffer, "PNG")
    return buffer.getvalue()


def rotated() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return picture(exif=exif)


GOOD = {
    "jpeg": picture(),
    "progressive jpeg": picture(progressive=True),
    "greyscale jpeg": picture(mode="L"),
    "cmyk jpeg": picture(mode="CMYK"),
    "jpeg with a thumbnail's worth of metadata": picture(icc_profile=bytes(200_000)),
    "jpeg of several pictures": frames("MPO"),
    "rotated by exif": rotated(),
    "png": picture("PNG"),
    "png with alpha": picture("PNG", mode="RGBA"),
    "16-bit png": sixteen_bit(),
    "png with a large profile": picture("PNG", icc_profile=os.urandom(50_000)),
    "gif": picture("GIF"),
    "animated gif": frames("GIF", duration=50),
    "webp": picture("WEBP"),
    "lossless webp": picture("WEBP", lossless=True),
    "webp with alpha": picture("WEBP", mode="RGBA"),
    "animated webp": frames("WEBP", duration=50),
    "bmp": picture("BMP"),
    "tiff": picture("TIFF"),
    "compressed tiff": picture("TIFF", compression="tiff_lzw"),
    "large tiff": picture("TIFF", size=(300, 200)),
    "ppm": picture("PPM"),
    "pgm": picture("PPM", mode="L"),
}


@pytest.mark.parametrize("kind", GOOD)
def test_usable_pictures_are_measured_as_pillow_measures_them(tmp_path, kind):
    info = survey(tmp_path, GOOD[kind])
    with Image.open(io.BytesIO(GOOD[kind])) as opened:
        assert (info.width, info.height) == opened.size
    assert (info.reason, info.num_bytes, info.extension) == (None, len(GOOD[kind]), "jpg")


SEVERAL = {"jpeg of several pictures", "animated gif"}


@pytest.mark.parametrize("kind", sorted(set(GOOD) - SEVERAL))
@pytest.mark.parametrize("part", [0.3, 0.5, 0.9])
def test_a_picture_that_is_cut_is_truncated(tmp_path, kind, part):
    assert reason_for(tmp_path, GOOD[kind][: int(len(GOOD[kind]) * part)]) == "truncated"


@pytest.mark.parametrize("kind", sorted(SEVERAL))
def test_of_several_pictures_in_a_file_the_first_decides(tmp_path, kind):
    assert reason_for(tmp_path, GOOD[kind][: len(GOOD[kind]) // 2]) is None
    assert reason_for(tmp_path, GOOD[kind][: len(GOOD[kind]) // 4]) == "truncated"


@pytest.mark.parametrize("kind", ["jpeg", "png", "gif", "webp", "bmp", "tiff", "ppm"])
@pytest.mark.parametrize("num_bytes", [12, 24, 40])
def test_a_picture_cut_in_its_header_is_not_usable(tmp_path, kind, num_bytes):
    assert reason_for(tmp_path, GOOD[kind][:num_bytes]) in ("truncated", "not_an_image", "unreadable")


@pytest.mark.parametrize("kind", ["jpeg", "png", "gif", "webp", "bmp"])
def test_padding_and_other_things_behind_a_picture_do_not_matter(tmp_path, kind):
    for behind in (bytes(7), b"    \n", bytes(5000), b"trailer of some camera"):
        assert reason_for(tmp_path, GOOD[kind] + behind) is None


def test_a_picture_that_lacks_nothing_but_its_end_marker_is_judged_by_decoding(tmp_path):
    data = GOOD["png"]
    assert reason_for(tmp_path, data[:-12]) is None
    assert reason_for(tmp_path, data[:-30]) == "truncated"


def test_zero_bytes_are_empty(tmp_path):
    assert reason_for(tmp_path, b"") == "empty"


@pytest.mark.parametrize(
    "data", [b"<html>404 Not Found</html>", b"x", b"\0" * 100, b"Hello, world. " * 1000, b"P9 or so"]
)
def test_a_file_that_is_no_picture_is_not_an_image(tmp_path, data):
    assert reason_for(tmp_path, data) == "not_an_image"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (picture("JPEG2000"), "JPEG 2000"),
        (picture("ICO", size=(16, 16)), "icon"),
        (picture("PDF"), "PDF"),
        (b"\0\0\0\x1cftypheic" + bytes(100), "HEIC"),
        (b"\0\0\0\x1cftypavif" + bytes(100), "AVIF"),
        (b"8BPS" + bytes(100), "Photoshop"),
    ],
)
def test_pictures_of_other_formats_are_named(tmp_path, data, words):
    info = survey(tmp_path, data)
    assert info.reason == "unsupported_format"
    assert words in info.detail


def test_a_decompression_bomb_is_judged_by_its_header(tmp_path):
    data = png_claiming(50_000, 50_000)
    assert len(data) < 200
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        info = survey(tmp_path, data, "bomb.png")
    assert (info.reason, info.width, info.height) == ("too_many_pixels", 50_000, 50_000)
    assert "50000 x 50000" in info.detail


@pytest.mark.parametrize(
    "data",
    [
        b"GIF89a"
        + struct.pack("<HHBBB", 60_000, 60_000, 0, 0, 0)
        + b",\0\0\0\0"
        + struct.pack("<HH", 60_000, 60_000)
        + b"\0\2\0;",
        b"RIFF" + struct.pack("<I", 22) + b"WEBPVP8X" + struct.pack("<II", 10, 0) + b"\xfe\xff\0\xfe\xff\0",
        b"BM" + struct.pack("<IIIIiiHHIIiiII", 54, 0, 54, 40, 60_000, 60_000, 1, 24, 0, 0, 1, 1, 0, 0),
        b"P6 60000 60000 255\n",
    ],
)
def test_bombs_of_every_format_are_told(tmp_path, data):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert reason_for(tmp_path, data) == "too_many_pixels"


def test_limits_are_inclusive(tmp_path):
    data = GOOD["jpeg"]
    assert reason_for(tmp_path, data, limits=ImageLimits(max_pixels=48 * 32, max_bytes=len(data))) is None
    assert reason_for(tmp_path, data, limits=ImageLimits(max_pixels=48 * 32 - 1)) == "too_many_pixels"
    assert reason_for(tmp_path, data, limits=ImageLimits(max_bytes=len(data) - 1)) == "too_many_bytes"


def test_a_picture_of_no_size_is_unreadable(tmp_path):
    assert reason_for(tmp_path, png_claiming(0, 5)) == "unreadable"


@pytest.mark.parametrize(
    ("name", "extension"),
    [("x.jpg", "jpg"), ("x.JPEG", "jpeg"), ("x.png", "png"), ("x", "png"), ("x.y.z", "png"), ("folder.jpg/x", "png")],
)
def test_the_extension_is_that_of_the_name_or_else_of_the_format(tmp_path, name, extension):
    assert survey(tmp_path, GOOD["png"], name).extension == extension


def test_a_missing_image_is_missing(tmp_path):
    store = open_store("coco", str(tmp_path))
    info = survey_image(store, "x.jpg", LIMITS)
    assert (info.reason, info.num_bytes, info.extension) == ("missing", 0, "jpg")


def test_an_image_in_a_damaged_archive_is_unreadable(tmp_path):
    path = write_zip(tmp_path / "x.zip", {"x.jpg": GOOD["jpeg"]})
    with open_store("coco", str(path)) as store:
        assert survey_image(store, "x.jpg@7+100:100:0:00000000", LIMITS).reason == "unreadable"


def test_under_header_only_the_ends_of_a_large_picture_are_read(tmp_path):
    data = picture(size=(1500, 1500))
    assert len(data) > 1_000_000
    middle = data[:20_000] + bytes(len(data) - 21_000) + data[-1000:]
    store = open_store("coco", str(write_folder(tmp_path, {"x.jpg": middle})))
    assert survey_image(store, "x.jpg", LIMITS, "header").reason is None
    assert survey_image(store, "x.jpg", LIMITS, "auto").reason == "damaged"


def test_the_survey_never_raises_whatever_the_bytes_are(tmp_path):
    chance = random.Random(7)
    for kind in GOOD:
        for _ in range(20):
            data = bytearray(GOOD[kind])
            for _ in range(chance.choice([1, 3, 30])):
                data[chance.randrange(min(len(data), 600))] = chance.randrange(256)
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                reason_for(tmp_path, bytes(data), limits=ImageLimits(max_pixels=1_000_000))


def test_formats_are_told_by_their_first_bytes_alone():
    assert [format_of(GOOD[kind][:32]) for kind in ("jpeg", "png", "gif", "webp")] == [JPEG, PNG, GIF, WEBP]
    assert format_of(b"") is None
