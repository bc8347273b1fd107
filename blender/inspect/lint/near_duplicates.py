"""Which pictures look the same: first by a few numbers of each, then by looking at both.

The numbers are a perceptual hash (:mod:`blender.data.images.perceptual_hash`). They do not see a small thing that is
there or not, which is what pairs for finding differences are made of. So two pictures whose numbers agree are opened
again, and no part of one may differ from the same part of the other.
"""

from collections.abc import Callable, Iterator, Sequence
from hashlib import blake2b
from typing import NamedTuple

import numpy as np
import polars as pl

from blender.core.errors import BlenderError
from blender.core.pool import map_unordered
from blender.data.images.perceptual_hash import COLOUR_STEPS, PerceptualHash, look_the_same, perceptual_hash
from blender.inspect.lint.tables import Readable

#: bits of 128 that near-duplicates may differ in
_BITS = 12
_CHUNK = 64

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


class ImageToHash(NamedTuple):
    """A picture to be looked at."""

    image: int
    place: Readable
    #: whether its bytes are hashed
    digest: bool
    #: whether it is decoded
    look: bool


class ImagePair(NamedTuple):
    """Two pictures to be compared."""

    image: int
    image_other: int
    place: Readable
    place_other: Readable


def look_at_all(
    wanted: Sequence[ImageToHash], workers: int, tell: Callable[[int, int], None] | None = None
) -> pl.DataFrame:
    """PerceptualHash at pictures, in processes.

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


def _look_at_some(wanted: Sequence[ImageToHash]) -> list[tuple[object, ...]]:
    return list(_rows(wanted))


def _rows(wanted: Sequence[ImageToHash]) -> Iterator[tuple[object, ...]]:
    for image, place, digest, look in wanted:
        try:
            content = place.read()
        except BlenderError:
            continue
        hashed = int.from_bytes(blake2b(content, digest_size=8).digest(), "big") if digest else None
        yield image, hashed, *(_seen(content) if look else (None,) * len(PerceptualHash._fields))


def _seen(content: bytes) -> tuple[object, ...]:
    try:
        return perceptual_hash(content)
    except OSError:
        return (None,) * len(PerceptualHash._fields)


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
    same_colour = np.max(shades, axis=0, initial=0) <= COLOUR_STEPS
    both_flat = (pairs["flat"] & pairs["flat_other"]).to_numpy()
    one_flat = (pairs["flat"] ^ pairs["flat_other"]).to_numpy()
    return pl.Series("alike", same_colour & (both_flat | (~one_flat & (np.asarray(bits) <= _BITS))))


def same_looking(pairs: Sequence[ImagePair], workers: int) -> pl.DataFrame:
    """PerceptualHash at pairs of pictures, in processes, and keep those that look the same.

    Args:
        pairs: The pairs.
        workers: Number of processes.

    Returns:
        image, image_other.
    """
    chunks = [pairs[start : start + _CHUNK] for start in range(0, len(pairs), _CHUNK)]
    found = [pair for kept in map_unordered(_compare_some, chunks, workers if len(chunks) > 4 else 1) for pair in kept]
    return pl.DataFrame(found, schema={"image": pl.UInt64, "image_other": pl.UInt64}, orient="row")


def _compare_some(pairs: Sequence[ImagePair]) -> list[tuple[int, int]]:
    return [(pair.image, pair.image_other) for pair in pairs if _compare(pair)]


def _compare(pair: ImagePair) -> bool:
    try:
        return look_the_same(pair.place.read(), pair.place_other.read())
    except (BlenderError, OSError):
        return False
