"""Checks of images: too small, too narrow, twice in one sample, or never used."""

import os
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import polars as pl

from blender.core.counting import counted
from blender.core.errors import StoreError
from blender.data.images import ImageStore, open_store
from blender.data.images.files import is_remote, local_path
from blender.data.images.names import extension_of
from blender.inspect.lint.check import Check
from blender.inspect.lint.near_duplicates import ImagePair, ImageToHash, hashes_agree
from blender.inspect.lint.tables import LintTables, Samples, hits_beyond, hits_in, no_hits
from blender.recipe.stores import store_locations

#: pixels of the shorter side
_SMALL = 32
#: longer side to shorter side
_EXTREME = 5


def images_to_hash(
    source: Samples, samples: pl.DataFrame, shows: pl.DataFrame, images: pl.DataFrame
) -> list[ImageToHash]:
    """Choose the images to open: those of samples with several, and those that train and eval may share.

    Two names can be of one image only when the sizes in pixels and in bytes are equal; only the bytes of such images
    are hashed.
    """
    several = shows.filter(pl.len().over("sample") > 1)["image"].unique()
    copies = _possible_copies(source, samples, shows, images)
    wanted = images.with_columns(
        decode=pl.col("image").is_in(several.implode()), digest=pl.col("image").is_in(copies.implode())
    ).filter(pl.col("decode") | pl.col("digest"))
    files = source.pictures(wanted)
    rows = wanted.select("image", "digest", "decode").iter_rows()
    return [ImageToHash(image, file, digest, decode) for (image, digest, decode), file in zip(rows, files, strict=True)]


def _possible_copies(source: Samples, samples: pl.DataFrame, shows: pl.DataFrame, images: pl.DataFrame) -> pl.Series:
    """Return the images that have the size, in pixels and bytes, of another image in the other split."""
    splits = shows.select("image", samples["split"].gather(shows["sample"]).cast(pl.String).alias("split")).unique()
    sized = images.with_columns(num_bytes=source.picture_bytes(images)).filter(pl.col("num_bytes").is_not_null())
    both = splits.join(sized.select("image", "width", "height", "num_bytes"), on="image", how="inner")
    group = ("width", "height", "num_bytes")
    return both.filter((pl.col("image").n_unique().over(group) > 1) & (pl.col("split").n_unique().over(group) > 1))[
        "image"
    ].unique()


def pairs_to_compare(
    source: Samples, shows: pl.DataFrame, images: pl.DataFrame, hashes: pl.DataFrame
) -> list[ImagePair]:
    """Choose the pairs of images in one sample that may look the same."""
    paired = _pairs(shows).select(
        image=pl.min_horizontal("image", "image_other"), image_other=pl.max_horizontal("image", "image_other")
    )
    distinct = paired.filter(pl.col("image") != pl.col("image_other")).unique().sort("image", "image_other")
    decoded = hashes.filter(pl.col("across").is_not_null())
    known = distinct.join(decoded, on="image").join(decoded, left_on="image_other", right_on="image", suffix="_other")
    alike = known.filter(hashes_agree(known)).sort("image", "image_other").select("image", "image_other")
    places = [
        source.pictures(alike.select(image=name).join(images, on="image", how="left", maintain_order="left"))
        for name in ("image", "image_other")
    ]
    return [ImagePair(*numbers, *both) for numbers, *both in zip(alike.iter_rows(), *places, strict=True)]


def _first_showings(material: LintTables, images: pl.DataFrame, detail: pl.Expr) -> pl.DataFrame:
    """Make hits of images, at the sample that showed each first."""
    return hits_in(material, images.select("sample", detail.alias("detail")))


def _sized(material: LintTables) -> pl.DataFrame:
    return material.images.filter((pl.col("width") > 0) & (pl.col("height") > 0))


def _find_small(material: LintTables) -> pl.DataFrame:
    small = _sized(material).filter(pl.min_horizontal("width", "height") < _SMALL)
    return _first_showings(
        material, small, pl.format("{} of {} has {} x {} pixels", "name", "store", "width", "height")
    )


def _find_extreme(material: LintTables) -> pl.DataFrame:
    sides = (pl.max_horizontal("width", "height"), pl.min_horizontal("width", "height"))
    extreme = _sized(material).filter(sides[0] > _EXTREME * sides[1])
    return _first_showings(
        material, extreme, pl.format("{} of {} has {} x {} pixels", "name", "store", "width", "height")
    )


def _pairs(shows: pl.DataFrame) -> pl.DataFrame:
    """Pair each image of a sample with those shown after it."""
    paired = shows.join(shows, on="sample", suffix="_other")
    return paired.filter(pl.col("position") < pl.col("position_other"))


