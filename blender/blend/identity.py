"""Which images of a corpus are one and the same, so that splits, matches and counts see it once.

Two names are one image when they lead to one file, when the recipe says that a store holds the images of another under
the same names (``same_as``), or when the bytes are equal. Bytes are compared only where it can matter: files that agree
in size, pixels and sketch (``blender.data.images.identity``) are read whole, all others are known to differ.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl

from blender.core.components import components
from blender.core.errors import StoreError
from blender.core.pool import map_unordered
from blender.data.images import kept_store, open_store
from blender.data.images.identity import content_hash
from blender.recipe import Recipe

_CHUNK = 64
#: below this many files a second process costs more than it saves
_FEW = 200
#: what equal files agree in
_ALIKE = ("num_bytes", "width", "height", "sketch")


@dataclass(frozen=True)
class _Chunk:
    store: str
    location: str
    #: (image number, member of the store)
    images: list[tuple[int, str]]


def identify(
    images: pl.DataFrame,
    recipe: Recipe,
    workers: int = 1,
    on_progress: Callable[[int, int], None] | None = None,
) -> pl.Series:
    """Find the images that are one.

    Args:
        images: What the survey found, row n being image n. Where no image was opened there are no sketches, and only
            names are compared.
        recipe: Gives the stores.
        workers: Number of processes.
        on_progress: Called with (files compared, files to be compared).

    Returns:
        ``content``: of each image the lowest number of an image that is the same.
    """
    numbered = images.with_row_index("image").with_columns(
        pl.col("store").replace_strict(dict(recipe.images), default=pl.col("store")).alias("location"),
        pl.coalesce("member", "name").alias("file"),
    )
    first = numbered.select("image", first=pl.col("image").min().over("location", "file"))["first"]
    pairs = [
        (numbered["image"].to_numpy(), first.to_numpy()),
        _aliased(numbered, recipe),
        _equal(numbered.filter(pl.col("image") == first), recipe, workers, on_progress),
    ]
    left, right = (np.concatenate([pair[side] for pair in pairs]).astype(np.int64) for side in (0, 1))
    differ = left != right
    same = components(numbered.height, left[differ], right[differ])
    return pl.Series("content", same, dtype=pl.UInt32)


def _aliased(numbered: pl.DataFrame, recipe: Recipe) -> tuple[pl.Series, pl.Series]:
    """Pair each image of a store that is the same as another with the image of that name there."""
    known = numbered.group_by("location", "file").agg(pl.col("image").min().alias("image_there"))
    found = [pl.DataFrame(schema={"image": pl.UInt32, "image_there": pl.UInt32})]
    for name, other in recipe.same_stores.items():
        own = numbered.filter(pl.col("store") == name).select("image", "name")
        files = pl.Series("file", _files_there(own["name"], other, recipe.images[other]), dtype=pl.String)
        named = own.select("image", files, pl.lit(recipe.images[other]).alias("location"))
        found.append(named.join(known, on=["location", "file"], how="inner").select("image", "image_there"))
    both = pl.concat(found).sort("image")
    return both["image"], both["image_there"]


def _files_there(names: Iterable[str], store: str, location: str) -> list[str | None]:
    """Look names up in a store; where it is not there, names stand for themselves."""
    try:
        opened = open_store(store, location)
    except StoreError:
        return list(names)
    with opened:
        return [opened.resolve(name) for name in names]


def _equal(
    files: pl.DataFrame, recipe: Recipe, workers: int, on_progress: Callable[[int, int], None] | None
) -> tuple[pl.Series, pl.Series]:
    """Pair each file with the first one of the same bytes."""
    usable = files.filter(pl.col("sketch").is_not_null() & pl.col("reason").is_null())
    candidates = usable.filter(pl.len().over(_ALIKE) > 1)
    hashes = pl.DataFrame(
        list(_read_all(_chunks(candidates, recipe), candidates.height, workers, on_progress)),
        schema={"image": pl.UInt32, "hash": pl.Binary},
        orient="row",
    )
    same = hashes.sort("image").select("image", first=pl.col("image").min().over("hash"))
    return same["image"], same["first"]


def _chunks(candidates: pl.DataFrame, recipe: Recipe) -> Iterator[_Chunk]:
    for (store,), group in candidates.group_by("store", maintain_order=True):
        location = recipe.images[str(store)]
        for piece in group.iter_slices(_CHUNK):
            yield _Chunk(str(store), location, list(piece.select("image", "member").iter_rows()))


def _read_all(
    chunks: Iterator[_Chunk], total: int, workers: int, on_progress: Callable[[int, int], None] | None
) -> Iterator[tuple[int, bytes]]:
    done = 0
    for hashes in map_unordered(_read_some, list(chunks), workers if total > _FEW else 1):
        yield from hashes
        done += len(hashes)
        if on_progress:
            on_progress(done, total)


def _read_some(chunk: _Chunk) -> list[tuple[int, bytes]]:
    """Hash files; one that can no longer be read is equal to none, and fails the blend when it is written."""
    store, hashes = kept_store(chunk.store, chunk.location), []
    for image, member in chunk.images:
        try:
            hashes.append((image, content_hash(store.read(member))))
        except StoreError:
            continue
    return hashes
