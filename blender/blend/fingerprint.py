"""The fingerprint of a blend: everything that its shards depend on, as one hash.

Where files and images lie does not matter, so that a blend goes on after its inputs have moved.
"""

import hashlib

import msgspec
import polars as pl

from blender.blend.eval_list import EvalList
from blender.blend.images import Images
from blender.blend.join import Tables
from blender.blend.layout import LAYOUT_VERSION
from blender.recipe import Recipe, Source

#: keys of a recipe on which no sample depends (what of ``sources`` does is hashed by itself)
_NOT_HASHED = frozenset({"images", "sources", "lint", "on_bad_record"})
#: as many are put into words at a time
_IMAGES_AT_A_TIME = 65_536


def fingerprint_of(recipe: Recipe, tables: Tables, images: Images, listed: EvalList | None) -> str:
    """Hash what the shards depend on: recipe, annotation files, and the images as they are.

    Args:
        recipe: The recipe.
        tables: The annotation files.
        images: The images, with contents.
        listed: The list of what is held out, where there is one.
    """
    resolved = recipe.resolved()
    sources = [(name, source.format, source.images, *_read_as(source)) for name, source in recipe.sources.items()]
    decisive = {key: resolved[key] for key in sorted(resolved) if key not in _NOT_HASHED}
    decisive["limits"] = recipe.decisive_limits()
    decisive["split"] = {**resolved["split"], "list": listed.sha256 if listed else None}
    wanted = [LAYOUT_VERSION, sources, decisive]
    digest = hashlib.sha256(msgspec.json.encode(wanted, order="deterministic"))
    for file in tables.files:
        digest.update(f"{file.source}\x1f{file.label}\x1f{file.sha256}\n".encode())
    first = 0
    for names in images.rows().slices(["store", "name"]):
        own = images.table.slice(first, names.height)
        for start in range(0, names.height, _IMAGES_AT_A_TIME):
            some = [frame.slice(start, _IMAGES_AT_A_TIME) for frame in (names, own)]
            digest.update(b"\n" if first + start else b"")
            digest.update("\n".join(_lines(*some)).encode())
        first += names.height
    return digest.hexdigest()


def _lines(names: pl.DataFrame, facts: pl.DataFrame) -> pl.Series:
    """Put images into words; names have a length before them, so that no two tables give the same words."""
    nothing = pl.lit(None, pl.String)
    values = [
        pl.col("store"),
        pl.col("name").str.len_bytes(),
        pl.col("name"),
        *(pl.col(name) if name in facts.columns else nothing for name in ("num_bytes", "sketch", "content", "reason")),
    ]
    rows = pl.concat_str([value.cast(pl.String).fill_null("-") for value in values], separator="\x1f")
    return names.hstack(facts.drop("width", "height", "extension", strict=False)).select(rows).to_series()


def _read_as(source: Source) -> list[tuple[str, str]]:
    """List what a recipe says of how a source is read, where that is not the usual way."""
    options = {"system": source.system, "leading_answer": source.leading_answer}
    return [(name, value) for name, value in options.items() if value not in (None, "skip")]
