"""Nouns that may mean other images than those shown: pictures on a wall, a photo album, "the first photo he took"."""

from blender.data.references.noun import Noun
from blender.data.references.words import GAP, compiled

_PART_OF_SCENE = (
    rf"{GAP}(?:(?:of|ever|hanging|hung|framed|mounted|pinned|taped|painted|printed)\b"
    rf"|(?:(?:hangs?|hung|(?:is|are){GAP}(?:hanging|hung|framed|mounted)|shown|seen|displayed|placed|posted|arranged|located|sitting|standing){GAP})?"
    rf"(?:on|above|inside|along|over|behind|against){GAP}\w)"
)
_OTHER_THING = compiled(
    rf"{_PART_OF_SCENE}|{GAP}(?:pair|set|file|frame|album|shoot|session|booth|book|collage|contest|caption|description"
    r"|size|number)s?\b"
)
_MANY_ELSEWHERE = compiled(rf"{_PART_OF_SCENE}|['’](?!\w)")
_SUPERLATIVE = compiled(
    rf"{GAP}(?:that|which){GAP}(?:comes?|came|springs?|sprang|pops?|popped)\b"
    rf"|{GAP}(?:(?:that|which){GAP})?(?:i|you|we|they|he|she|people|anyone){GAP}(?:(?:had|have|has){GAP})?ever\b"
    rf"|{GAP}(?:to{GAP})?(?:come|spring|pop){GAP}to{GAP}mind\b"
)


def means_other_images(noun: Noun) -> bool:
    """Whether the noun's images may be others than those shown: pictures on a wall, a photo album."""
    return bool((_MANY_ELSEWHERE if noun.plural else _OTHER_THING).match(noun.text, noun.end))


def is_superlative(noun: Noun) -> bool:
    """Whether an ordinal before the noun means the first of all there ever were: "the first photo he ever took"."""
    return _SUPERLATIVE.match(noun.text, noun.end) is not None
