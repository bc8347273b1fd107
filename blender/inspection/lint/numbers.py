"""Texts that name an image which the sample has not shown: "image 3", "the third picture", "both photos".

What is a reference is for :mod:`blender.references` to say. A phrase that means nothing for the images shown, and
something if there were more of them, names an image that is not there.
"""

import re
from functools import cache

import polars as pl

from blender.inspection.lint.check import Check
from blender.inspection.lint.excerpts import excerpt
from blender.inspection.lint.material import Material, hits_in
from blender.references import COARSE, unresolvable
from blender.shards.sample import Sample

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
    """Say of each turn whether one of its texts names an image that has not been shown by then."""
    table = turns.select("question", "answer", "shown").with_row_index("row")
    found: list[int] = []
    for (shown,), group in table.group_by("shown"):
        coarse = pl.any_horizontal(
            pl.col(name).str.contains(_sieve(int(str(shown)))) & pl.col(name).str.contains(COARSE)
            for name in ("question", "answer")
        )
        for row, question, answer, num_shown in group.filter(coarse).iter_rows():
            if find_missing(question, num_shown) or find_missing(answer, num_shown):
                found.append(row)
    return pl.Series(range(turns.height), dtype=pl.UInt32).is_in(pl.Series(found, dtype=pl.UInt32).implode())


def find_missing(text: str, num_shown: int) -> str | None:
    """Find the first phrase that names an image beyond those shown.

    Args:
        text: A question or an answer.
        num_shown: How many images the sample has shown up to this turn.
    """
    rest = text
    while phrase := unresolvable(rest, num_shown):
        if _number(num_shown).search(phrase) and _would_resolve(phrase, num_shown):
            return phrase
        rest = rest[rest.index(phrase) + len(phrase) :]
    return None


def _would_resolve(phrase: str, num_shown: int) -> bool:
    return any(unresolvable(phrase, number) is None for number in range(num_shown + 1, _MOST + 1))


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
def _sieve(num_shown: int) -> str:
    """Match every text in which a number above ``num_shown`` stands near a noun for images, and few others."""
    number = _numbers(num_shown)
    return f"(?i){_NOUN}[^.?!\n]{{0,60}}?{number}|{number}[^.?!\n]{{0,60}}?{_NOUN}"


def _find(material: Material) -> pl.DataFrame:
    return hits_in(material, material.turns.filter("image_number_missing").select("sample", "turn"))


def _describe(sample: Sample, turn: int) -> str:
    asked = sample.turns[turn]
    num_shown = sum(len(earlier.images) for earlier in sample.turns[: turn + 1])
    for name, text in (("question", asked.question), ("answer", asked.answer)):
        if phrase := find_missing(text, num_shown):
            shown = f"{num_shown} image{'s are' if num_shown != 1 else ' is'} shown"
            return f"‘{phrase}’, and {shown} by then, in the {name} {excerpt(text, text.index(phrase))}"
    return ""


CHECKS = (
    Check(
        "image_number_missing",
        "error",
        "turns name an image that the sample has not shown",
        "A model trained on this answers about pictures that it does not see. Look at the records: images were lost, "
        "or their order is another one. Leave them out, or put the images right.",
        _find,
        _describe,
    ),
)
