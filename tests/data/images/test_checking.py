"""What each level of looking at a picture lets pass, and what it refuses."""

import io
import struct
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from benchmarks import damage
from blender.data.images.checking import ImageLimits, check_image
from blender.data.images.damage import DamagedImage
from blender.data.images.decoding import MAX_PIXELS, decode_whole
from blender.data.images.files import MemoryFile
from blender.data.images.structure.jpeg import JpegWalk
from tests.data.images.pictures import picture

LEVELS = ("header", "auto", "decode")


def reason(content: bytes, level: str, limits: ImageLimits | None = None) -> str | None:
    try:
        check_image(content, limits or ImageLimits(), level)
    except DamagedImage as damaged:
        return damaged.reason
    return None


def reasons(content: bytes) -> list[str | None]:
    return [reason(content, level) for level in LEVELS]


def smooth(size: tuple[int, int] = (160, 120)) -> Image.Image:
    """A picture whose pixels differ everywhere, none of them the grey of missing data."""
    across, down = np.meshgrid(np.arange(size[0]), np.arange(size[1]))
    return Image.fromarray(np.stack([across % 256, down % 256, (across + down) % 90], axis=-1).astype(np.uint8))


def saved(image: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def jpeg(**options) -> bytes:
    return saved(smooth(), "JPEG", **options)


def scans(content: bytes) -> list[int]:
    """Where the data of each scan begin."""
    walk, starts = JpegWalk(MemoryFile(content), content), []
    while scan := walk.to_scan():
        starts.append(scan.data)
        walk.position = next(
            at
            for at in range(scan.data, len(content))
            if content[at] == 0xFF and content[at + 1] not in (0, *range(0xD0, 0xD8))
        )
    return starts


def segment(marker: int, body: bytes) -> bytes:
    return bytes([0xFF, marker]) + (len(body) + 2).to_bytes(2, "big") + body


def after_start(content: bytes, *segments: bytes) -> bytes:
    return content[:2] + b"".join(segments) + content[2:]


def with_thumbnail() -> bytes:
    """A JPEG whose EXIF holds another, with markers of its own."""
    thumbnail = saved(smooth((32, 24)), "JPEG")
    return after_start(jpeg(), segment(0xE1, b"Exif\0\0MM\0*\0\0\0\x08\0\0" + thumbnail))


def one_component_a_scan() -> bytes:
    """A sequential JPEG of three scans, written by taking the grey picture of each channel apart."""
    channels = [saved(channel, "JPEG", quality=90) for channel in smooth((64, 48)).split()]
    frame = struct.pack(">BHHB", 8, 48, 64, 3) + b"".join(bytes([number, 0x11, 0]) for number in (1, 2, 3))
    head = channels[0]
    walk = JpegWalk(MemoryFile(head), head)
    walk.to_scan()
    tables = b"".join(head[start:end] for marker, start, end in walk.segments if marker in (0xDB, 0xC4))
    parts = []
    for number, channel in enumerate(channels, 1):
        start = scans(channel)[0]
        parts.append(segment(0xDA, bytes([1, number, 0, 0, 63, 0])) + channel[start:-2])
    return b"\xff\xd8" + tables + segment(0xC0, frame) + b"".join(parts) + b"\xff\xd9"


def plain_ppm() -> bytes:
    return b"P3 # a comment\n4 3\n# another\n255\n" + b" ".join(b"%d" % value for value in range(36)) + b"\n"


def rle_bmp() -> bytes:
    palette = b"".join(bytes([value, 255 - value, 7, 0]) for value in range(256))
    data = b"".join(bytes([4, row, 4, row + 9, 0, 0]) for row in range(8)) + b"\0\1"
    header = struct.pack("<IiiHHIIiiII", 40, 8, 8, 1, 8, 1, len(data), 0, 0, 256, 0)
    return b"BM" + struct.pack("<IHHI", 1078 + len(data), 0, 0, 1078) + header + palette + data


def several(kind: str, **options) -> bytes:
    first, *others = [smooth((48, 32)).rotate(angle) for angle in (0, 90, 180)]
    return saved(first, kind, save_all=True, append_images=others, **options)


GOOD: dict[str, Callable[[], bytes]] = {
    "progressive jpeg": lambda: jpeg(progressive=True),
    "optimised jpeg": lambda: jpeg(optimize=True),
    "jpeg with restart markers": lambda: jpeg(restart_marker_blocks=3),
    "progressive jpeg with restart markers": lambda: jpeg(progressive=True, restart_marker_rows=1),
    "jpeg of one colour": lambda: saved(Image.new("RGB", (640, 480), (255, 255, 255)), "JPEG", optimize=True),
    "grey jpeg of missing data's value": lambda: saved(Image.new("RGB", (64, 64), (128, 128, 128)), "JPEG"),
    "jpeg without subsampling": lambda: jpeg(subsampling=0),
    "greyscale jpeg": lambda: saved(smooth().convert("L"), "JPEG"),
    "cmyk jpeg": lambda: saved(smooth().convert("CMYK"), "JPEG"),
    "rgb jpeg": lambda: jpeg(keep_rgb=True),
    "jpeg of one pixel": lambda: saved(smooth((1, 1)), "JPEG"),
    "jpeg with a thumbnail": with_thumbnail,
    "jpeg of three scans": one_component_a_scan,
    "jpeg with a profile of many segments": lambda: jpeg(icc_profile=bytes(500_000)),
    "jpeg with a comment of no length": lambda: after_start(jpeg(), b"\xff\xfe\0\0"),
    "jpeg with fill bytes": lambda: jpeg()[:2] + b"\xff" * 500 + jpeg()[2:],
    "jpeg with an unknown JFIF version": lambda: jpeg().replace(b"JFIF\0\1", b"JFIF\0\7", 1),
    "jpeg with a text behind it": lambda: jpeg() + b"SEFT" + bytes(range(200)),
    "jpeg with another end mark": lambda: jpeg() + b"\xff\xd9",
    "motion jpeg, without huffman tables": lambda: without_segments(jpeg(), 0xC4),
    "mpo": lambda: several("MPO"),
    "interlaced gif": lambda: saved(smooth(), "GIF", interlace=1),
    "animated gif": lambda: several("GIF", duration=50),
    "animated webp": lambda: several("WEBP", duration=50),
    "lossless webp": lambda: saved(smooth(), "WEBP", lossless=True),
    "interlaced png": lambda: interlaced(),
    "animated png": lambda: several("PNG", duration=50),
    "palette png": lambda: saved(smooth().quantize(16), "PNG"),
    "16-bit png": lambda: saved(Image.fromarray(np.arange(600, dtype=np.uint16).reshape(20, 30)), "PNG"),
    "png with long text": lambda: png_with(b"tEXt", b"Comment\0" + b"x" * 3_000_000),
    "png with long compressed text": lambda: png_with(b"zTXt", b"Comment\0\0" + zlib.compress(b"x" * 3_000_000)),
    "bmp": lambda: saved(smooth(), "BMP"),
    "run-length coded bmp": rle_bmp,
    "tiff": lambda: saved(smooth(), "TIFF"),
    "tiff of strips": lambda: saved(smooth((400, 300)), "TIFF", strip_size=4096),
    "lzw tiff": lambda: saved(smooth(), "TIFF", compression="tiff_lzw"),
    "big tiff": lambda: saved(smooth(), "TIFF", big_tiff=True),
    "ppm": lambda: saved(smooth(), "PPM"),
    "plain ppm": plain_ppm,
    "pbm": lambda: saved(smooth().convert("1"), "PPM"),
    "ppm of 16 bits": lambda: b"P5 4 4 65535\n" + bytes(32),
}


def without_segments(content: bytes, *markers: int) -> bytes:
    walk = JpegWalk(MemoryFile(content), content)
    first = walk.to_scan()
    kept = b"".join(content[start:end] for marker, start, end in walk.segments if marker not in markers)
    return content[:2] + kept + content[first.data :]


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_with(kind: bytes, data: bytes) -> bytes:
    content = saved(smooth(), "PNG")
    return content[:33] + chunk(kind, data) + content[33:]


def interlaced() -> bytes:
    """A 2 x 2 PNG in Adam7's passes."""
    header = struct.pack(">IIBBBBB", 2, 2, 8, 0, 0, 0, 1)
    data = zlib.compress(b"\0\1" + b"\0\2" + b"\0\3\4")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


@pytest.mark.parametrize("kind", GOOD)
def test_usable_pictures_pass_every_level_and_are_decoded(kind):
    content = GOOD[kind]()
    assert reasons(content) == [None, None, None]
    decode_whole(content, MAX_PIXELS)


def test_a_hole_of_zeros_in_a_jpeg_is_damage_under_auto():
    content = picture(size=(200, 200), quality=95)
    hole = content[:5_000] + bytes(3_000) + content[8_000:]
    assert reasons(hole) == [None, "damaged", "damaged"]


def test_zeros_are_no_damage_where_they_are_the_code_of_an_empty_block():
    content = GOOD["jpeg of one colour"]()
    assert bytes(64) in content[scans(content)[0] :]
    assert reason(content, "auto") is None


def test_an_end_mark_inside_of_the_data_is_damage_under_auto():
    content = picture(size=(200, 200), quality=95)
    assert reasons(content[:9_000] + b"\xff\xd9" + content[9_002:]) == [None, "damaged", "damaged"]


def test_a_jpeg_cut_short_and_given_an_end_is_damage_under_decode():
    content = picture(size=(200, 200), quality=95)
    cut = content[: len(content) // 2].rstrip(b"\xff") + b"\xff\xd9"
    assert reasons(cut) == [None, None, "damaged"]


def test_a_jpeg_with_hardly_any_data_is_damage_under_auto():
    content = jpeg()
    assert reason(content[: scans(content)[0] + 20] + b"\xff\xd9", "auto") == "truncated"


def test_a_dead_area_that_was_saved_again_is_damage_under_decode():
    image = smooth()
    image.paste((128, 128, 128), (0, 80, 160, 120))
    assert reasons(saved(image, "JPEG")) == [None, None, "dead_area"]
    with_light = smooth()
    with_light.paste((129, 130, 131), (0, 80, 160, 120))
    assert reason(saved(with_light, "JPEG"), "decode") is None


def test_restart_markers_must_come_in_order():
    content = jpeg(restart_marker_blocks=3)
    second = content.index(b"\xff\xd1", scans(content)[0])
    for changed in (content[:second] + content[second + 2 :], content[: second + 1] + b"\xd2" + content[second + 2 :]):
        assert reason(changed, "header") is None
        assert reason(changed, "auto") == "damaged"


def test_restart_markers_where_none_were_announced_are_damage():
    content = picture(size=(200, 200))
    assert reason(content[:6_000] + b"\xff\xd0" + content[6_002:], "auto") == "damaged"


@pytest.mark.parametrize(
    "change",
    {
        "a huffman table that is no code": lambda c: c.replace(b"\xff\xc4\0\x1f\0\0\1\5", b"\xff\xc4\0\x1f\0\3\1\2", 1),
        "a scan of an unknown component": lambda c: replaced(c, b"\xff\xda\0\x0c\3\1", b"\xff\xda\0\x0c\3\7"),
        "no quantization tables": lambda c: without_segments(c, 0xDB),
        "two frames": lambda c: doubled(c, 0xC0),
        "no frame": lambda c: without_segments(c, 0xC0),
        "an impossible sampling factor": lambda c: replaced(c, b"\3\1\x22\0", b"\3\1\x52\0"),
        "a marker that means nothing": lambda c: after_start(c, segment(0xF0, b"x")),
        "a table of no length": lambda c: after_start(c, b"\xff\xdb\0\0"),
        "a second scan of all components": lambda c: replaced(
            c, b"\xff\xd9", c[c.index(b"\xff\xda") : c.index(b"\xff\xda") + 14] + b"\0" * 40 + b"\xff\xd9"
        ),
    }.items(),
    ids=lambda pair: pair[0],
)
def test_what_libjpeg_refuses_auto_refuses(change):
    content = change[1](jpeg())
    assert content != jpeg()
    assert reason(content, "auto") is not None
    with pytest.raises(Exception):  # noqa: B017 (Pillow raises one of many)
        Image.open(io.BytesIO(content)).load()


def replaced(content: bytes, old: bytes, new: bytes) -> bytes:
    assert old in content
    return content.replace(old, new, 1)


def doubled(content: bytes, marker: int) -> bytes:
    walk = JpegWalk(MemoryFile(content), content)
    walk.to_scan()
    start, end = next((start, end) for found, start, end in walk.segments if found == marker)
    return content[:end] + content[start:end] + content[end:]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (replaced(jpeg(), b"\xff\xc0\0\x11\x08", b"\xff\xc1\0\x11\x0c"), "12 bits"),
        (replaced(jpeg(), b"\xff\xc0\0\x11\x08", b"\xff\xc5\0\x11\x08"), "hierarchical"),
        (replaced(jpeg(), b"\xff\xc0\0\x11\x08", b"\xff\xcb\0\x11\x08"), "lossless arithmetic"),
    ],
)
def test_jpegs_of_kinds_that_are_not_read_are_named(content, words):
    for level in LEVELS:
        with pytest.raises(DamagedImage, match=words) as raised:
            check_image(content, ImageLimits(), level)
        assert raised.value.reason == "unsupported_format"


