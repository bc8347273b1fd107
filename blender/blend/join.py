"""Join: the parts of all annotation files → one set of tables in numbers.

In: parts (:mod:`blender.blend.read`). Out: :class:`Tables`, whose conversations, turns and image references are
numbered through all parts in the order of the recipe, and the images, each of each store once, in the order of first
use. Only numbers are held; texts, names and ids stay in the parts.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt
import polars as pl

from blender.blend.disk import Rows, read_table
from blender.blend.hashing import number_by_hash
from blender.blend.read import Movable, Part, PartRead, read_part
from blender.blend.tables import (
    CONVERSATIONS,
    IMAGE_REFS,
    PART_CONVERSATIONS,
    PART_IMAGE_REFS,
    PART_NAME_ROWS,
    PART_NAMES,
    PART_RECORDS,
    PART_TEXTS,
    PART_TURNS,
    TURNS,
)
from blender.core.arrays import Ints, sums
from blender.core.errors import PlanError
from blender.core.executors import run_tasks
from blender.recipe import Recipe

#: below this many bytes of annotations a second process costs more than it saves
_SMALL = 16_000_000


@dataclass(frozen=True)
class SourceFile:
    """An annotation file that was read."""

    source: str
    path: str
    #: the shortest name that tells it from the source's other files
    label: str
    sha256: str
    num_bytes: int
    num_records: int


@dataclass(frozen=True)
class ImageNames:
    """The names of a store's images, in the order of first use: rows ``rows`` of some parts."""

    store: str
    #: (part, rows of its names that no earlier part has)
    parts: tuple[tuple[int, Ints], ...]

    @property
    def num_images(self) -> int:
        """Images of the store that conversations show."""
        return sum(len(rows) for _, rows in self.parts)


@dataclass(frozen=True)
class Tables:
    """All that was read, in numbers; tables as in :mod:`blender.blend.tables`."""

    #: names of the sources, sorted
    sources: tuple[str, ...]
    conversations: pl.DataFrame
    turns: pl.DataFrame
    image_refs: pl.DataFrame
    #: of each store, in the order of the images' numbers
    image_names: tuple[ImageNames, ...]
    files: tuple[SourceFile, ...]
    #: of the parts
    folder: Path

    @property
    def num_records(self) -> int:
        """Records of all files."""
        return sum(file.num_records for file in self.files)

    @property
    def num_images(self) -> int:
        """Images of all stores."""
        return sum(names.num_images for names in self.image_names)

    def texts(self) -> Rows:
        """Open the texts: row n is turn n."""
        return Rows([PART_TEXTS.path(self.folder, part) for part in range(len(self.files))])

    def owners(self) -> npt.NDArray[np.int32]:
        """Return the conversation of each image reference."""
        num_images = self.conversations["num_images"].to_numpy()
        return np.repeat(np.arange(len(num_images), dtype=np.int32), num_images)

    def records(self, columns: list[str]) -> Iterator[tuple[int, pl.DataFrame]]:
        """Yield columns of each part's records, with the number of the first."""
        first = 0
        for part, file in enumerate(self.files):
            yield first, read_table(self.folder, part, PART_RECORDS, columns)
            first += file.num_records


def read_sources(
    recipe: Recipe,
    folder: Path,
    workers: int = 1,
    on_read: Callable[[PartRead], None] | None = None,
    executor: str = "local",
) -> Tables:
    """Read every source of a recipe that an entry uses, a file at a time in each process.

    Args:
        recipe: The recipe.
        folder: Where the parts are put; must exist, and outlive the tables. Parts that are there are not read again.
        workers: Number of processes.
        on_read: Called after each file.
        executor: Who runs them (:data:`blender.core.executors.EXECUTORS`).

    Raises:
        SourceError: A file cannot be read.
    """
    parts = _parts(recipe, folder)
    sizes = {part.number: _local_size(part.path) for part in parts}
    largest_first = sorted(parts, key=lambda part: -sizes[part.number])
    workers = 1 if sum(sizes.values()) < _SMALL else min(workers, len(parts))
    done: dict[int, PartRead] = {}
    for number, read in run_tasks(_read_numbered, largest_first, workers, executor):
        done[number] = read
        if on_read:
            on_read(read)
    return _join(recipe, parts, [done[part.number] for part in parts])


