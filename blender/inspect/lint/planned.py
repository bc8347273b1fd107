"""The samples of a plan, made as a writer would make them, though no image is read and nothing is written."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import polars as pl

from blender.blend.plan import Plan
from blender.data.images import kept_store
from blender.data.sample import Sample
from blender.inspect.lint.tables import OriginFile, Readable, SampleChunk, sum_cut
from blender.shards.make import make_samples
from blender.shards.planned import PlannedBlend, write_pieces


@dataclass(frozen=True)
class PlannedChunk:
    """Rows ``first:stop`` of a plan's samples."""

    first: int
    stop: int
    piece: int
    planned: PlannedBlend

    def samples(self) -> Iterator[Sample]:
        """Make them."""
        tables = self.planned.open()
        return (sample for sample, _, _ in make_samples(tables, tables.samples(self.piece)))


@dataclass(frozen=True)
class StoredPicture:
    """An image in its store."""

    store: str
    location: str
    member: str

    def read(self) -> bytes:
        """Read it.

        Raises:
            StoreError: It cannot be read.
        """
        return kept_store(self.store, self.location).read(self.member)


@dataclass(frozen=True)
class PlannedSamples:
    """The samples of a plan."""

    plan: Plan

    @cached_property
    def pieces(self) -> tuple[PlannedBlend, int]:
        """The plan's tables on disk, for all processes; and how many samples a piece of them has."""
        return write_pieces(self.plan)

    @property
    def name(self) -> str:
        """Name of the recipe."""
        return self.plan.recipe.name

    @property
    def recipe(self) -> Mapping[str, Any]:
        """The recipe."""
        return self.plan.recipe.resolved()

    @property
    def files(self) -> Sequence[OriginFile]:
        """The annotation files that were read."""
        return [OriginFile(file.source, file.label, file.sha256) for file in self.plan.tables.files]

    @property
    def rows(self) -> pl.DataFrame:
        """Columns key, dataset, split."""
        return self.plan.samples.select(self.plan.keys(), pl.col("dataset", "split").cast(pl.String))

    @property
    def cut(self) -> pl.DataFrame:
        """Turns that long conversations lost to a limit, by source."""
        return sum_cut(self.plan.ledger())

    def chunks(self) -> list[SampleChunk]:
        """Cut the samples up, a thousand in a piece."""
        (planned, size), total = self.pieces, self.plan.samples.height
        return [
            PlannedChunk(first, min(first + size, total), piece, planned)
            for piece, first in enumerate(range(0, total, size))
        ]

    def read(self, row: int) -> Sample:
        """Make one sample."""
        return next(make_samples(self.pieces[0].open(), self.plan.samples[row : row + 1]))[0]

    def picture_bytes(self, images: pl.DataFrame) -> pl.Series:
        """Say the size of each image, where the plan looked at it."""
        table, numbers = self.plan.images.table, self._numbers(images)
        if "num_bytes" not in table.columns:
            return pl.repeat(None, len(numbers), dtype=pl.UInt64, eager=True).alias("num_bytes")
        return table["num_bytes"].gather(numbers)

    def pictures(self, images: pl.DataFrame) -> list[Readable]:
        """Say where the images lie in their stores."""
        rows = self.plan.images.rows().take(self._numbers(images).to_numpy(), ["store", "member"])
        return [StoredPicture(store, self.plan.recipe.images[store], member) for store, member in rows]

    def _numbers(self, images: pl.DataFrame) -> pl.Series:
        """Return the plan's numbers of images."""
        shown = self.plan.samples.select("images")[images["sample"]].with_columns(images["position"])
        return shown.select(pl.col("images").list.get(pl.col("position").cast(pl.Int64) - 1))["images"]
