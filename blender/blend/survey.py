"""Which images are there, and can they be used: each is looked at once, before anything is blended.

Names are resolved in this process (a store lists its names once); images are looked at by all of them, as closely as
the recipe's ``pixels.check`` says.
"""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

import polars as pl

from blender.blend.corpus import Corpus
from blender.blend.reasons import LISTED
from blender.core.errors import StoreError
from blender.core.pool import map_unordered
from blender.data.images import Check, ImageLimits, ImageStore, kept_store, open_store, survey_image
from blender.data.images.misplaced import NUM_TRIED
from blender.data.images.names import fault_as_name, shown_name
from blender.recipe import Recipe

_CHUNK = 256
#: below this many images a second process costs more than it saves
_FEW: dict[Check, int] = {"header": 2_000, "auto": 1_000, "decode": 200}

#: columns added to those of ``corpus.images``
SCHEMA = {
    "member": pl.String,
    "num_bytes": pl.UInt64,
    "width": pl.UInt32,
    "height": pl.UInt32,
    "extension": pl.String,
    "sketch": pl.UInt64,
    "reason": pl.String,
    "detail": pl.String,
}


@dataclass(frozen=True)
class _Chunk:
    store: str
    location: str
    limits: ImageLimits
    check: Check
    #: (image number, record's name, member of the store)
    images: list[tuple[int, str, str]]


_Row = tuple[int, str | None, int | None, int | None, int | None, str | None, int | None, str | None, str | None]


def survey_images(
    corpus: Corpus,
    recipe: Recipe,
    workers: int = 1,
    *,
    look: bool = True,
    without: Collection[tuple[str, str]] = (),
    on_progress: Callable[[int, int], None] | None = None,
) -> pl.DataFrame:
    """Look every image up, and look at it.

    Args:
        corpus: The tables; row n of its images is image n.
        recipe: Gives the stores and the limits.
        workers: Number of processes.
        look: False to look names up only and open no image; a store that is not there counts as complete then.
        without: (store, name) of images that are left out, whatever they are.
        on_progress: Called with (images done, images in all).

    Returns:
        One row per image, in order: store, name, and the columns of :data:`SCHEMA`; ``reason`` set means unusable.

    Raises:
        StoreError: A store cannot be opened.
    """
    rows: list[_Row] = []
    found: list[_Chunk] = []
    for name, group in corpus.images.with_row_index("image").group_by("store", maintain_order=True):
        location = recipe.images.get(str(name[0]))
        if location is None:
            detail = "the record shows images, and its source names no image store"
            rows += [(image, None, None, None, None, None, None, "image_missing", detail) for image in group["image"]]
            continue
        store = _open(str(name[0]), location, look)
        if store is None:
            continue
        pairs = list(zip(group["image"].to_list(), group["name"].to_list(), strict=True))
        if without:
            rows += _listed(str(name[0]), pairs, without)
            pairs = [pair for pair in pairs if (str(name[0]), pair[1]) not in without]
        missing, present = _resolve(store, pairs)
        rows += missing
        limits = ImageLimits(max_pixels=recipe.limits.image_pixels, max_bytes=int(recipe.limits.image_bytes))
        found += [
            _Chunk(str(name[0]), location, limits, recipe.pixels.check, present[start : start + _CHUNK])
            for start in range(0, len(present), _CHUNK)
        ]
    rows += _look(found, workers, on_progress) if look else _believe(found)
    columns = pl.DataFrame(rows, schema={"image": pl.UInt32, **SCHEMA}, orient="row")
    numbered = corpus.images.with_row_index("image")
    return numbered.join(columns, on="image", how="left", maintain_order="left").drop("image")


def _listed(store: str, pairs: list[tuple[int, str]], without: Collection[tuple[str, str]]) -> list[_Row]:
    detail = "it is in the list of images to leave out"
    return [
        (image, None, None, None, None, None, None, LISTED, f"{name}: {detail}")
        for image, name in pairs
        if (store, name) in without
    ]


def _open(name: str, location: str, look: bool) -> ImageStore | None:
    try:
        return open_store(name, location)
    except StoreError:
        if look:
            raise
        return None


def _resolve(store: ImageStore, pairs: list[tuple[int, str]]) -> tuple[list[_Row], list[tuple[int, str, str]]]:
    missing: list[_Row] = []
    present = []
    for image, name in pairs:
        member = store.resolve(name)
        if member is not None:
            present.append((image, name, member))
            continue
        reason, detail = _why_missing(store, name)
        suggestion = store.suggest(name)
        missing.append(
            (image, None, None, None, None, None, None, reason, f"{detail}; {suggestion}" if suggestion else detail)
        )
    return missing, present


def _why_missing(store: ImageStore, name: str) -> tuple[str, str]:
    if fault := fault_as_name(name):
        return "image_missing", f"{shown_name(name)} {fault}"
    refusal = store.refusal(name)
    if refusal:
        return "image_outside_store", refusal
    return "image_missing", f"{shown_name(name)} is not in image store {store.name} ({store.location})"


def misplaced_images(images: pl.DataFrame, recipe: Recipe) -> list[str]:
    """Say for each store of which most images are missing where they are instead, as far as that is seen.

    Args:
        images: What :func:`survey_images` gave.
        recipe: Gives the stores.
    """
    advice = []
    for (name,), group in images.group_by("store", maintain_order=True):
        missing = group.filter(reason="image_missing")["name"]
        location = recipe.images.get(str(name))
        store = _open(str(name), location, look=False) if location and 2 * len(missing) >= group.height else None
        names = [image for image in missing.head(NUM_TRIED).to_list() if not fault_as_name(image)]
        if store and names and (where := store.find_misplaced(names)):
            advice.append(f"images of store {name} are not where their names say in {location}; {where}")
    return advice


def _look(chunks: list[_Chunk], workers: int, on_progress: Callable[[int, int], None] | None) -> list[_Row]:
    total, rows = sum(len(chunk.images) for chunk in chunks), list[_Row]()
    few = _FEW[chunks[0].check] if chunks else 0
    for done in map_unordered(_survey_chunk, chunks, workers if total > few else 1):
        rows += done
        if on_progress:
            on_progress(len(rows), total)
    return rows


def _believe(chunks: list[_Chunk]) -> Iterator[_Row]:
    for chunk in chunks:
        for image, _, member in chunk.images:
            yield image, member, None, None, None, None, None, None, None


def _survey_chunk(chunk: _Chunk) -> list[_Row]:
    rows: list[_Row] = []
    store = kept_store(chunk.store, chunk.location)
    for image, name, member in chunk.images:
        info = survey_image(store, member, chunk.limits, chunk.check)
        reason = f"image_{info.reason}" if info.reason else None
        detail = f"{name}: {info.detail}" if info.reason else None
        rows.append(
            (image, member, info.num_bytes, info.width, info.height, info.extension, info.sketch, reason, detail)
        )
    return rows