def _read_numbered(part: Part) -> tuple[int, PartRead]:
    return part.number, read_part(part)


def _parts(recipe: Recipe, folder: Path) -> list[Part]:
    used = [name for name in recipe.sources if any(name in entry.sources for entry in recipe.blend)]
    files = [(name, path) for name in used for path in recipe.sources[name].resolved_files()]
    tokenizer = _tokenizer_file(recipe.limits.tokenizer) if recipe.limits.tokenizer else None
    return [
        Part(
            source=name,
            format=recipe.sources[name].format,
            path=path,
            folder=folder,
            number=number,
            tokenizer=tokenizer,
            movable=_movable(recipe, name),
            options=recipe.read_options(name),
        )
        for number, (name, path) in enumerate(files)
    ]


def _movable(recipe: Recipe, source: str) -> Movable:
    """Say which conversations of a source may come to stand behind other images.

    Those that are joined by chance, and those that lead up to others; and of those that are led up to the ones that
    show their images one after the other, since an image may be led up to before its time.
    """
    matches = [entry.image_match for entry in recipe.blend if entry.image_match]
    joined = any(source in entry.sources for entry in recipe.blend if entry.concatenate and entry.concatenate[1] > 1)
    if joined or any(source in match.with_ for match in matches):
        return "all"
    return "ordered" if any(source in match.base for match in matches) else "none"


def _tokenizer_file(location: str) -> str:
    path = Path(location)
    return str(path / "tokenizer.json" if path.is_dir() else path)


def _local_size(path: str) -> int:
    return Path(path).stat().st_size if Path(path).is_file() else 0


def _join(recipe: Recipe, parts: list[Part], reads: list[PartRead]) -> Tables:
    """Number the parts' tables through."""
    folder, sources = parts[0].folder, tuple(sorted({part.source for part in parts}))
    stores = [recipe.sources[part.source].images or "" for part in parts]
    image_names, image_of = _number_images(folder, stores)
    conversations, turns, refs = [], [], []
    num_conversations, num_records = 0, 0
    for part, read in zip(parts, reads, strict=True):
        own = read_table(folder, part.number, PART_CONVERSATIONS, ["ordered", "num_turns", "num_images", "pinned"])
        own_turns = read_table(folder, part.number, PART_TURNS, list(PART_TURNS.columns))
        conversations.append(_joined_conversations(own, own_turns, sources.index(part.source)))
        owner = np.arange(num_conversations, num_conversations + own.height, dtype=np.int32)
        owner = np.repeat(owner, own["num_turns"].to_numpy())
        turns.append(own_turns.with_columns(pl.col("record") + num_records, conversation=pl.Series(owner)))
        shown = read_table(folder, part.number, PART_IMAGE_REFS, ["turn"])
        rows = read_table(folder, part.number, PART_NAME_ROWS)["row"].to_numpy()
        refs.append(shown.with_columns(image=pl.Series(image_of[part.number][rows])))
        image_of[part.number] = np.empty(0, np.int32)
        num_conversations, num_records = num_conversations + own.height, num_records + read.num_records
    labels = _labels(reads)
    return Tables(
        sources=sources,
        conversations=CONVERSATIONS.check(pl.concat(conversations, rechunk=True)),
        turns=TURNS.check(pl.concat(turns, rechunk=True)),
        image_refs=IMAGE_REFS.check(pl.concat(refs, rechunk=True)),
        image_names=image_names,
        files=tuple(
            SourceFile(read.source, read.path, label, read.sha256, read.num_bytes, read.num_records)
            for read, label in zip(reads, labels, strict=True)
        ),
        folder=folder,
    )