@pytest.mark.parametrize("at", ["IHDR", "IDAT", "tEXt"])
def test_a_png_with_a_bit_changed_in_any_chunk_is_damaged_under_auto(at):
    content = bytearray(png_with(b"tEXt", b"Comment\0hello"))
    content[content.index(at.encode()) + 12] ^= 4
    assert reason(bytes(content), "auto") == "damaged"


def png_of(*chunks: bytes) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


PNG_HEADER = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
PNG_PIXELS, PNG_END = chunk(b"IDAT", zlib.compress(b"\0\7")), chunk(b"IEND", b"")


@pytest.mark.parametrize(
    "chunks",
    [
        (PNG_HEADER, PNG_END),
        (PNG_HEADER, PNG_HEADER, PNG_PIXELS, PNG_END),
        (PNG_HEADER, PNG_PIXELS, chunk(b"tIME", b"1234567"), PNG_PIXELS, PNG_END),
        (chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 3, 0, 0, 0)), PNG_PIXELS, PNG_END),
        (chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 5, 0, 0, 0, 0)), PNG_PIXELS, PNG_END),
    ],
    ids=["no pixels", "two headers", "pixels apart", "no palette", "a depth of 5"],
)
def test_the_chunks_of_a_png_must_be_in_order(chunks):
    assert reason(png_of(PNG_HEADER, PNG_PIXELS, PNG_END), "auto") is None
    assert reason(png_of(*chunks), "auto") == "damaged"


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "TIFF"])
def test_formats_without_checksums_are_decoded_under_auto(kind):
    options = {"TIFF": {"compression": "tiff_lzw"}}.get(kind, {})
    content = saved(smooth(), kind, **options)
    middle = len(content) // 2
    broken = content[:middle] + bytes(range(255, 55, -1)) + content[middle + 200 :]
    assert reason(broken, "auto") in ("damaged", "truncated")


def test_mutants_that_auto_lets_pass_can_be_decoded_by_pillow(recwarn):
    """A small draw of ``python -m benchmarks damage``, whose table is in benchmarks/RESULTS.md."""
    counts = damage.campaign(damage.draw_pictures(side=48), each=40, seed=11)
    for (kind, level), count in counts.items():
        assert count["mutants"] == 40
        if level != "header":
            assert count["undecodable"] == 0, kind
        if level == "decode":
            assert count["warned"] <= 1, kind
    assert sum(count["undecodable"] for (_, level), count in counts.items() if level == "header") > 40
