"""Resolve: the names of images → images, and which of them can be used.

In: the image names of the parts, and the recipe's stores. Out: ``images`` in numbers, and ``image_names`` on disk
(:mod:`blender.blend.tables`). Names are looked up in this process (a store lists its names once); images are opened by
all of them, as closely as the recipe's ``pixels.check`` says.
"""

from collections.abc import Collection, Iterator, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl

from blender.blend.disk import Rows, TableWriter
from blender.blend.image_tasks import ImageTask, Workers, map_images
from blender.blend.images import Images, StoreImages
from blender.blend.join import ImageNames, Tables
from blender.blend.reasons import LISTED, REASONS
from blender.blend.tables import IMAGE_NAMES, IMAGES, PART_NAMES, Reason
from blender.core.arrays import Ints
from blender.core.errors import StoreError
from blender.data.images import Check, ImageLimits, ImageStore, open_store, survey_image
from blender.data.images.misplaced import NUM_TRIED
from blender.data.images.names import fault_as_name, shown_name
from blender.recipe import Recipe

_AT_A_TIME = 256
#: names that are looked up at a time
_NAMES_AT_A_TIME = 1 << 16
#: below this many images a second process costs more than it saves
_FEW: dict[Check, int] = {"header": 2_000, "auto": 1_000, "decode": 200}
_CODES = {word: code for code, word in enumerate(REASONS)}
_USABLE = len(REASONS)
#: code of a reason → the reason; the last one is null
_WORDS = pl.Series("reason", [*REASONS, None], dtype=Reason)

#: number, bytes, width, height, extension, sketch, reason, detail
_Row = tuple[int, int, int, int, str, int | None, str | None, str | None]
#: member, reason and detail of a name
_Found = tuple[str | None, int, str | None]


def resolve_images(
    tables: Tables,
    recipe: Recipe,
    who: Workers,
    *,
    look: bool = True,
    without: Collection[tuple[str, str]] = (),
) -> Images:
    """Look every image up, and open it.

    Args:
        tables: What was read.
        recipe: Gives the stores and the limits.
        who: Who opens images.
        look: False to look names up only and open no image; a store that is not there counts as complete then.
        without: (store, name) of images that are left out, whatever they are.

    Raises:
        StoreError: A store cannot be opened.
    """
    stores, codes = list[StoreImages](), np.full(tables.num_images, _USABLE, np.uint8)
    present = np.zeros(len(codes), bool)
    first = 0
    for number, names in enumerate(tables.image_names):
        location = recipe.images.get(names.store)
        store = _open(names.store, location, look) if location is not None else None
        listed = {name for store_name, name in without if store_name == names.store}
        is_plain = True
        with TableWriter(tables.folder, number, [IMAGE_NAMES]) as writer:
            start = first
            for own in _names(tables.folder, names):
                found = [_find(name, store, location, listed) for name in own]
                members = [member for member, _, _ in found]
                is_plain = is_plain and all(m is None or m == n for m, n in zip(members, own, strict=True))
                codes[start : start + len(own)] = [code for _, code, _ in found]
                present[start : start + len(own)] = [member is not None for member in members]
                details = [detail for _, _, detail in found]
                columns = {"store": [names.store] * len(own), "name": own, "member": members, "detail": details}
                writer.add(IMAGE_NAMES, IMAGE_NAMES.frame(columns))
                start += len(own)
        stores.append(StoreImages(names.store, location, first, start - first, is_plain))
        first = start
    images = Images(_table(codes), tuple(stores), tables.folder)
    return _look(images, codes, np.flatnonzero(present), recipe, who) if look else images


def _table(codes: Ints, facts: Mapping[str, pl.Series] | None = None) -> pl.DataFrame:
    return IMAGES.check(pl.DataFrame({"reason": _WORDS.gather(codes), **(facts or {})}))


def _names(folder: Path, names: ImageNames) -> Iterator[list[str]]:
    """Yield the names of a store's images, in order."""
    for part, rows in names.parts:
        table = Rows([PART_NAMES.path(folder, part)])
        for start in range(0, len(rows), _NAMES_AT_A_TIME):
            yield [name for (name,) in table.take(rows[start : start + _NAMES_AT_A_TIME], ["name"])]


def _open(name: str, location: str, look: bool) -> ImageStore | None:
    try:
        return open_store(name, location)
    except StoreError:
        if look:
            raise
        return None