def _joined_conversations(own: pl.DataFrame, turns: pl.DataFrame, source: int) -> pl.DataFrame:
    num_turns = own["num_turns"].to_numpy()
    lengths = {
        name: pl.Series(sums(turns[name].to_numpy(), num_turns).astype(np.int32))
        for name in ("characters", "tokens")
        if name in turns.columns
    }
    return own.select(
        pl.lit(source, pl.Int16).alias("source"),
        "ordered",
        pl.col("pinned").is_null().alias("renumberable"),
        pl.col("num_turns", "num_images").cast(pl.Int32),
        **lengths,
    )


def _number_images(folder: Path, stores: list[str]) -> tuple[tuple[ImageNames, ...], list[npt.NDArray[np.int32]]]:
    """Give each image of each store a number, store by store, in the order of first use.

    Args:
        folder: Of the parts.
        stores: The store of each part's images.

    Returns:
        The names of the images, and for each part the image of each row of its names.
    """
    image_names, image_of, first_image = [], [np.empty(0, np.int32)] * len(stores), 0
    for store, parts in _by_store(folder, stores).items():
        hashes = [read_table(folder, part, PART_NAMES, ["hash", "hash2"]) for part in parts]
        heights = [frame.height for frame in hashes]
        firsts: Ints
        if len(parts) == 1:
            # names of one part differ from each other
            numbers, firsts = np.arange(heights[0], dtype=np.uint32), np.arange(heights[0])
        else:
            numbers, firsts = number_by_hash(pl.concat(hashes))
        del hashes
        starts = list(accumulate(heights, initial=0))
        ends = np.searchsorted(firsts, starts)
        own = [(part, firsts[ends[place] : ends[place + 1]] - starts[place]) for place, part in enumerate(parts)]
        for place, part in enumerate(parts):
            image_of[part] = (numbers[starts[place] : starts[place + 1]].astype(np.int64) + first_image).astype(
                np.int32
            )
        image_names.append(ImageNames(store, tuple(own)))
        _refuse_collisions(folder, image_names[-1], [image_of[part] - first_image for part in parts])
        first_image += len(firsts)
    return tuple(image_names), image_of


def _by_store(folder: Path, stores: list[str]) -> dict[str, list[int]]:
    """Group the parts by the store that their images are in, but for parts without images."""
    groups: dict[str, list[int]] = {}
    for part, store in enumerate(stores):
        if len(Rows([PART_NAMES.path(folder, part)])):
            groups.setdefault(store, []).append(part)
    return groups


def _refuse_collisions(folder: Path, names: ImageNames, images: list[npt.NDArray[np.int32]]) -> None:
    """Make sure that names of several parts which have the same hash are the same."""
    rows = Rows([PART_NAMES.path(folder, part) for part, _ in names.parts])
    firsts: Ints = np.concatenate(
        [own + start for (_, own), start in zip(names.parts, accumulate(map(len, images), initial=0), strict=False)]
    )
    images_of_rows = np.concatenate(images)
    again = np.ones(len(images_of_rows), bool)
    again[firsts] = False
    for some in np.array_split(np.flatnonzero(again), max(1, int(again.sum()) >> 16)):
        if rows.take(some, ["name"]) != rows.take(firsts[images_of_rows[some]], ["name"]):
            raise PlanError(
                f"two image names of store {names.store} have the same hash of 128 bits",
                "rename an image that was added last",
            )


def _labels(reads: Iterable[PartRead]) -> list[str]:
    """Name each file by its last path component, or by more of them where that is not enough within its source."""
    labels: list[str] = []
    taken: set[tuple[str, str]] = set()
    for read in reads:
        pieces = PurePosixPath(read.path.replace("\\", "/")).parts
        candidates = ("/".join(pieces[-count:]) for count in range(1, len(pieces) + 1))
        label = next((name for name in candidates if (read.source, name) not in taken), f"{read.path}#{len(labels)}")
        taken.add((read.source, label))
        labels.append(label)
    return labels
