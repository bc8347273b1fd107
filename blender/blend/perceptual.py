"""Which images look the same though their bytes differ: copies that were compressed, resized or brightened.

In: ``images`` with their contents. Out: of each image the lowest number of one that is or looks the same.

Every image is decoded to a perceptual hash of 128 bits (:mod:`blender.data.images.perceptual_hash`). Two hashes that
differ in at most ``n`` bits agree in at least one of ``n + 1`` bands of bits: only images of equal bands are
compared.
"""

import numpy as np
import numpy.typing as npt
import polars as pl

from blender.blend.image_tasks import ImageTask, Workers, map_images
from blender.blend.images import Images
from blender.core.arrays import Ints
from blender.core.components import components
from blender.core.errors import StoreError
from blender.data.images import ImageStore
from blender.data.images.perceptual_hash import COLOUR_STEPS, HASH_COLUMNS, PerceptualHash, perceptual_hash

_NUM_BITS = 128

_SCHEMA = {"image": pl.UInt32, **HASH_COLUMNS}


def group_by_looks(images: Images, distance: int, who: Workers) -> Ints:
    """Group images that look the same, directly or through others.

    Args:
        images: The images that were opened, with their contents.
        distance: Bits in which the hashes of two images that look the same may differ.
        who: Who decodes them.

    Returns:
        (I,) of each image the lowest number of an image that is or looks the same.
    """
    content = images.table["content"].to_numpy()
    # an image that was not there has no size
    is_usable = images.table.select(pl.col("reason").is_null() & pl.col("num_bytes").is_not_null()).to_series()
    distinct = np.flatnonzero((content == np.arange(len(content))) & is_usable.to_numpy())
    rows = list(map_images(_hash_some, images, distinct, who))
    # without shape there is only a colour, which many pictures share
    looks = pl.DataFrame(rows, schema=_SCHEMA, orient="row").sort("image").filter(~pl.col("flat"))
    left, right = _pairs(looks, distance)
    own = np.arange(len(content))
    same = components(len(content), np.concatenate([own, left]), np.concatenate([content.astype(np.int64), right]))
    return same.astype(np.int64)


def _hash_some(task: ImageTask) -> list[tuple[int, *tuple[int | bool, ...]]]:
    """Hash images; one that cannot be decoded looks like no other."""
    looks = [(image, _look(task.store, member)) for image, _, member in task.images]
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
    found: list[Ints] = [np.empty((0, 2), dtype=np.int64)]
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
