"""Which pictures look the same: first by a few numbers of each, then by looking at both.

A difference hash (Krawetz, "Kind of Like That", 2013): the picture is made grey and 9 x 9 pixels small, and each bit
says whether brightness rises to the next pixel, 64 of them across and 64 down. Copies that were compressed, resized or
brightened differ in a few bits, other pictures in about half. The mean colour keeps a blue box from an orange one of
the same shape; a picture without any shape, whose bits are noise, is compared by its colour alone.

Such numbers do not see a small thing that is there or not, which is what pairs for finding differences are made of. So
two pictures whose numbers agree are opened again, and no part of one may differ from the same part of the other.
"""

from collections.abc import Callable, Iterator, Sequence
from hashlib import blake2b
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl
from PIL import Image

from blender.errors import BlenderError
from blender.images.decoding import explaining_damage, open_image
from blender.inspection.lint.material import Readable
from blender.parallel import map_unordered

_SIDE = 9
#: brightness that a picture's darkest and lightest ninths must differ by for its bits to mean anything
_FLAT = 6
#: bits of 128 that near-duplicates may differ in
_BITS = 12
#: steps of 255 that their mean colours may differ by, each
_COLOUR = 24
_CHUNK = 64
#: pixels of a side at which two pictures are compared, and of the parts whose means are
_COMPARED, _PART = 64, 4
#: steps of 255 by which the colour of a part may differ: brightening takes up to 20, a small thing more than 35
_DIFFERENCE = 24

#: columns of what is found out: bits and colours are null where only the bytes were compared, or nothing can be decoded
LOOKS = {
    "image": pl.UInt64,
    "digest": pl.UInt64,
    "across": pl.UInt64,
    "down": pl.UInt64,
    "red": pl.UInt8,
    "green": pl.UInt8,
    "blue": pl.UInt8,
    "flat": pl.Boolean,
}


class Look(NamedTuple):
    """What a picture looks like."""

    across: int
    down: int
    red: int
    green: int
    blue: int
    flat: bool


class Wanted(NamedTuple):
    """A picture to be looked at."""

    image: int
    place: Readable
    #: whether its bytes are hashed
    digest: bool
    #: whether it is decoded
    look: bool


class Pair(NamedTuple):
    """Two pictures to be compared."""

    image: int
    image_other: int
    place: Readable
    place_other: Readable


def look_at(content: bytes) -> Look:
    """Work out what a picture looks like.

    Args:
        content: The image file's bytes.

    Raises:
        OSError: It cannot be decoded.
    """
    colours = _made_small(content, _SIDE)
    grey = np.asarray(colours.convert("L"), dtype=np.int16)
    red, green, blue = np.asarray(colours, dtype=np.float64).mean(axis=(0, 1)).round().astype(int).tolist()
    across = np.diff(grey[:-1], axis=1) > 0
    down = np.diff(grey[:, :-1], axis=0) > 0
    return Look(_packed(across), _packed(down), red, green, blue, bool(np.ptp(grey) < _FLAT))


def look_the_same(content: bytes, other: bytes) -> bool:
    """Say whether no part of a picture differs visibly from the same part of another.

    A change of colour or brightness that all parts share does not count.

    Args:
        content: The bytes of an image file.
        other: Those of another.

    Raises:
        OSError: One of them cannot be decoded.
    """
    first, second = (np.asarray(_made_small(each, _COMPARED), dtype=np.float64) for each in (content, other))
    difference = first - second
    difference -= np.median(difference, axis=(0, 1))
    parts = difference.reshape(_COMPARED // _PART, _PART, _COMPARED // _PART, _PART, 3).mean(axis=(1, 3))
    return float(np.abs(parts).max()) <= _DIFFERENCE


def _made_small(content: bytes, side: int) -> Image.Image:
    with explaining_damage(), open_image(content) as opened:
        # a JPEG is decoded at an eighth of its size, where that is enough
        opened.draft("RGB", (8 * side, 8 * side) if side < 16 else (2 * side, 2 * side))
        return opened.convert("RGB").resize((side, side), Image.Resampling.BOX)


def _packed(bits: npt.NDArray[np.bool_]) -> int:
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def look_at_all(wanted: Sequence[Wanted], workers: int, tell: Callable[[int, int], None] | None = None) -> pl.DataFrame:
    """Look at pictures, in processes.

    Args:
        wanted: The pictures.
        workers: Number of processes.
        tell: Called with (pictures done, pictures in all).

    Returns:
        Columns of :data:`LOOKS`; pictures that cannot be read are missing.
    """
    rows: list[tuple[object, ...]] = []
    done = 0
    chunks = [wanted[start : start + _CHUNK] for start in range(0, len(wanted), _CHUNK)]
    for found in map_unordered(_look_at_some, chunks, workers if len(wanted) > 8 * _CHUNK else 1):
        rows += found
        done += _CHUNK
        if tell:
            tell(min(done, len(wanted)), len(wanted))
    return pl.DataFrame(rows, schema=LOOKS, orient="row")


def _look_at_some(wanted: Sequence[Wanted]) -> list[tuple[object, ...]]:
    return list(_rows(wanted))


def _rows(wanted: Sequence[Wanted]) -> Iterator[tuple[object, ...]]:
    for image, place, digest, look in wanted:
        try:
            content = place.read()
        except BlenderError:
            continue
        hashed = int.from_bytes(blake2b(content, digest_size=8).digest(), "big") if digest else None
        yield image, hashed, *(_seen(content) if look else (None,) * len(Look._fields))


def _seen(content: bytes) -> tuple[object, ...]:
    try:
        return look_at(content)
    except OSError:
        return (None,) * len(Look._fields)


def are_alike(pairs: pl.DataFrame) -> pl.Series:
    """Say of each pair of pictures whether their numbers agree.

    Args:
        pairs: Columns of :data:`LOOKS`, and those of the other picture, which end in ``_other``.
    """
    bits = sum(
        np.bitwise_count(pairs[name].to_numpy() ^ pairs[f"{name}_other"].to_numpy()).astype(np.int64)
        for name in ("across", "down")
    )
    shades = [
        np.abs(pairs[name].to_numpy().astype(np.int64) - pairs[f"{name}_other"].to_numpy().astype(np.int64))
        for name in ("red", "green", "blue")
    ]
    same_colour = np.max(shades, axis=0, initial=0) <= _COLOUR
    both_flat = (pairs["flat"] & pairs["flat_other"]).to_numpy()
    one_flat = (pairs["flat"] ^ pairs["flat_other"]).to_numpy()
    return pl.Series("alike", same_colour & (both_flat | (~one_flat & (np.asarray(bits) <= _BITS))))


def same_looking(pairs: Sequence[Pair], workers: int) -> pl.DataFrame:
    """Look at pairs of pictures, in processes, and keep those that look the same.

    Args:
        pairs: The pairs.
        workers: Number of processes.

    Returns:
        image, image_other.
    """
    chunks = [pairs[start : start + _CHUNK] for start in range(0, len(pairs), _CHUNK)]
    found = [pair for kept in map_unordered(_compare_some, chunks, workers if len(chunks) > 4 else 1) for pair in kept]
    return pl.DataFrame(found, schema={"image": pl.UInt64, "image_other": pl.UInt64}, orient="row")


def _compare_some(pairs: Sequence[Pair]) -> list[tuple[int, int]]:
    return [(pair.image, pair.image_other) for pair in pairs if _compare(pair)]


def _compare(pair: Pair) -> bool:
    try:
        return look_the_same(pair.place.read(), pair.place_other.read())
    except (BlenderError, OSError):
        return False
