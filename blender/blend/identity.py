"""Which images are one and the same, so that splits, matches and counts see it once.

In: ``images``. Out: their column ``content``.

Two names are one image when they lead to one file, when the recipe says that a store holds the images of another under
the same names (``same_as``), or when the bytes are equal. Bytes are compared only where it can matter: files that agree
in size, pixels and sketch (``blender.data.images.identity``) are read whole, all others are known to differ.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np
import polars as pl

from blender.blend.disk import Rows
from blender.blend.hashing import hash_names, number_by_hash
from blender.blend.image_tasks import ImageTask, Workers, map_images
from blender.blend.images import Images, StoreImages
from blender.core.arrays import Bools, Ints
from blender.core.components import components
from blender.core.errors import StoreError
from blender.data.images import open_store
from blender.data.images.identity import content_hash
from blender.recipe import Recipe

#: what equal files agree in
_ALIKE = ("num_bytes", "width", "height", "sketch")

#: pairs of images that are one: (P,) and (P,)
_Pairs = tuple[Ints, Ints]


def identify(images: Images, recipe: Recipe, who: Workers) -> Images:
    """Find the images that are one.

    Args:
        images: All images. Where none was opened there are no sketches, and only names are compared.
        recipe: Says which stores have the same images.
        who: Who reads files.

    Returns:
        The images with ``content``: of each the lowest number of an image that is the same.
    """
    same_file = list(_same_files(images))
    is_first = np.ones(len(images), bool)
    for later, _ in same_file:
        is_first[later] = False
    pairs = [*same_file, *_aliased(images, recipe), _equal(images, is_first, who)]
    left, right = (np.concatenate([pair[side] for pair in pairs]) for side in (0, 1))
    if len(left):
        content = components(len(images), left, right).astype(np.uint32)
    else:
        content = np.arange(len(images), dtype=np.uint32)
    return replace(images, table=images.table.with_columns(content=pl.Series(content)))


def _same_files(images: Images) -> Iterator[_Pairs]:
    """Pair each image with the first one that is the same file of the same place, where that is another."""
    for own in _by_location(images).values():
        if len(own) == 1 and own[0].has_plain_names:
            continue
        numbers = np.concatenate([np.arange(store.first, store.first + store.num_images) for store in own])
        rank, firsts = number_by_hash(pl.concat([hash_names(names) for names in _files(images, own)]))
        first = numbers[firsts[rank]]
        yield numbers[first != numbers], first[first != numbers]


def _by_location(images: Images) -> dict[str, list[StoreImages]]:
    groups: dict[str, list[StoreImages]] = {}
    for store in images.stores:
        groups.setdefault(store.location or store.name, []).append(store)
    return groups


def _files(images: Images, stores: list[StoreImages]) -> Iterator[pl.Series]:
    """Yield the names in their stores, or where these are not known the names, of all images of some stores."""
    files = images.name_files()
    for store in stores:
        for names in Rows([files[images.stores.index(store)]]).slices(["member", "name"]):
            yield names.select(pl.coalesce("member", "name").alias("name")).to_series()


def _aliased(images: Images, recipe: Recipe) -> Iterator[_Pairs]:
    """Pair each image of a store that is the same as another with the image of that name there."""
    by_name = {store.name: store for store in images.stores}
    locations = _by_location(images)
    files = images.name_files()
    for name, other in recipe.same_stores.items():
        there = locations.get(recipe.images[other], [])
        if name not in by_name or not there:
            continue
        own = by_name[name]
        names = pl.concat([frame["name"] for frame in Rows([files[images.stores.index(own)]]).slices(["name"])])
        wanted = pl.Series("name", _files_there(names, other, recipe.images[other]), dtype=pl.String)
        known = hash_names(pl.concat(list(_files(images, there)))).with_columns(
            there=np.concatenate([np.arange(store.first, store.first + store.num_images) for store in there])
        )
        known = known.group_by("hash", "hash2").agg(pl.col("there").min())
        numbered = hash_names(wanted).with_columns(
            image=np.arange(own.first, own.first + own.num_images), is_there=wanted.is_not_null()
        )
        both = numbered.filter("is_there").join(known, on=["hash", "hash2"]).sort("image")
        yield both["image"].to_numpy(), both["there"].to_numpy()


def _files_there(names: Iterable[str], store: str, location: str) -> list[str | None]:
    """Look names up in a store; where it is not there, take them for the names of its files."""
    try:
        opened = open_store(store, location)
    except StoreError:
        return list(names)
    with opened:
        return [opened.resolve(name) for name in names]


def _equal(images: Images, is_first: Bools, who: Workers) -> _Pairs:
    """Pair each file with the first one of the same bytes."""
    if "sketch" not in images.table.columns:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    files = images.table.select("reason", *_ALIKE).with_row_index("image").filter(pl.Series(is_first))
    usable = files.filter(pl.col("sketch").is_not_null() & pl.col("reason").is_null())
    candidates = usable.filter(pl.len().over(_ALIKE) > 1)["image"].to_numpy()
    rows = list(map_images(_hash_some, images, candidates, who))
    hashes = pl.DataFrame(rows, schema={"image": pl.Int64, "hash": pl.Binary}, orient="row")
    same = hashes.sort("image").select("image", first=pl.col("image").min().over("hash"))
    return same["image"].to_numpy(), same["first"].to_numpy()


def _hash_some(task: ImageTask) -> list[tuple[int, bytes]]:
    """Hash files; one that can no longer be read is equal to none, and fails the blend when it is written."""
    hashes = []
    for image, _, member in task.images:
        try:
            hashes.append((image, content_hash(task.store.read(member))))
        except StoreError:
            continue
    return hashes
