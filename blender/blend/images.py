"""The images of a blend: numbers in memory, names on disk."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from blender.blend.disk import Rows
from blender.blend.tables import IMAGE_NAMES


@dataclass(frozen=True)
class StoreImages:
    """Which images are those of one store."""

    name: str
    #: path or URL; None where the recipe names no store
    location: str | None
    #: number of its first image
    first: int
    num_images: int
    #: whether each has in the store the very name that records use, as far as it is there
    has_plain_names: bool


@dataclass(frozen=True)
class Images:
    """Each image of each store once, store by store."""

    #: :data:`blender.blend.tables.IMAGES`; row n is image n
    table: pl.DataFrame
    stores: tuple[StoreImages, ...]
    #: of the names
    folder: Path
    #: why images cannot be used that are there, as sentences, by number
    faults: Mapping[int, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return self.table.height

    def name_files(self) -> list[Path]:
        """Return the files of :data:`blender.blend.tables.IMAGE_NAMES`, in order."""
        return [IMAGE_NAMES.path(self.folder, number) for number in range(len(self.stores))]

    def rows(self) -> Rows:
        """Open the names: row n is image n."""
        return Rows(self.name_files())

    def named(self) -> pl.DataFrame:
        """Return numbers and names together: for those who want all names in memory."""
        frames = list(self.rows().slices(["store", "name", "member"]))
        names = pl.concat(frames) if frames else IMAGE_NAMES.empty().drop("detail")
        return names.hstack(self.table)

    def details(self, images: list[int]) -> list[str | None]:
        """Say why images cannot be used."""
        absent = [detail for (detail,) in self.rows().take(images, ["detail"])]
        return [self.faults.get(image, detail) for image, detail in zip(images, absent, strict=True)]
