"""A file that lists what is held out for evaluation: images or records, one a line, or as a JSON list of texts."""

import hashlib
from dataclasses import dataclass

import fsspec
import msgspec
import numpy as np
import polars as pl

from blender.blend.corpus import Corpus
from blender.blend.pool import Bools
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


def read_eval_list(location: str, corpus: Corpus) -> EvalList:
    """Read a list and look its names up.

    A name may be spelled as annotations spell it, or in another way that leads to the same image (``images.names``). A
    name without a store means the images of that name in all stores.

    Args:
        location: The file.
        corpus: The images and records there are.

    Raises:
        PlanError: The file cannot be read, or lists what is not there.
    """
    content = _read(location)
    wanted = pl.Series("name", _names(location, content), dtype=pl.String).unique(maintain_order=True)
    records = _find(wanted, pl.DataFrame({"name": _record_names(corpus)}))
    left = wanted.filter(~wanted.is_in(records["name"].implode()))
    images = _find_images(left, corpus.images.with_row_index("image"))
    unknown = left.filter(~left.is_in(images["name"].implode()))
    if len(unknown):
        raise PlanError(
            f"split.list: {location} lists {len(unknown):,} that are no image and no record of this blend; "
            f"the first is {unknown[0]!r}",
            _HINT,
        )
    held_out = np.zeros(corpus.images.height, dtype=bool)
    held_out[images["image"].to_numpy()] = True
    conversations = np.zeros(corpus.conversations.height, dtype=bool)
    of_records = corpus.turns["record"].is_in(records["number"].implode())
    conversations[corpus.turns["conversation"].filter(of_records).to_numpy()] = True
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


def _record_names(corpus: Corpus) -> pl.Series:
    return corpus.records.select(pl.format("{}/{}/{}", "source", "file", "id").alias("name"))["name"]


def _find(wanted: pl.Series, known: pl.DataFrame) -> pl.DataFrame:
    """Return the rows of ``known`` with a wanted name: name, number."""
    return known.with_row_index("number").filter(pl.col("name").is_in(wanted.implode()))


def _find_images(wanted: pl.Series, images: pl.DataFrame) -> pl.DataFrame:
    """Find images by name: name as wanted, image; by exact names first, then by other spellings."""
    spelled = pl.concat(
        [images.select("name", "image"), images.select(pl.format("{}/{}", "store", "name").alias("name"), "image")]
    )
    exact = spelled.filter(pl.col("name").is_in(wanted.implode()))
    left = wanted.filter(~wanted.is_in(exact["name"].implode())).to_list()
    found = [exact]
    for (store,), group in images.group_by("store", maintain_order=True) if left else ():
        numbers = dict(group.select("name", "image").iter_rows())
        index = NameIndex({name: name for name in numbers})
        pairs = [(name, index.find(name.removeprefix(f"{store}/"))) for name in left]
        rows = [(name, numbers[known]) for name, known in pairs if known is not None]
        found.append(pl.DataFrame(rows, schema=exact.schema, orient="row"))
    return pl.concat(found)
