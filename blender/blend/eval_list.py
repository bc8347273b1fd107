"""A file that lists what is held out for evaluation: images or records, one a line, or as a JSON list of texts."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import fsspec
import msgspec
import numpy as np
import polars as pl

from blender.blend.disk import Rows
from blender.blend.images import Images
from blender.blend.join import Tables
from blender.core.arrays import Bools
from blender.core.errors import PlanError
from blender.data.images.names import NameIndex

_HINT = "list images as store/name or name, and records as source/file/id, as visualchat's ledger has them"


@dataclass(frozen=True)
class EvalList:
    """What a list names."""

    #: (I,) its images
    images: Bools
    #: (N,) the conversations of its records
    conversations: Bools
    sha256: str


def read_eval_list(location: str, tables: Tables, images: Images) -> EvalList:
    """Read a list and look its names up.

    A name may be spelled as annotations spell it, or in another way that leads to the same image (``images.names``). A
    name without a store means the images of that name in all stores.

    Args:
        location: The file.
        tables: The records there are.
        images: The images there are.

    Raises:
        PlanError: The file cannot be read, or lists what is not there.
    """
    content = _read(location)
    wanted = pl.Series("name", _names(location, content), dtype=pl.String).unique(maintain_order=True)
    records = _find_records(wanted, tables)
    left = wanted.filter(~wanted.is_in(records["name"].implode()))
    found = _find_images(left, images)
    unknown = left.filter(~left.is_in(found["name"].implode()))
    if len(unknown):
        raise PlanError(
            f"split.list: {location} lists {len(unknown):,} that are no image and no record of this blend; "
            f"the first is {unknown[0]!r}",
            _HINT,
        )
    held_out = np.zeros(len(images), dtype=bool)
    held_out[found["image"].to_numpy()] = True
    conversations = np.zeros(tables.conversations.height, dtype=bool)
    of_records = tables.turns["record"].is_in(records["number"].implode())
    conversations[tables.turns["conversation"].filter(of_records).to_numpy()] = True
    return EvalList(held_out, conversations, hashlib.sha256(content).hexdigest())


def _read(location: str) -> bytes:
    try:
        with fsspec.open(location, "rb") as file:
            content: bytes = file.read()
    except (OSError, ValueError, ImportError) as error:
        raise PlanError(f"split.list: {location} cannot be read: {error}") from error
    return content


def _names(location: str, content: bytes) -> list[str]:
    try:
        text = content.decode("utf-8-sig")
        names = msgspec.json.decode(text, type=list[str]) if text.lstrip().startswith("[") else text.splitlines()
    except (UnicodeDecodeError, msgspec.MsgspecError) as error:
        raise PlanError(
            f"split.list: {location} is neither lines of text nor a JSON list of texts: {error}", _HINT
        ) from error
    names = [name.strip() for name in names if name.strip()]
    if not names:
        raise PlanError(f"split.list: {location} lists nothing", _HINT)
    return names


def _find_records(wanted: pl.Series, tables: Tables) -> pl.DataFrame:
    """Find records by name: name, number."""
    matches = [pl.DataFrame(schema={"name": pl.String, "number": pl.UInt32})]
    for file, (first, records) in zip(tables.files, tables.records(["id"]), strict=True):
        named = records.select(pl.format("{}/{}/{}", pl.lit(file.source), pl.lit(file.label), "id").alias("name"))
        own = named.with_row_index("number").filter(pl.col("name").is_in(wanted.implode()))
        matches.append(own.select("name", pl.col("number") + first))
    return pl.concat(matches)


def _find_images(wanted: pl.Series, images: Images) -> pl.DataFrame:
    """Find images by name: name as wanted, image; by exact names first, then by other spellings."""
    schema = {"name": pl.String, "image": pl.UInt32}
    matches, names = [pl.DataFrame(schema=schema)], list(_named(images)) if len(wanted) else []
    for store, own in names:
        for spelled in (own, own.with_columns(pl.format("{}/{}", pl.lit(store), "name").alias("name"))):
            matches += [spelled.filter(pl.col("name").is_in(wanted.implode()))]
    exact = pl.concat(matches)
    left = wanted.filter(~wanted.is_in(exact["name"].implode())).to_list()
    for store, own in names if left else ():
        numbers = dict(own.iter_rows())
        index = NameIndex({name: name for name in numbers})
        pairs = [(name, index.find(name.removeprefix(f"{store}/"))) for name in left]
        rows = [(name, numbers[known]) for name, known in pairs if known is not None]
        matches.append(pl.DataFrame(rows, schema=schema, orient="row"))
    return pl.concat(matches)


def _named(images: Images) -> Iterator[tuple[str, pl.DataFrame]]:
    """Yield the images of each store: name, image."""
    for store, file in zip(images.stores, images.name_files(), strict=True):
        names = [frame["name"] for frame in Rows([file]).slices(["name"])]
        numbers = pl.int_range(store.first, store.first + store.num_images, dtype=pl.UInt32, eager=True)
        yield store.name, pl.DataFrame({"name": pl.concat(names), "image": numbers})
