"""A plan on disk: the tables that shards are written from.

In: a plan. Out: its samples, cut into shards, and the sizes of images, beside the parts and names that planning left.
A writer anywhere (another process, another machine on a shared folder) opens them by their folder and needs nothing
else. They are memory-mapped, so that writers hold only what they look at.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import polars as pl
import pyarrow as pa

from blender.blend.disk import Rows, TableWriter
from blender.blend.tables import IMAGE_NAMES, IMAGE_SIZES, PART_RECORDS, PART_TEXTS, PART_TURNS
from blender.data.images import ImageStore, open_store
from blender.data.template import TEMPLATES, Template

if TYPE_CHECKING:
    # writers in other processes need not wait for all that planning imports
    from blender.blend.plan import Plan

#: samples of a piece that is no shard
_AT_A_TIME = 1_000


def shard_path(split: str, number: int) -> str:
    """Return a shard's path in the blend's folder."""
    return f"{split}/{split}-{number:06d}.tar"


@dataclass(frozen=True)
class ShardTask:
    """One shard to be written."""

    #: place of its samples among those of all shards
    piece: int
    split: str
    number: int
    num_samples: int

    @property
    def name(self) -> str:
        """Path in the blend's folder."""
        return shard_path(self.split, self.number)

    @property
    def stem(self) -> str:
        """File name without its ending."""
        return Path(self.name).stem


class PlannedImage(NamedTuple):
    """An image of a planned sample; sizes are None where nobody looked."""

    number: int
    store: str
    name: str
    member: str | None
    num_bytes: int | None
    width: int | None
    height: int | None
    extension: str | None


class PlannedTurn(NamedTuple):
    """A turn that a sample asks, as it was read."""

    #: number of its record
    record: int
    #: ``source/file/record``
    source: str
    question: str
    answer: str
    system: str
    #: images of the turn's conversation shown up to this turn
    shown: int


@dataclass(frozen=True)
class PlannedBlend:
    """Where a plan's tables are; hashable, so that each process opens them once."""

    #: of the parts and of the names of images
    parts: Path
    #: of the samples and of the sizes of images
    folder: Path
    fingerprint: str
    template: str
    #: (source, label) of each part
    files: tuple[tuple[str, str], ...]
    num_stores: int
    #: (store, location); none where no image is wanted
    stores: tuple[tuple[str, str], ...] = ()

    def open(self) -> "PlannedTables":
        """Open the tables; once per process."""
        return _open(self)


@cache
def _open(planned: PlannedBlend) -> "PlannedTables":
    return PlannedTables(planned)


class PlannedTables:
    """A plan's tables, opened.

    Args:
        planned: Where they are.
    """

    def __init__(self, planned: PlannedBlend) -> None:
        self.template: Template = TEMPLATES[planned.template]
        self.stores: dict[str, ImageStore] = {name: open_store(name, place) for name, place in planned.stores}
        self._files, parts = planned.files, range(len(planned.files))
        self._texts, self._turns, self._records = (
            Rows([schema.path(planned.parts, part) for part in parts])
            for schema in (PART_TEXTS, PART_TURNS, PART_RECORDS)
        )
        self._names = Rows([IMAGE_NAMES.path(planned.parts, number) for number in range(planned.num_stores)])
        self._sizes = Rows([IMAGE_SIZES.path(planned.folder, 0)])
        self._samples = pa.ipc.open_file(pa.memory_map(str(_samples(planned.folder))))

    def samples(self, piece: int) -> pl.DataFrame:
        """Return the samples of a shard, or of another piece that was written as one."""
        return pl.DataFrame(self._samples.get_batch(piece))

    def images(self, numbers: Sequence[int]) -> list[PlannedImage]:
        """Look images up."""
        names = self._names.take(numbers, ["store", "name", "member"])
        sizes = self._sizes.take(numbers, list(IMAGE_SIZES.columns))
        return [PlannedImage(number, *name, *size) for number, name, size in zip(numbers, names, sizes, strict=True)]

    def turns(self, numbers: Sequence[int]) -> list[PlannedTurn]:
        """Look turns up."""
        part = self._turns.file_of(numbers)
        rows = self._turns.take(numbers, ["record", "shown"])
        first = self._records.file_starts[part].tolist()
        records = [start + record for start, (record, _) in zip(first, rows, strict=True)]
        ids = self._records.take(records, ["id"])
        texts = self._texts.take(numbers, ["question", "answer", "system"])
        names = [f"{source}/{label}/" for source, label in self._files]
        return [
            PlannedTurn(record, names[file] + name, question, answer, system, shown)
            for file, record, (name,), (question, answer, system), (_, shown) in zip(
                part.tolist(), records, ids, texts, rows, strict=True
            )
        ]


def write_planned(plan: "Plan", folder: Path, *, with_images: bool = True) -> tuple[PlannedBlend, list[ShardTask]]:
    """Write the tables that shards are written from.

    Args:
        plan: The plan.
        folder: Where to.
        with_images: False for those who make samples and want no pictures: stores may be absent then.

    Returns:
        Where they are, and the shards.
    """
    tasks = _tasks(plan.samples)
    _write_samples(plan.samples, folder, [task.num_samples for task in tasks])
    return _planned(plan, folder, with_images), tasks


def write_pieces(plan: "Plan") -> tuple[PlannedBlend, int]:
    """Write a plan's tables beside its parts, for those who make samples and write no shard; no store is opened.

    Returns:
        Where they are, and how many samples each piece has; the last one may have fewer.
    """
    folder, num_samples = plan.tables.folder, plan.samples.height
    sizes = [min(_AT_A_TIME, num_samples - start) for start in range(0, num_samples, _AT_A_TIME)]
    _write_samples(plan.samples, folder, sizes)
    return _planned(plan, folder, with_images=False), _AT_A_TIME


def _planned(plan: "Plan", folder: Path, with_images: bool) -> PlannedBlend:
    missing = pl.repeat(None, len(plan.images), dtype=pl.Null, eager=True)
    table = plan.images.table
    columns = {name: table[name] if name in table.columns else missing for name in IMAGE_SIZES.columns}
    with TableWriter(folder, 0, [IMAGE_SIZES]) as writer:
        writer.add(IMAGE_SIZES, pl.DataFrame(columns, schema=dict(IMAGE_SIZES.columns), strict=False))
    return PlannedBlend(
        parts=plan.tables.folder,
        folder=folder,
        fingerprint=plan.fingerprint,
        template=plan.recipe.template,
        files=tuple((file.source, file.label) for file in plan.tables.files),
        num_stores=len(plan.images.stores),
        stores=tuple(sorted(plan.recipe.images.items())) if with_images else (),
    )


def _samples(folder: Path) -> Path:
    return folder / "samples.arrow"


def _write_samples(samples: pl.DataFrame, folder: Path, sizes: Sequence[int]) -> None:
    """Write samples, so many in each piece."""
    path, start = _samples(folder), 0
    # never into a file that somebody has mapped
    aside = path.with_suffix(".aside")
    frame = samples.drop("num_bytes").with_columns(pl.col("split", "dataset").cast(pl.String))
    table = frame.to_arrow(compat_level=pl.CompatLevel.oldest())
    with pa.OSFile(str(aside), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        for size in sizes:
            writer.write_table(table.slice(start, size).combine_chunks())
            start += size
    aside.replace(path)


def _tasks(samples: pl.DataFrame) -> list[ShardTask]:
    shards = samples.group_by("split", "shard", maintain_order=True).agg(pl.len())
    return [ShardTask(piece, *row) for piece, row in enumerate(shards.iter_rows())]
