"""Damaged pictures: what each level of looking lets pass, and what it costs.

Pictures of each format are mutated: bits flipped, cut, bytes inserted, parts of others spliced in, ranges zeroed or
repeated. A mutant that a level lets pass and that Pillow cannot decode, or that libjpeg-turbo warns of, got through.
"""

import io
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import time
import warnings
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import simplejpeg
from PIL import Image, ImageFilter

from benchmarks.images import write_images, write_recipe
from blender.data.images.checking import ImageLimits, check_image
from blender.data.images.damage import Check, DamagedImage

_LEVELS: tuple[Check, ...] = ("header", "auto", "decode")
_LIMITS = ImageLimits(max_pixels=4_000_000)
#: format → how files of it are saved
_SAVED: dict[str, list[dict[str, object]]] = {
    "JPEG": [
        {"quality": 85},
        {"progressive": True},
        {"optimize": True, "restart_marker_blocks": 8},
        {"subsampling": 0},
    ],
    "PNG": [{}, {"compress_level": 1}],
    "GIF": [{}, {"interlace": 0}],
    "WEBP": [{"quality": 80}, {"lossless": True}],
    "BMP": [{}],
    "TIFF": [{}, {"compression": "tiff_lzw"}, {"compression": "tiff_adobe_deflate"}],
    "PPM": [{}],
}


