"""Texts whose references to images are not true, or not proved to be.

What is a reference is for :mod:`blender.data.references` to say. A phrase that means nothing for the images shown, and
something if there were more of them, names an image that is not there ("image 3", "the third picture", "both photos").
And a text behind other records' images must say nothing that could mean one of those: it is judged as it was when the
blend was planned.
"""

import re
from collections.abc import Iterator
from functools import cache

import polars as pl

from blender.data.references import PREFILTER, UnclearReference, find_unclear_reference, must_be_read, named_references
from blender.data.sample import Sample
from blender.inspect.lint.check import Check
from blender.inspect.lint.excerpts import excerpt
from blender.inspect.lint.record_images import entry_of, record_images
from blender.inspect.lint.tables import LintTables, flag_rows, hits_in
from blender.inspect.lint.texts import SYSTEM, texts_and_images, texts_of

#: numbers above this are taken for years and sizes
_MOST = 99
_NOUN = "(?:image|picture|photograph|photo|pic|snapshot)"
_WORDS = (
    ("a", "one", "first"),
    ("b", "two", "second", "both", "either", "neither"),
    ("c", "three", "third"),
    ("d", "four", "fourth"),
    ("e", "five", "fifth"),
    ("f", "six", "sixth"),
    ("g", "seven", "seventh"),
    ("h", "eight", "eighth"),
    ("nine", "ninth"),
    ("ten", "tenth"),
)


def names_missing(turns: pl.DataFrame) -> pl.Series:
    """Say of each turn whether one of its texts names an image that has not been shown by then.

    A system text may name any image of its sample.
    """
    found: set[int] = set()
    for column, num_images in (("question", "shown"), ("answer", "shown"), ("system", "num_images")):
        if column in turns.columns:
            found.update(_missing_in(turns.select(text=column, num_images=num_images)))
    return flag_rows(turns, found)


def _missing_in(table: pl.DataFrame) -> Iterator[int]:
    for (num_images,), group in table.with_row_index("row").group_by("num_images"):
        near = pl.col("text").str.contains(_near(int(str(num_images)))) & pl.col("text").str.contains(PREFILTER)
        for row, text, number in group.filter(near).iter_rows():
            if find_missing(text, number):
                yield row


def find_missing(text: str, num_shown: int) -> str | None:
    """Find the first phrase that names an image beyond those shown.

    Args:
        text: A text of a turn.
        num_shown: How many images the text may name: those shown up to its turn.
    """
    for reference in named_references(text, num_shown, num_shown > 1):
        phrase = text[reference.start : reference.end]
        if not reference.parts and _number(num_shown).search(phrase) and _would_resolve(phrase, num_shown):
            return phrase
    return None


def _would_resolve(phrase: str, num_shown: int) -> bool:
    return any(
        all(reference.parts for reference in named_references(phrase, number, number > 1))
        for number in range(num_shown + 1, _MOST + 1)
    )


@cache
def _numbers(num_shown: int) -> str:
    """Make a pattern of the words and digits that stand for a number above ``num_shown``."""
    words = "|".join(word for group in _WORDS[num_shown:] for word in group)
    digits = f"[{min(num_shown + 1, 9)}-9]|[1-9][0-9]"
    return f"(?:{digits}|\\b(?:{words})\\b)" if words else f"(?:{digits})"


@cache
def _number(num_shown: int) -> re.Pattern[str]:
    return re.compile(_numbers(num_shown), re.IGNORECASE | re.ASCII)


@cache
def _near(num_shown: int) -> str:
    """Match every text in which a number above ``num_shown`` stands near a noun for images, and few others."""
    number = _numbers(num_shown)
    return f"(?i){_NOUN}[^.?!\n]{{0,60}}?{number}|{number}[^.?!\n]{{0,60}}?{_NOUN}"


def is_not_understood(turns: pl.DataFrame) -> pl.Series:
    """Say of each turn whether it stands behind other records' images and is not proved harmless there."""
    texts = [name for name in ("question", "answer", "system") if name in turns.columns]
    doubtful = pl.any_horizontal(must_be_read(pl.col(name)) for name in texts)
    table = turns.with_row_index("row").filter(pl.col("num_before") > 0, (pl.col("num_own") > 1) | doubtful)
    columns = table.select("row", "num_before", "num_own", "shown", *texts)
    found = [
        row
        for row, num_before, num_own, num_shown, *own in columns.iter_rows()
        if any(find_untrue(text, num_before, num_own, num_shown) for text in own)
    ]
    return flag_rows(turns, found)


def find_untrue(text: str, num_before: int, num_own: int, num_shown: int) -> UnclearReference | None:
    """Find what in a text may mean an image of another record.

    Args:
        text: A text of a turn, as it was written.
        num_before: How many images the sample shows before the first one of the text's record.
        num_own: How many images its record shows in all.
        num_shown: How many images the sample has shown up to this turn.
    """
    for reference in named_references(text, num_shown, num_own > 1):
        if any(number <= num_before for number in reference.named):
            return UnclearReference("number", text[reference.start : reference.end])
    return find_unclear_reference(text, num_shown, num_own > 1)


def _find_missing(material: LintTables) -> pl.DataFrame:
    return hits_in(material, material.turns.filter("image_number_missing").select("sample", "turn"))


def _find_untrue(material: LintTables) -> pl.DataFrame:
    return hits_in(material, material.turns.filter("reference_not_understood").select("sample", "turn"))


def _describe_missing(sample: Sample, turn: int) -> str:
    for name, text, num_images in texts_and_images(sample, turn):
        if phrase := find_missing(text, num_images):
            shown = f"{num_images} image{'s are' if num_images != 1 else ' is'} shown"
            by_then = "" if name == SYSTEM else " by then"
            return f"‘{phrase}’, and {shown}{by_then}, in the {name} {excerpt(text, text.index(phrase))}"
    return ""


def _describe_untrue(material: LintTables, sample: Sample, turn: int) -> str:
    own = record_images(sample, entry_of(material.source.recipe, sample.dataset))[turn]
    num_shown = sum(len(earlier.images) for earlier in sample.turns[: turn + 1])
    for name, text in texts_of(sample.turns[turn]):
        if pin := find_untrue(text, own.num_before, own.num_own, num_shown):
            behind = f"{own.num_before} image{'s' if own.num_before != 1 else ''}"
            at = text.index(pin.phrase)
            return f"‘{pin.phrase}’ ({pin.reason}) behind {behind} of other records, in the {name} {excerpt(text, at)}"
    return ""


CHECKS = (
    Check(
        "image_number_missing",
        "error",
        "turns name an image that the sample has not shown",
        "A model trained on this answers about pictures that it does not see. Look at the records: images were lost, "
        "or their order is another one. Leave them out, or put the images right.",
        _find_missing,
        _describe_missing,
    ),
    Check(
        "reference_not_understood",
        "warning",
        "turns behind other records' images may mean one of those",
        "`blend` puts no such text there; an earlier version of the program wrote the blend, or another one. Write "
        "it again.",
        _find_untrue,
        describe_in=_describe_untrue,
    ),
)
