"""The last look at a blend before it is finished: no image of eval has the bytes of one of train.

Planning decides which images are the same by the files as they are then; writing reads every one of them, later.
"""

from collections.abc import Iterable

import polars as pl

from blender.blend.images import Images
from blender.core.errors import ShardError
from blender.data.images.identity import HASH_BYTES
from blender.shards.write import ShardNote


def refuse_leaks(notes: Iterable[ShardNote], images: Images) -> None:
    """Compare the images of train and eval, as they were written, by their content hashes.

    Args:
        notes: Of all shards.
        images: The plan's images.

    Raises:
        ShardError: Some stand in both.
    """
    written = pl.concat([_contents(note) for note in notes])
    train, held_out = (written.filter(pl.col("split") == split).unique("content") for split in ("train", "eval"))
    shared = held_out.join(train, on="content", suffix="_train").sort("image", "image_train")
    if not shared.height:
        return
    one, other = (
        "{1} of store {0}".format(*names)
        for names in images.rows().take([shared[column][0] for column in ("image", "image_train")], ["store", "name"])
    )
    raise ShardError(
        f"{shared.height:,} images of eval are in train, too: {one} has the bytes of {other}; images have changed "
        "since they were looked at, so what was written is thrown away",
        "run the same command again once the images are at rest",
    )


def _contents(note: ShardNote) -> pl.DataFrame:
    starts = range(0, len(note.contents), HASH_BYTES)
    hashes = [note.contents[start : start + HASH_BYTES] for start in starts]
    frame = pl.DataFrame({"image": note.images, "content": hashes}, schema={"image": pl.UInt32, "content": pl.Binary})
    return frame.with_columns(pl.lit(note.split).alias("split"))
