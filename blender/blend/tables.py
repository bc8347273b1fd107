"""Every table of a blend, each with one typed schema: what stations read and write, from annotation files to shards.

Tables of a part (one annotation file) are on disk, as Arrow files that are memory-mapped; their numbers count from the
start of that file. Tables of the blend are in memory and hold numbers alone: their numbers count through all parts, and
row n is number n. Texts, names and ids stay in the parts and are looked up by number.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from blender.blend.reasons import REASONS

#: why a conversation or an image is left out; null where it is not
Reason = pl.Enum(REASONS)
Split = pl.Enum(("train", "eval"))
SPLITS: tuple[str, ...] = tuple(Split.categories.to_list())


@dataclass(frozen=True)
class Schema:
    """The columns of a table and their types."""

    name: str
    columns: Mapping[str, pl.DataType | type[pl.DataType]]
    #: columns that a table may lack
    optional: frozenset[str] = frozenset()

    def check(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Return a table that has these columns and types, in any order; costs no look at its rows.

        Raises:
            TypeError: It has others.
        """
        wanted = {
            name: kind for name, kind in self.columns.items() if name in frame.columns or name not in self.optional
        }
        if dict(frame.schema) != wanted:
            faults = [
                f"{name}: {wanted.get(name, 'no such column')} expected, {frame.schema.get(name, 'missing')} given"
                for name in dict.fromkeys([*wanted, *frame.columns])
                if wanted.get(name) != frame.schema.get(name)
            ]
            raise TypeError(f"table {self.name}: {'; '.join(faults)}")
        return frame

    def frame(self, data: Mapping[str, object]) -> pl.DataFrame:
        """Make a table of columns; optional columns that are None are left out."""
        given = {name: data[name] for name in self.columns if data.get(name) is not None}
        return self.check(pl.DataFrame(given, schema={name: self.columns[name] for name in given}))

    def empty(self) -> pl.DataFrame:
        """Return a table without rows, and without its optional columns."""
        return pl.DataFrame(schema={name: kind for name, kind in self.columns.items() if name not in self.optional})

    def path(self, folder: Path, part: int) -> Path:
        """Return where this table of a part is."""
        return folder / f"{part:04d}.{self.name}.arrow"


_TOKENS = frozenset({"tokens"})

# --- read: one annotation file → a part ------------------------------------------------------------------------------

#: one row per record of the file, in the order in which conversations are made of them
PART_RECORDS = Schema(
    "records",
    {
        "index": pl.UInt32,
        "id": pl.String,
        # why the reader could not use it; null where it could
        "reason": pl.String,
        "detail": pl.String,
    },
)
PART_CONVERSATIONS = Schema(
    "conversations",
    {
        "ordered": pl.Boolean,
        "num_turns": pl.UInt16,
        "num_images": pl.UInt16,
        # why it is not renumberable, and the phrase that says so; null: it is, or nobody needs to know
        "pinned": pl.String,
        "pinned_by": pl.String,
    },
)
#: turns of one conversation follow each other, and conversations do
PART_TURNS = Schema(
    "turns",
    {
        "record": pl.UInt32,
        # images of the conversation shown up to this turn
        "shown": pl.UInt16,
        "num_bytes": pl.UInt32,
        "characters": pl.UInt32,
        "tokens": pl.UInt32,
    },
    _TOKENS,
)
#: row n belongs to turn n
PART_TEXTS = Schema("texts", {"question": pl.String, "answer": pl.String, "system": pl.String})
#: images of a conversation, in the order shown
PART_IMAGE_REFS = Schema(
    "image_refs",
    {
        # turn of the conversation, from 0
        "turn": pl.UInt16,
        "name": pl.String,
    },
)
#: row n belongs to image reference n: the row of its name in the names
PART_NAME_ROWS = Schema("name_rows", {"row": pl.UInt32})
#: each name once, in the order of first use, with a hash of 128 bits
PART_NAMES = Schema("names", {"name": pl.String, "hash": pl.UInt64, "hash2": pl.UInt64})

# --- all parts, in numbers -------------------------------------------------------------------------------------------

