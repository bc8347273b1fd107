"""Which images look the same though their bytes differ: copies that were compressed, resized or brightened.

Every image is decoded to a perceptual hash of 128 bits (:mod:`blender.data.images.perceptual_hash`). Two hashes that
differ in at most ``n`` bits agree in at least one of ``n + 1`` bands of bits, so only images
of equal bands are compared.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from blender.blend.pool import Ints
from blender.core.components import components
from blender.core.errors import StoreError
from blender.core.pool import map_unordered
from blender.data.images import ImageStore, kept_store
from blender.data.images.perceptual_hash import COLOUR_STEPS, PerceptualHash, perceptual_hash
from blender.recipe import Recipe

_CHUNK = 64
#: below this many images a second process costs more than it saves
_FEW = 200
_NUM_BITS = 128

_SCHEMA = {
    "image": pl.UInt32,
    "across": pl.UInt64,
    "down": pl.UInt64,
    "red": pl.UInt8,
    "green": pl.UInt8,
    "blue": pl.UInt8,
    "flat": pl.Boolean,
}


@dataclass(frozen=True)
class _Chunk:
    store: str
    location: str
    #: (image number, member of the store)
    images: list[tuple[int, str]]


def group_by_looks(
    images: pl.DataFrame,
    recipe: Recipe,
    distance: int,
    workers: int = 1,
    on_progress: Callable[[int, int], None] | None = None,
) -> pl.Series:
    """Group images that look the same, directly or through others.

    Args:
        images: What the survey found, with their contents.
        recipe: Gives the stores.
        distance: Bits in which the hashes of two images that look the same may differ.
        workers: Number of processes.
        on_progress: Called with (images done, images in all).

    Returns:
        ``content``: of each image the lowest number of an image that is or looks the same.
    """
    distinct = images.with_row_index("image").filter(
        (pl.col("image") == pl.col("content")) & pl.col("reason").is_null() & pl.col("member").is_not_null()
    )
    rows: list[tuple[int, *tuple[int | bool, ...]]] = []
    done = 0
    for found in map_unordered(_look_at_some, _chunks(distinct, recipe), workers if distinct.height > _FEW else 1):
        rows += found
        done += _CHUNK
        if on_progress:
            on_progress(min(done, distinct.height), distinct.height)
    # without shape there is only a colour, which many pictures share
    looks = pl.DataFrame(rows, schema=_SCHEMA, orient="row").sort("image").filter(~pl.col("flat"))
    left, right = _pairs(looks, distance)
    own = images["content"].to_numpy().astype(np.int64)
    numbers = np.arange(len(own))
    same = components(len(own), np.concatenate([numbers, left]), np.concatenate([own, right]))
    return pl.Series("content", same, dtype=pl.UInt32)


def _chunks(images: pl.DataFrame, recipe: Recipe) -> list[_Chunk]:
    chunks = []
    for (store,), group in images.group_by("store", maintain_order=True):
        for piece in group.iter_slices(_CHUNK):
            pairs = list(piece.select("image", "member").iter_rows())
            chunks.append(_Chunk(str(store), recipe.images[str(store)], pairs))
    return chunks


def _look_at_some(chunk: _Chunk) -> list[tuple[int, *tuple[int | bool, ...]]]:
    """PerceptualHash at images; one that cannot be decoded looks like no other."""
    store = kept_store(chunk.store, chunk.location)
    looks = [(image, _look(store, member)) for image, member in chunk.images]
    return [(image, *look) for image, look in looks if look is not None]


def _look(store: ImageStore, member: str) -> PerceptualHash | None:
    try:
        return perceptual_hash(store.read(member))
    except (StoreError, OSError, ValueError, SyntaxError, EOFError):
        return None


def _pairs(looks: pl.DataFrame, distance: int) -> tuple[Ints, Ints]:
    """Find the pairs whose hashes are near to each other and whose colours are alike; as image numbers."""
    bits = _bits(looks)
    colours = looks.select("red", "green", "blue").to_numpy().astype(np.int64)
    edges = np.linspace(0, _NUM_BITS, distance + 2).astype(np.int64)
    found = [np.empty((0, 2), dtype=np.int64)]
    for begin, end in zip(edges[:-1], edges[1:], strict=True):
        band = np.packbits(bits[:, begin:end], axis=1)
        _, group = np.unique(band, axis=0, return_inverse=True)
        order = np.argsort(group.ravel(), kind="stable")
        buckets = np.split(order, np.flatnonzero(np.diff(group.ravel()[order])) + 1)
        found += [_near(members, looks, colours, distance) for members in buckets if len(members) > 1]
    numbers = looks["image"].to_numpy().astype(np.int64)
    pairs = numbers[np.unique(np.concatenate(found), axis=0)]
    return pairs[:, 0], pairs[:, 1]


def _near(members: Ints, looks: pl.DataFrame, colours: Ints, distance: int) -> Ints:
    """Compare every member of a bucket with those behind it; (pairs, 2) rows of ``looks``."""
    across, down = (looks[name].to_numpy()[members] for name in ("across", "down"))
    found = [np.empty((0, 2), dtype=np.int64)]
    for place in range(len(members) - 1):
        others = slice(place + 1, None)
        differing = np.bitwise_count(across[place] ^ across[others]).astype(np.int64)
        differing += np.bitwise_count(down[place] ^ down[others])
        shades = np.abs(colours[members[place]] - colours[members[others]]).max(axis=1)
        near = members[others][(differing <= distance) & (shades <= COLOUR_STEPS)]
        found.append(np.column_stack([np.full(len(near), members[place]), near]))
    return np.concatenate(found)


def _bits(looks: pl.DataFrame) -> npt.NDArray[np.uint8]:
    numbers = looks.select("across", "down").to_numpy().astype(">u8")
    return np.unpackbits(np.ascontiguousarray(numbers).view(np.uint8).reshape(len(numbers), -1), axis=1)
