"""Samples → narrow tables, a thousand at a time in each process; texts are looked through here and let go."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from typing import Any, NamedTuple

import polars as pl

from blender.core.pool import map_unordered
from blender.data.sample import ImageRef, Sample
from blender.inspect.lint import answers, markers, references, texts, unshown
from blender.inspect.lint.record_images import entry_of, record_images
from blender.inspect.lint.tables import OriginFile, SampleChunk, Samples
from blender.inspect.tokens import SampleEncoder
from blender.recipe.stores import store_locations

#: an answer of fewer than five words may be repeated by chance
_TELLING = r"\S(?:\s+\S+){4}"

#: what is looked for in texts: name of the check → who says it of each turn, whose columns are those of ``_TURNS``
FLAGS: Mapping[str, Callable[[pl.DataFrame], pl.Series]] = {
    "answer_empty": answers.is_empty,
    "answer_one_word": answers.is_one_word,
    "image_number_missing": references.names_missing,
    "image_not_shown": unshown.speaks_of_unshown,
    "mojibake": texts.is_mojibake,
    "control_character": texts.has_control,
    "reference_not_understood": references.is_not_understood,
    "template_marker": markers.has_marker,
}

_TURNS = {
    "sample": pl.UInt32,
    "turn": pl.UInt16,
    "record": pl.String,
    "file": pl.UInt16,
    "shown": pl.UInt16,
    "num_images": pl.UInt16,
    "num_before": pl.UInt16,
    "num_own": pl.UInt16,
    "question": pl.String,
    "answer": pl.String,
    "system": pl.String,
}
_SHOWS = {
    "sample": pl.UInt32,
    "position": pl.UInt16,
    "image": pl.UInt64,
    "store": pl.String,
    "name": pl.String,
    "width": pl.UInt32,
    "height": pl.UInt32,
}
_LENGTHS = {
    "sample": pl.UInt32,
    "turns": pl.UInt16,
    "positions": pl.UInt32,
    "kept_turns": pl.UInt16,
    "fault": pl.String,
}


class TokenCounter(NamedTuple):
    """What lengths are counted with."""

    encoder: SampleEncoder
    max_tokens: int


@dataclass(frozen=True)
class Gathered:
    """What is kept of samples; the columns are those of ``LintTables``."""

    turns: pl.DataFrame
    shows: pl.DataFrame
    images: pl.DataFrame
    #: sample, turns, positions, kept_turns, fault
    lengths: pl.DataFrame


@dataclass(frozen=True)
class _GatherSettings:
    """What every process must know."""

    files: Sequence[OriginFile]
    #: the recipe, resolved
    recipe: Mapping[str, Any]
    tokens: TokenCounter | None

    @property
    def places(self) -> Mapping[str, str]:
        """Locations of the image stores."""
        return store_locations(self.recipe)


def gather(
    source: Samples, tokens: TokenCounter | None, workers: int, tell: Callable[[int, int], None] | None = None
) -> Gathered:
    """Look all samples through.

    Args:
        source: The samples.
        tokens: What to count lengths with; None: they are not counted.
        workers: Number of processes.
        tell: Called with (samples done, samples in all).

    Raises:
        ShardError: A sample cannot be read.
    """
    settings = _GatherSettings(source.files, source.recipe, tokens)
    chunks = source.chunks()
    found: list[Gathered] = [_table([], 0, settings)]
    done = 0
    for piece in map_unordered(partial(_look_through, settings=settings), chunks, workers if len(chunks) > 4 else 1):
        found.append(piece)
        done += piece.lengths.height
        if tell:
            tell(done, source.rows.height)
    return _joined(found)


def _joined(found: list[Gathered]) -> Gathered:
    # pieces come in any order
    images = pl.concat([piece.images for piece in found]).sort("sample", "position")
    return Gathered(
        turns=pl.concat([piece.turns for piece in found]).sort("sample", "turn"),
        shows=pl.concat([piece.shows for piece in found]).sort("sample", "position"),
        images=images.unique("image", keep="first", maintain_order=True),
        lengths=pl.concat([piece.lengths for piece in found]).sort("sample"),
    )


def _look_through(chunk: SampleChunk, settings: _GatherSettings) -> Gathered:
    return _table(list(chunk.samples()), chunk.first, settings)


def _table(samples: Sequence[Sample], first: int, settings: _GatherSettings) -> Gathered:
    shows = pl.DataFrame(
        [row for number, sample in enumerate(samples, first) for row in _showings(sample, number, settings.places)],
        schema=_SHOWS,
        orient="row",
    )
    return Gathered(
        turns=_with_flags(_turns(samples, first, settings)),
        shows=shows.select("sample", "position", "image"),
        images=shows.unique("image", keep="first", maintain_order=True),
        lengths=_lengths(samples, first, settings.tokens),
    )


def _showings(sample: Sample, number: int, places: Mapping[str, str]) -> list[tuple[object, ...]]:
    return [
        (number, position, _number(image, places), image.store, image.name, image.width, image.height)
        for position, image in enumerate(sample.images, 1)
    ]


def _number(image: ImageRef, places: Mapping[str, str]) -> int:
    """Number an image by where it is kept, so that two stores at one place hold the same images."""
    said = f"{places.get(image.store, image.store)}\n{image.name}".encode()
    return int.from_bytes(hashlib.blake2b(said, digest_size=8).digest(), "big")


def _turns(samples: Sequence[Sample], first: int, settings: _GatherSettings) -> pl.DataFrame:
    rows = []
    starts = [(f"{file.source}/{file.label}/", number) for number, file in enumerate(settings.files)]
    for number, sample in enumerate(samples, first):
        of_source = [_file_of(source, starts) for source in sample.sources]
        shown = accumulate(len(turn.images) for turn in sample.turns)
        own = record_images(sample, entry_of(settings.recipe, sample.dataset))
        rows += [
            (
                *(number, position, sample.sources[turn.source], of_source[turn.source], num_shown, len(sample.images)),
                *(of_turn.num_before, of_turn.num_own, turn.question, turn.answer, turn.system),
            )
            for position, (turn, num_shown, of_turn) in enumerate(zip(sample.turns, shown, own, strict=True))
        ]
    return pl.DataFrame(rows, schema=_TURNS, orient="row")


def _file_of(record: str, starts: Sequence[tuple[str, int]]) -> int | None:
    return next((number for start, number in starts if record.startswith(start)), None)


def _with_flags(turns: pl.DataFrame) -> pl.DataFrame:
    """Look texts through, and leave hashes in their place."""
    flags = [flag(turns).alias(name) for name, flag in FLAGS.items()]
    bare = turns.with_columns(_bare("question"), _bare("answer"), telling=pl.col("answer").str.contains(_TELLING))
    pairs = bare.with_columns(pair=pl.concat_str("question", pl.lit("\n"), "answer"))
    kept = pairs.select(
        "sample",
        "turn",
        "file",
        pl.col("pair").hash(),
        pl.col("answer").hash(),
        pl.concat_str("record", pl.lit("\n"), "pair").hash().alias("origin"),
        "telling",
    )
    return kept.with_columns(flags)


def _bare(column: str) -> pl.Expr:
    """Leave out what two spellings of one text may differ in: case and spaces."""
    bare = pl.col(column).str.to_lowercase()
    for space in (" ", "\n", "\t", "\r"):
        bare = bare.str.replace_all(space, "", literal=True)
    return bare


def _lengths(samples: Sequence[Sample], first: int, tokens: TokenCounter | None) -> pl.DataFrame:
    rows = [
        (number, len(sample.turns), *(_counted(sample, tokens) if tokens else (None, None, None)))
        for number, sample in enumerate(samples, first)
    ]
    return pl.DataFrame(rows, schema=_LENGTHS, orient="row")


def _counted(sample: Sample, tokens: TokenCounter) -> tuple[int | None, int | None, str | None]:
    """Count a sample's positions and the turns that fit; or say why it cannot be trained on."""
    from blender.encoding.encoded import UnusableTextError

    try:
        whole = tokens.encoder.encode(sample)
    except UnusableTextError as error:
        return None, None, error.detail
    kept = len(tokens.encoder.fit(sample, whole, tokens.max_tokens).turn_ends)
    if not whole.turn_ends:
        return len(whole), 0, "no span of the text is trained"
    if not kept:
        return len(whole), 0, f"the first turn takes {whole.turn_ends[0]:,} tokens, {tokens.max_tokens:,} allowed"
    return len(whole), kept, None