CONVERSATIONS = Schema(
    "conversations",
    {
        # index in the sorted names of sources
        "source": pl.Int16,
        # False: its turns may be asked in any order
        "ordered": pl.Boolean,
        # whether its references may be rewritten, so that it may stand behind other images
        "renumberable": pl.Boolean,
        "num_turns": pl.Int32,
        "num_images": pl.Int32,
        "characters": pl.Int32,
        "tokens": pl.Int32,
        # turns that it lost to a limit; the other figures are those of the turns that are left
        "turns_cut": pl.UInt16,
        # why it is in no sample; null: it may be
        "reason": Reason,
    },
    frozenset({"tokens", "turns_cut", "reason"}),
)
TURNS = Schema(
    "turns",
    {
        "conversation": pl.Int32,
        "record": pl.UInt32,
        "shown": pl.UInt16,
        "num_bytes": pl.UInt32,
        "characters": pl.UInt32,
        "tokens": pl.UInt32,
        # False: cut, to keep a limit
        "kept": pl.Boolean,
    },
    frozenset({"tokens", "kept"}),
)
#: images of conversation n follow those of conversation n - 1, each as often as it is shown
IMAGE_REFS = Schema("image_refs", {"turn": pl.UInt16, "image": pl.Int32})

# --- resolve: each image of each store once ---------------------------------------------------------------------------

#: on disk, one row per image
IMAGE_NAMES = Schema(
    "image_names",
    {
        "store": pl.String,
        "name": pl.String,
        # its name in the store; null where it is not there
        "member": pl.String,
        # why it is not there, as a sentence
        "detail": pl.String,
    },
)
#: in memory; optional columns only where images were opened
IMAGES = Schema(
    "images",
    {
        # why it cannot be used; null: it can
        "reason": Reason,
        "num_bytes": pl.UInt64,
        "width": pl.UInt32,
        "height": pl.UInt32,
        # a hash of some of its bytes
        "sketch": pl.UInt64,
        "extension": pl.Categorical,
        # the lowest number of an image that is the same
        "content": pl.UInt32,
    },
    frozenset({"num_bytes", "width", "height", "sketch", "extension", "content"}),
)

#: on disk, what writers need of each image
IMAGE_SIZES = Schema(
    "image_sizes", {"num_bytes": pl.UInt64, "width": pl.UInt32, "height": pl.UInt32, "extension": pl.String}
)

# --- kinds of blend: conversations → samples -------------------------------------------------------------------------

#: what each sample asks, in order
SAMPLE_TURNS = Schema(
    "sample_turns",
    {
        "sample": pl.UInt32,
        "turn": pl.UInt32,
        # images of the sample before the first one of the turn's conversation: its image k is the sample's offset + k
        "offset": pl.UInt16,
    },
)
#: the images of each sample, in the order shown
SAMPLE_IMAGES = Schema(
    "sample_images",
    {
        "sample": pl.UInt32,
        # the turn that shows it, from 0 in the sample
        "turn": pl.UInt16,
        "image": pl.UInt32,
    },
)
#: conversations that an entry could not use, though others may
LEFT_OUT = Schema("left_out", {"conversation": pl.UInt32, "reason": Reason})

# --- plan ------------------------------------------------------------------------------------------------------------


def planned(datasets: list[str]) -> Schema:
    """Return the schema of a plan's samples: train first, each split in the order in which it is written."""
    return Schema(
        "samples",
        {
            # from 0 in its split: its key
            "number": pl.UInt32,
            "split": Split,
            # from 0 in its split
            "shard": pl.UInt32,
            "dataset": pl.Enum(datasets),
            "turns": pl.List(pl.UInt32),
            # of each turn, as in sample_turns
            "offsets": pl.List(pl.UInt16),
            "images": pl.List(pl.UInt32),
            # of each image, as in sample_images
            "image_turns": pl.List(pl.UInt16),
            # in its shard, at most
            "num_bytes": pl.UInt64,
        },
    )


def sample_key(split: str, number: int) -> str:
    """Return a sample's key; keys sort in the order of a split's samples."""
    return f"{split}-{number:09d}"


# --- ledger ----------------------------------------------------------------------------------------------------------

#: on disk, one row per record, in the order of the parts
LEDGER = Schema(
    "ledger",
    {
        "source": pl.String,
        "file": pl.String,
        "index": pl.UInt32,
        "record": pl.String,
        "num_samples": pl.UInt32,
        "emitted": pl.List(pl.Struct({"dataset": pl.String, "split": pl.String, "samples": pl.UInt32})),
        "reason": pl.String,
        "detail": pl.String,
        "left_out": pl.List(pl.Struct({"dataset": pl.String, "reason": pl.String})),
        "turns_cut": pl.UInt32,
        "pinned": pl.String,
        "pinned_by": pl.String,
    },
)