def _find_twice(material: LintTables) -> pl.DataFrame:
    return _same(material, _pairs(material.shows).filter(pl.col("image") == pl.col("image_other")))


def _find_alike(material: LintTables) -> pl.DataFrame:
    if material.alike is None:
        return no_hits()
    # a pair may be shown in either order
    turned = material.alike.select(image="image_other", image_other="image")
    alike = pl.concat([material.alike, turned])
    pairs = _pairs(material.shows).join(alike, on=["image", "image_other"], how="semi")
    return _same(material, pairs.sort("sample", "position", "position_other"))


def _same(material: LintTables, pairs: pl.DataFrame) -> pl.DataFrame:
    names = material.images.select("image", "name")
    named = pairs.join(names, on="image", how="left", maintain_order="left").join(
        names.rename({"image": "image_other", "name": "name_other"}),
        on="image_other",
        how="left",
        maintain_order="left",
    )
    detail = pl.format("images {} ({}) and {} ({})", "position", "name", "position_other", "name_other")
    return hits_in(material, named.select("sample", detail.alias("detail")))


def _find_unused(material: LintTables) -> pl.DataFrame:
    """Find images of the recipe's stores that no sample shows."""
    said: list[tuple[str | None, str]] = []
    for store, names in _stores(material):
        listed = _listed(store)
        if listed is None:
            continue
        members = (store.resolve(name) for name in names)
        used = {store.name_of(member) for member in members if member is not None}
        unused = sorted(name for name in listed if name not in used)
        said += [(None, f"{name} of {store.name} ({len(unused):,} of {len(listed):,} there)") for name in unused]
    return hits_beyond(said)


def _stores(material: LintTables) -> Iterator[tuple[ImageStore, list[str]]]:
    """Open the stores that are at hand, with the names that samples show of them."""
    shown = dict(material.images.group_by("store").agg("name").iter_rows())
    for name, location in store_locations(material.source.recipe).items():
        try:
            store = open_store(name, location)
        except StoreError:
            continue
        with store:
            yield store, shown.get(name, [])


def _listed(store: ImageStore) -> set[str] | None:
    """List the images in a store; None for a kind that would take long to list."""
    if is_remote(store.location):
        return None
    path = local_path(store.location)
    if path.is_dir():
        names: Iterable[str] = (
            Path(folder, file).relative_to(path).as_posix() for folder, _, files in os.walk(path) for file in files
        )
    elif zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    else:
        return None
    return {name for name in names if extension_of(name)}


def _unlisted(material: LintTables) -> str | None:
    unlisted = set(store_locations(material.source.recipe))
    unlisted -= {store.name for store, _ in _stores(material) if _listed(store) is not None}
    return f"the images of {', '.join(sorted(unlisted))} cannot be listed from here" if unlisted else None


def _closed(material: LintTables) -> str | None:
    return None if material.alike is not None else "images were not opened"


def _unmeasured(material: LintTables) -> str | None:
    unknown = material.images.height - _sized(material).height
    return f"sizes are not known of {counted(unknown, 'image')}" if unknown else None


CHECKS = (
    Check(
        "image_small",
        "warning",
        "images are smaller than 32 pixels",
        "Nothing can be seen on them once they are enlarged. They are often icons, or stand in for lost images: take "
        "their records out.",
        _find_small,
        hindrance=_unmeasured,
    ),
    Check(
        "image_extreme_aspect",
        "warning",
        "images are more than 5 times as long as they are wide",
        "Vision towers cut out the middle or squeeze them. Cut such images into pieces, or leave their records out.",
        _find_extreme,
        hindrance=_unmeasured,
    ),
    Check(
        "image_shown_twice",
        "notice",
        "times a sample shows one image twice",
        "It costs tokens and teaches that image numbers do not matter. It comes of records about one image that are "
        "concatenated, or matched with each other; `image_match` shows an image once.",
        _find_twice,
    ),
    Check(
        "image_near_duplicate",
        "notice",
        "pairs of images in one sample look the same",
        "No part of one differs visibly from the other, so that questions about a difference have no answer to be "
        "seen. Frames of a video may be so; else look for copies under other names.",
        _find_alike,
        hindrance=_closed,
    ),
    Check(
        "image_unused",
        "notice",
        "images of the stores are never shown",
        "No harm, if they belong to other data. If they should be used: `visualchat plan` says which records were "
        "dropped, and which names were not found.",
        _find_unused,
        hindrance=_unlisted,
    ),
)
