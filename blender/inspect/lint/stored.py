"""The samples of a blend on disk, as lint and diff read them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from blender.data.sample import Sample
from blender.inspect.lint.tables import OriginFile, Readable, SampleChunk, sum_cut
from blender.shards.reader import Blend, ByteRange, read_texts

_CHUNK = 1_000


@dataclass(frozen=True)
class StoredChunk:
    """Some samples in a row."""

    first: int
    keys: list[str]
    texts: list[ByteRange]

    def samples(self) -> Iterator[Sample]:
        """Read them.

        Raises:
            ShardError: One cannot be read.
        """
        return read_texts(self.keys, self.texts)


@dataclass(frozen=True)
class StoredSamples:
    """The samples of a blend."""

    blend: Blend

    @property
    def name(self) -> str:
        """Name of the recipe."""
        return self.blend.manifest.name

    @property
    def recipe(self) -> Mapping[str, Any]:
        """The recipe that the blend was written from."""
        return self.blend.manifest.recipe

    @property
    def files(self) -> Sequence[OriginFile]:
        """The annotation files that the blend was made of."""
        return [OriginFile(file.source, file.file, file.sha256) for file in self.blend.manifest.files]

    @property
    def rows(self) -> pl.DataFrame:
        """Columns key, dataset, split."""
        return self.blend.rows.select("key", "dataset", "split")

    @property
    def cut(self) -> pl.DataFrame:
        """Turns that long conversations lost to a limit, by source; none where the blend is of an older program."""
        ledger = self.blend.ledger
        return sum_cut(ledger if "turns_cut" in ledger.columns else ledger.with_columns(turns_cut=pl.lit(0, pl.UInt32)))

    def chunks(self) -> list[SampleChunk]:
        """Cut the samples up, a thousand in a piece."""
        return [self._chunk(first) for first in range(0, len(self.blend), _CHUNK)]

    def _chunk(self, first: int) -> StoredChunk:
        keys = self.blend.rows["key"].slice(first, _CHUNK).to_list()
        return StoredChunk(first, keys, self.blend.text_ranges(first, _CHUNK))

    def read(self, row: int) -> Sample:
        """Read one sample.

        Raises:
            ShardError: It cannot be read.
        """
        return self.blend.read_text(row)

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
        return [ByteRange(self.blend.shard(f"{split}/{shard}"), offset, size) for split, shard, offset, size in rows]

    def _members(self, images: pl.DataFrame) -> pl.DataFrame:
        """Return split, shard, offset and size of images; member n of a sample, from 0, is its image n."""
        rows = self.blend.index.select("split", "shard", "members")[images["sample"]]
        member = rows.with_columns(images["position"]).select(
            "split", "shard", pl.col("members").list.get(pl.col("position"))
        )
        return member.unnest("members")
