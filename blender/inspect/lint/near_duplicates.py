"""Which images look the same: first by their perceptual hashes, then by comparing the images themselves.

A perceptual hash (:mod:`blender.data.images.perceptual_hash`) misses small objects, which are all that differs in pairs
of images made for questions about a difference. So two images whose hashes agree are opened again and compared part by
part.
"""

from collections.abc import Callable, Iterator, Sequence
from hashlib import blake2b
from typing import NamedTuple

import numpy as np
import polars as pl

from blender.core.errors import BlenderError
from blender.core.pool import map_unordered
from blender.data.images.perceptual_hash import (
    COLOUR_STEPS,
    HASH_COLUMNS,
    PerceptualHash,
    look_the_same,
    perceptual_hash,
)
from blender.inspect.lint.tables import Readable

#: bits of 128 that near-duplicates may differ in
_BITS = 12
_CHUNK = 64

#: columns of hashed images: the perceptual hash is null where only the bytes were hashed, or nothing can be decoded
IMAGE_HASHES = {"image": pl.UInt64, "digest": pl.UInt64, **HASH_COLUMNS}


class ImageToHash(NamedTuple):
    """An image to be hashed."""

    image: int
    file: Readable
    #: whether to hash its bytes
    digest: bool
    #: whether to decode it for a perceptual hash
    decode: bool


class ImagePair(NamedTuple):
    """Two images to be compared."""

    image: int
    image_other: int
    file: Readable
    file_other: Readable


def hash_images(
    wanted: Sequence[ImageToHash], workers: int, tell: Callable[[int, int], None] | None = None
) -> pl.DataFrame:
    """Hash images, in several processes.

    Args:
        wanted: The images.
        workers: Number of processes.
        tell: Called with (images done, images in all).

    Returns:
        Columns of :data:`IMAGE_HASHES`; images that cannot be read are missing.
    """
    rows: list[tuple[object, ...]] = []
    done = 0
    chunks = [wanted[start : start + _CHUNK] for start in range(0, len(wanted), _CHUNK)]
    for found in map_unordered(_hash_some, chunks, workers if len(wanted) > 8 * _CHUNK else 1):
        rows += found
        done += _CHUNK
        if tell:
            tell(min(done, len(wanted)), len(wanted))
    return pl.DataFrame(rows, schema=IMAGE_HASHES, orient="row")


def _hash_some(wanted: Sequence[ImageToHash]) -> list[tuple[object, ...]]:
    return list(_rows(wanted))


def _rows(wanted: Sequence[ImageToHash]) -> Iterator[tuple[object, ...]]:
    for image, file, digest, decode in wanted:
        try:
            content = file.read()
        except BlenderError:
            continue
        hashed = int.from_bytes(blake2b(content, digest_size=8).digest(), "big") if digest else None
        yield image, hashed, *(_perceptual_hash(content) if decode else (None,) * len(PerceptualHash._fields))


def _perceptual_hash(content: bytes) -> tuple[object, ...]:
    try:
        return perceptual_hash(content)
    except OSError:
        return (None,) * len(PerceptualHash._fields)


def hashes_agree(pairs: pl.DataFrame) -> pl.Series:
    """Say of each pair of images whether their perceptual hashes agree.

    Args:
        pairs: Columns of :data:`IMAGE_HASHES`, and those of the other image, which end in ``_other``.
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


def find_near_duplicates(pairs: Sequence[ImagePair], workers: int) -> pl.DataFrame:
    """Compare pairs of images, in several processes, and return those that look the same.

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
        return look_the_same(pair.file.read(), pair.file_other.read())
    except (BlenderError, OSError):
        return False
