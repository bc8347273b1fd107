"""All that was read, as tables numbered through: the ground that every later station works on.

Row n of a table is number n; tables refer to each other by these numbers. ``images`` holds each image of each store
once, however many conversations show it.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path, PurePosixPath

import polars as pl

from blender.blend.columns import number_names
from blender.blend.reading import Movable, Part, PartRead, read_part
from blender.blend.texts import Texts
from blender.core.pool import map_unordered
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
class Corpus:
    """Records, conversations, turns, links between turns and images, and images."""

    #: source, file (label), index, id, reason and detail (set: the reader could not use it)
    records: pl.DataFrame
    #: source, ordered, first_turn, num_turns, num_images, characters, tokens, pinned, pinned_by
    conversations: pl.DataFrame
    #: conversation, record, shown (images of the conversation shown up to this turn), num_bytes, characters, tokens
    turns: pl.DataFrame
    #: conversation, turn (in the conversation, from 0), position (of the image in the conversation, from 1), image
    links: pl.DataFrame
    #: store, name
    images: pl.DataFrame
    files: tuple[SourceFile, ...]
    #: where the texts lie
    folder: Path

    def texts(self) -> Texts:
        """Open the texts of all turns."""
        return Texts(self.folder, len(self.files))


def read_corpus(
    recipe: Recipe, folder: Path, workers: int = 1, on_read: Callable[[PartRead], None] | None = None
) -> Corpus:
    """Read every source of a recipe that an entry uses, a file at a time in each process.

    Args:
        recipe: The recipe.
        folder: Where tables and texts are put; must exist, and outlive the corpus.
        workers: Number of processes.
        on_read: Called after each file.

    Raises:
        SourceError: A file cannot be read.
    """
    parts = _parts(recipe, folder)
    sizes = {part.number: _local_size(part.path) for part in parts}
    parts_by_size = sorted(parts, key=lambda part: -sizes[part.number])
    workers = 1 if sum(sizes.values()) < _SMALL else min(workers, len(parts))
    done = []
    for read in map_unordered(read_part, parts_by_size, workers):
        done.append(read)
        if on_read:
            on_read(read)
    return _join(recipe, folder, sorted(done, key=lambda read: read.part.number))


def _parts(recipe: Recipe, folder: Path) -> list[Part]:
    used = [name for name in recipe.sources if any(name in entry.sources for entry in recipe.blend)]
    files = [(name, path) for name in used for path in recipe.sources[name].resolved_files()]
    tokenizer = _tokenizer_file(recipe.limits.tokenizer) if recipe.limits.tokenizer else None
    return [
        Part(
            name,
            recipe.sources[name].format,
            path,
            folder,
            number,
            tokenizer,
            _movable(recipe, name),
            recipe.read_options(name),
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


def _join(recipe: Recipe, folder: Path, reads: list[PartRead]) -> Corpus:
    """Number the parts' tables through."""
    records, conversations, turns, links, names = [], [], [], [], []
    offset = {"records": 0, "conversations": 0, "turns": 0, "names": 0}
    labels = _labels([read.part for read in reads])
    for read, label in zip(reads, labels, strict=True):
        tables = {name: pl.scan_ipc(read.part.table(name), glob=False).collect() for name in (*offset, "links")}
        source, store = pl.lit(read.part.source), pl.lit(recipe.sources[read.part.source].images or "")
        shift = pl.col("conversation") + offset["conversations"]
        records.append(tables["records"].select(source.alias("source"), pl.lit(label).alias("file"), pl.all()))
        conversations.append(
            tables["conversations"].select(
                source.alias("source"), pl.all().exclude("first_turn"), pl.col("first_turn") + offset["turns"]
            )
        )
        turns.append(tables["turns"].with_columns(shift, pl.col("record") + offset["records"]))
        names.append(tables["names"].select(store.alias("store"), "name"))
        links.append(tables["links"].with_columns(shift, pl.col("name") + offset["names"]))
        offset = {name: start + tables[name].height for name, start in offset.items()}
    images, image_of = _number_images(names)
    joined = pl.concat(links)
    return Corpus(
        records=pl.concat(records),
        conversations=pl.concat(conversations),
        turns=pl.concat(turns),
        links=joined.select("conversation", "turn", "position", image_of.gather(joined["name"])),
        images=images,
        files=tuple(_describe(read, label) for read, label in zip(reads, labels, strict=True)),
        folder=folder,
    )


def _describe(read: PartRead, label: str) -> SourceFile:
    return SourceFile(read.part.source, read.part.path, label, read.sha256, read.num_bytes, read.num_records)


def _number_images(names: list[pl.DataFrame]) -> tuple[pl.DataFrame, pl.Series]:
    """Give each image of each store a number, store by store, in the order of first use.

    Args:
        names: store and name of each part's images, each once.

    Returns:
        The images, and the number of each row of ``names``.
    """
    images: list[pl.DataFrame] = []
    numbers: dict[int, pl.Series] = {}
    first = 0
    for store, parts in _by_store(names).items():
        distinct, number = number_names(pl.concat([names[part]["name"] for part in parts]))
        images.append(distinct.select(pl.lit(store).alias("store"), "name"))
        number, first = (number + first).alias("image"), first + distinct.height
        starts = accumulate((names[part].height for part in parts), initial=0)
        numbers |= {part: number.slice(start, names[part].height) for part, start in zip(parts, starts, strict=False)}
    return pl.concat(images), pl.concat([numbers[part] for part in range(len(names))])


def _by_store(names: list[pl.DataFrame]) -> dict[str, list[int]]:
    """Group the parts by the store that their images are in; parts without images go with any."""
    groups: dict[str, list[int]] = {}
    for number, part in enumerate(names):
        groups.setdefault(part["store"][0] if part.height else "", []).append(number)
    return groups


def _labels(parts: Iterable[Part]) -> list[str]:
    """Name each file by its last path component, or by more of them where that is not enough within its source."""
    labels: list[str] = []
    taken: set[tuple[str, str]] = set()
    for part in parts:
        pieces = PurePosixPath(part.path.replace("\\", "/")).parts
        candidates = ("/".join(pieces[-count:]) for count in range(1, len(pieces) + 1))
        label = next((name for name in candidates if (part.source, name) not in taken), f"{part.path}#{len(labels)}")
        taken.add((part.source, label))
        labels.append(label)
    return labels