def _find(name: str, store: ImageStore | None, location: str | None, listed: Collection[str]) -> _Found:
    if location is None:
        return None, _CODES["image_missing"], "the record shows images, and its source names no image store"
    if store is None:
        return None, _USABLE, None
    if name in listed:
        return None, _CODES[LISTED], f"{name}: it is in the list of images to leave out"
    member = store.resolve(name)
    if member is not None:
        return member, _USABLE, None
    reason, detail = _why_missing(store, name)
    suggestion = store.suggest(name)
    return None, _CODES[reason], f"{detail}; {suggestion}" if suggestion else detail


def _why_missing(store: ImageStore, name: str) -> tuple[str, str]:
    if fault := fault_as_name(name):
        return "image_missing", f"{shown_name(name)} {fault}"
    refusal = store.refusal(name)
    if refusal:
        return "image_outside_store", refusal
    return "image_missing", f"{shown_name(name)} is not in image store {store.name} ({store.location})"


def _look(images: Images, codes: Ints, present: Ints, recipe: Recipe, who: Workers) -> Images:
    """Open the images that are there, and note what is known of them then."""
    limits = ImageLimits(max_pixels=recipe.limits.image_pixels, max_bytes=int(recipe.limits.image_bytes))
    check, num_images = recipe.pixels.check, len(images)
    num_bytes, sketch = np.zeros(num_images, np.uint64), np.zeros(num_images, np.uint64)
    width, height = np.zeros(num_images, np.uint32), np.zeros(num_images, np.uint32)
    extension, extensions = np.zeros(num_images, np.uint16), {"": 0}
    looked, has_sketch, faults = np.zeros(num_images, bool), np.zeros(num_images, bool), dict[int, str]()
    survey = partial(_survey, limits=limits, check=check)
    rows = map_images(survey, images, present, who, at_a_time=_AT_A_TIME, few=_FEW[check])
    for image, size, own_width, own_height, suffix, own_sketch, reason, detail in rows:
        looked[image], num_bytes[image], width[image], height[image] = True, size, own_width, own_height
        extension[image] = extensions.setdefault(suffix, len(extensions))
        if own_sketch is not None:
            sketch[image], has_sketch[image] = own_sketch, True
        if reason is not None:
            codes[image], faults[image] = _CODES[reason], detail or ""
    words = pl.Series(list(extensions), dtype=pl.Categorical)
    facts = {
        "num_bytes": _where(looked, pl.Series(num_bytes)),
        "width": _where(looked, pl.Series(width)),
        "height": _where(looked, pl.Series(height)),
        "sketch": _where(has_sketch, pl.Series(sketch)),
        "extension": _where(looked, words.gather(extension)),
    }
    return Images(_table(codes, facts), images.stores, images.folder, faults)


def _where(mask: Ints, values: pl.Series) -> pl.Series:
    """Return values, null where the mask is not set."""
    if mask.all():
        return values
    return pl.select(pl.when(pl.Series(mask)).then(values)).to_series()


def _survey(task: ImageTask, limits: ImageLimits, check: Check) -> list[_Row]:
    rows: list[_Row] = []
    for image, name, member in task.images:
        info = survey_image(task.store, member, limits, check)
        reason = f"image_{info.reason}" if info.reason else None
        detail = f"{name}: {info.detail}" if info.reason else None
        rows.append((image, info.num_bytes, info.width, info.height, info.extension, info.sketch, reason, detail))
    return rows


def misplaced_images(images: Images) -> list[str]:
    """Say for each store of which most images are missing where they are instead, as far as that is seen.

    Args:
        images: What :func:`resolve_images` gave.
    """
    advice = []
    for own in images.stores:
        reasons = images.table["reason"].slice(own.first, own.num_images)
        missing = reasons.eq_missing("image_missing").arg_true()
        if own.location is None or 2 * len(missing) < own.num_images:
            continue
        store = _open(own.name, own.location, look=False)
        tried = images.rows().take(missing.head(NUM_TRIED).to_numpy() + own.first, ["name"])
        names = [name for (name,) in tried if not fault_as_name(name)]
        if store and names and (where := store.find_misplaced(names)):
            advice.append(f"images of store {own.name} are not where their names say in {own.location}; {where}")
    return advice