def draw_pictures(seed: int = 0, side: int = 96) -> dict[str, list[bytes]]:
    """Draw pictures with edges, slopes and noise, and save each in every format."""
    random = np.random.default_rng(seed)
    files: dict[str, list[bytes]] = {kind: [] for kind in _SAVED}
    for _ in range(4):
        coarse = Image.fromarray(random.integers(0, 256, (6, 8, 3), dtype=np.uint8)).resize((side * 4 // 3, side), 3)
        pixels = np.asarray(coarse.filter(ImageFilter.GaussianBlur(2)), dtype=np.int16)
        image = Image.fromarray(np.clip(pixels + random.normal(0, 8, pixels.shape), 0, 255).astype(np.uint8))
        for kind, ways in _SAVED.items():
            for way in ways:
                buffer = io.BytesIO()
                image.save(buffer, kind, **way)
                files[kind].append(buffer.getvalue())
    return files


def add_real(files: dict[str, list[bytes]], folder: Path, most: int = 12) -> None:
    """Add the first real JPEGs of a folder, also saved in the other formats."""
    for path in sorted(folder.rglob("*.jpg"))[:most]:
        files["JPEG"].append(path.read_bytes())
        with Image.open(path) as opened:
            small = opened.convert("RGB").resize((160, 120))
        for kind in set(_SAVED) - {"JPEG"}:
            buffer = io.BytesIO()
            small.save(buffer, kind)
            files[kind].append(buffer.getvalue())


def mutate(content: bytes, other: bytes, random: np.random.Generator) -> bytes:
    """Damage a file in one way."""
    at = int(random.integers(len(content)))
    # half of all damage is small, half of any length
    length = int(random.integers(1, 64 if random.random() < 0.5 else max(65, len(content) // 2)))
    part = content[at : at + length]
    match int(random.integers(7)):
        case 0:
            changed = bytearray(content)
            for place in random.integers(len(content), size=int(random.integers(1, 9))):
                changed[place] ^= 1 << int(random.integers(8))
            return bytes(changed)
        case 1:
            return content[:at]
        case 2:
            return content[:at] + content[at + length :]
        case 3:
            return content[:at] + random.bytes(length) + content[at:]
        case 4:
            return content[:at] + other[at : at + length] + content[at + length :]
        case 5:
            return content[:at] + bytes(len(part)) + content[at + length :]
        case _:
            return content[:at] + part + content[at:]


def mutants(files: dict[str, list[bytes]], each: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """Yield format and content of mutants, so many of each format."""
    for number, (kind, contents) in enumerate(files.items()):
        random = np.random.default_rng([seed, number])
        for _ in range(each):
            content, other = (contents[int(random.integers(len(contents)))] for _ in range(2))
            yield kind, mutate(content, other, random)


def passes(content: bytes, level: Check) -> bool:
    """Say whether a level lets a file pass."""
    try:
        check_image(content, _LIMITS, level)
    except DamagedImage:
        return False
    return True


def pillow_decodes(content: bytes) -> bool:
    """Say whether Pillow, as other programs use it, decodes a file."""
    try:
        with Image.open(io.BytesIO(content)) as image:
            image.load()
    except Exception:
        return False
    return True


def turbo_warns(content: bytes) -> bool:
    """Say whether libjpeg-turbo warns of a JPEG or fails."""
    try:
        simplejpeg.decode_jpeg(content, "RGB", strict=True)
    except ValueError as error:
        return "Unsupported color" not in str(error)
    return False


def campaign(files: dict[str, list[bytes]], each: int, seed: int = 0) -> dict[tuple[str, str], Counter[str]]:
    """Mutate, look, and count by format and level: passed, of these undecodable, of these warned of."""
    counts: dict[tuple[str, str], Counter[str]] = {}
    with _quietly():
        _count(files, each, seed, counts)
    return counts


@contextmanager
def _quietly() -> Iterator[None]:
    """Keep Pillow's warnings, and what libtiff writes to standard error by itself, to ourselves."""
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _count(files: dict[str, list[bytes]], each: int, seed: int, counts: dict[tuple[str, str], Counter[str]]) -> None:
    for kind, content in mutants(files, each, seed):
        decodes, warns = pillow_decodes(content), kind == "JPEG" and turbo_warns(content)
        for level in _LEVELS:
            count = counts.setdefault((kind, level), Counter())
            count["mutants"] += 1
            if passes(content, level):
                count.update({"passed": 1, "undecodable": int(not decodes), "warned": int(warns)})


def cost(rounds: int, num_images: int) -> dict[str, list[tuple[float, float]]]:
    """Time whole blends under each level, in turn: seconds, and processor seconds of all processes."""
    taken: dict[str, list[tuple[float, float]]] = {level: [] for level in _LEVELS}
    with tempfile.TemporaryDirectory(prefix="damage-") as folder:
        root = Path(folder)
        write_images(root / "images", num_images)
        recipe = write_recipe(root, num_images)
        for number in range(rounds + 1):
            for level in _LEVELS:
                out = root / "out"
                command = [sys.executable, "-m", "blender", "blend", str(recipe), "--out", str(out), "--json"]
                command += ["--set", f"pixels.check={level}"]
                begun, before = time.perf_counter(), os.times()
                subprocess.run(command, check=True, capture_output=True)
                seconds, after = time.perf_counter() - begun, os.times()
                worked = sum(after[2:4]) - sum(before[2:4])
                if number:  # the first round fills the system's cache
                    taken[level].append((seconds, worked))
                shutil.rmtree(out)
    return taken


def _png_with(*chunks: bytes) -> bytes:
    png = _saved("PNG")
    return png[:33] + b"".join(chunks) + png[33:]


def _jpeg_with(what: bytes) -> bytes:
    jpeg = _saved("JPEG")
    return jpeg[:2] + what + jpeg[2:]


_EXIF = b"\xff\xe1\xff\xff" + b"Exif\0\0".ljust(65_533)
#: files that cost a reader of headers seconds, or a decoder much memory
SLOW: dict[str, Callable[[], bytes]] = {
    "JPEG, 2 MB of 0xFF before a marker": lambda: _jpeg_with(b"\xff" * 2_000_000),
    "JPEG, 20 MB of 0xFF before a marker": lambda: _jpeg_with(b"\xff" * 20_000_000),
    "JPEG, 20 MB of other bytes before a marker": lambda: _jpeg_with(b"x" * 20_000_000),
    "JPEG, 20 MB of EXIF in 305 segments": lambda: _jpeg_with(_EXIF * 305),
    "PPM, comment of 2 MB": lambda: b"P6\n#" + b"c" * 2_000_000 + b"\n16 16\n255\n" + bytes(768),
    "PPM, half a million comments among numbers": lambda: b"P3 800 800 255\n" + b"#\n" * 500_000 + b"0 " * 1_920_000,
    "PPM, 20 million samples of 0 to 254": lambda: b"P6 2600 2600 254\n" + bytes(3 * 2600 * 2600),
    "BMP, run-length coded, 80 million pixels": lambda: _long_runs(8_000, 10_000),
    "GIF, 2 million blocks of a byte": lambda: b"GIF89a\x10\0\x10\0\0\0\0!\xfe" + b"\1c" * 2_000_000 + b"\0;",
    "PNG, a million empty chunks": lambda: _png_with(_chunk(b"IDAT", b"") * 1_000_000),
    "PNG, 3 MB of text": lambda: _png_with(_chunk(b"tEXt", b"Comment\0" + b"x" * 3_000_000)),
    "PNG, 3 MB of text, compressed": lambda: _png_with(
        _chunk(b"zTXt", b"Comment\0\0" + zlib.compress(b"x" * 3_000_000))
    ),
}


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _long_runs(width: int, height: int) -> bytes:
    """Make a BMP whose lines are all empty."""
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, 0, 0, 0, 256, 0)
    return b"BM" + struct.pack("<IHHI", 0, 0, 0, 1078) + header + bytes(1024) + b"\0\0\1\0" * height


def _saved(kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.effect_noise((64, 48), 40).save(buffer, kind)
    return buffer.getvalue()


def slow_seconds() -> list[tuple[str, float, float, str]]:
    """Time slow pictures: Pillow's opening and decoding, ours, and what ours says."""
    rows = []
    for name, make in SLOW.items():
        content = make()
        begun = time.perf_counter()
        pillow_decodes(content)
        between = time.perf_counter()
        outcome = "passes"
        try:
            check_image(content, ImageLimits(), "auto")
        except DamagedImage as damage:
            outcome = damage.reason
        rows.append((name, between - begun, time.perf_counter() - between, outcome))
    return rows


def _compared(taken: list[tuple[float, float]], base: list[tuple[float, float]]) -> str:
    cells = []
    for mine, theirs in zip(zip(*taken, strict=True), zip(*base, strict=True), strict=True):
        ratios = sorted(one / other for one, other in zip(mine, theirs, strict=True))
        cells += [f"{np.median(mine):.2f}", f"{np.median(ratios):.2f} ({ratios[0]:.2f}–{ratios[-1]:.2f})"]
    return " | ".join(cells)


def run(rounds: int, each: int, real: Path | None, num_images: int = 2_000) -> str:
    """Run all of it and return tables."""
    files = draw_pictures()
    if real:
        add_real(files, real)
    lines = [
        f"{each:,} mutants of each format"
        + (", of drawn and of real pictures" if real else ", of drawn pictures")
        + ". Passed: the level lets it pass. Undecodable: of these, those on which Pillow raises. Warned of: of these, "
        "those on which libjpeg-turbo warns.",
        "",
        "| format | level | mutants | passed | undecodable | warned of |",
        "| --- | --- | ---: | ---: | ---: | ---: |",
    ]
    for (kind, level), count in campaign(files, each).items():
        warned = f"{count['warned']:,}" if kind == "JPEG" else "–"
        lines.append(
            f"| {kind} | {level} | {count['mutants']:,} | {count['passed']:,} | {count['undecodable']:,} | {warned} |"
        )
    taken = cost(rounds, num_images)
    lines += [
        "",
        f"Whole `visualchat blend` of {num_images:,} JPEGs of 138 kB, {rounds} rounds in turn; medians, and ratios to "
        "`header` of the same round (least and most in brackets):",
        "",
        "| level | seconds | ratio | processor seconds | ratio |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    lines += [f"| {level} | {_compared(found, taken['header'])} |" for level, found in taken.items()]
    lines += [
        "",
        "Seconds for a file that is slow to read:",
        "",
        "| file | Pillow alone | `auto` | which says |",
        "| --- | ---: | ---: | --- |",
    ]
    lines += [f"| {name} | {theirs:.2f} | {ours:.3f} | {said} |" for name, theirs, ours, said in slow_seconds()]
    return "\n".join(lines)
