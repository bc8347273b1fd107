"""The samples of a blend on disk, as lint and diff read them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import polars as pl

from blender.data.sample import Sample
from blender.inspect.lint.tables import AnnotationFile, Readable, SampleChunk, sum_cut
from blender.inspect.samples import Place, SampleTable, decode_sample, read_table
from blender.shards.read import Blend

_CHUNK = 1_000


@dataclass(frozen=True)
class StoredChunk:
    """Some samples in a row."""

    first: int
    keys: list[str]
    places: list[Place]

    def samples(self) -> Iterator[Sample]:
        """Read them.

        Raises:
            ShardError: One cannot be read.
        """
        for key, place in zip(self.keys, self.places, strict=True):
            yield decode_sample(place.read(), key, place.path)


@dataclass(frozen=True)
class StoredSamples:
    """The samples of a blend."""

    blend: Blend

    @cached_property
    def table(self) -> SampleTable:
        """The slim table of all samples."""
        return read_table(self.blend)

    @property
    def name(self) -> str:
        """Name of the recipe."""
        return self.blend.manifest.name

    @property
    def recipe(self) -> Mapping[str, Any]:
        """The recipe that the blend was written from."""
        return self.blend.manifest.recipe

    @property
    def files(self) -> Sequence[AnnotationFile]:
        """The annotation files that the blend was made of."""
        return [AnnotationFile(file.source, file.file, file.sha256) for file in self.blend.manifest.files]

    @property
    def rows(self) -> pl.DataFrame:
        """Columns key, dataset, split."""
        return self.table.rows.select("key", "dataset", "split")

    @property
    def cut(self) -> pl.DataFrame:
        """Turns that long conversations lost to a limit, by source; none where the blend is of an older program."""
        ledger = self.blend.ledger
        return sum_cut(ledger if "turns_cut" in ledger.columns else ledger.with_columns(turns_cut=pl.lit(0, pl.UInt32)))

    def chunks(self) -> list[SampleChunk]:
        """Cut the samples up, a thousand in a piece."""
        return [self._chunk(first) for first in range(0, len(self.table), _CHUNK)]

    def _chunk(self, first: int) -> StoredChunk:
        rows = self.table.rows.slice(first, _CHUNK).select("key", "split", "shard", "json_offset", "json_size")
        places = [
            Place(self.blend.shard(f"{split}/{shard}"), offset, size)
            for _, split, shard, offset, size in rows.iter_rows()
        ]
        return StoredChunk(first, rows["key"].to_list(), places)

    def read(self, row: int) -> Sample:
        """Read one sample.

        Raises:
            ShardError: It cannot be read.
        """
        return self.table.read(row)

    def image_sizes(self) -> pl.Series:
        """Say the bytes of each sample's images: a list per sample."""
        sizes = pl.col("members").list.eval(pl.element().struct.field("size")).list.slice(1)
        return self.blend.index.select(sizes.alias("sizes"))["sizes"]

    def picture_bytes(self, images: pl.DataFrame) -> pl.Series:
        """Say the size of each image in its shard."""
        return self._members(images)["size"]

    def pictures(self, images: pl.DataFrame) -> list[Readable]:
        """Say where the images lie in their shards."""
        rows = self._members(images).select("split", "shard", "offset", "size").iter_rows()
        return [Place(self.blend.shard(f"{split}/{shard}"), offset, size) for split, shard, offset, size in rows]

    def _members(self, images: pl.DataFrame) -> pl.DataFrame:
        """Return split, shard, offset and size of images; member n of a sample, from 0, is its image n."""
        rows = self.blend.index.select("split", "shard", "members")[images["sample"]]
        member = rows.with_columns(images["position"]).select(
            "split", "shard", pl.col("members").list.get(pl.col("position"))
        )
        return member.unnest("members")
