"""Phrases that refer to some image without saying which: "another image", "the left image", "the darker photo"."""

import re

from blender.data.references.context import STOP
from blender.data.references.noun import Noun
from blender.data.references.reference import Reference
from blender.data.references.words import (
    AROUND,
    CONNECTIVES,
    COUNT,
    GAP,
    GIVEN,
    ORDINAL,
    PORTION,
    SIDE,
    VERBS,
    compiled,
)

_VAGUE = compiled(
    rf"\b(?:(?:an)?other|one|no|any|some|most|several|few|multiple|various|numerous|alternat(?:e|ing)|what|whose|how{GAP}many|{SIDE})(?:{GAP}{GIVEN})?{GAP}\Z"
)
_OPEN_WORD = rf"(?:{GAP}(?!(?:{VERBS}|{CONNECTIVES}|the|this|these|those|an?|its|his|her|their)\b)[\w'’-]+)"
_DESCRIBED_ONE = compiled(
    rf"(?<![\w-])(?:{ORDINAL}{_OPEN_WORD}{{1,2}}|(?:each|every|either|neither|which|other){_OPEN_WORD}){GAP}\Z"
)
_DESCRIBED_MANY = compiled(
    rf"(?<![\w-])(?:(?:your|our|my)|(?:{ORDINAL}|the|these|those|both|all|either|neither|which|other|{COUNT})"
    rf"{_OPEN_WORD}{{1,2}}){GAP}\Z"
)
#: "An image shows two dogs" holds of one more image, too
_ANY_ONE = compiled(rf"(?<![\w-])an?{GAP}\Z")
_STATES = compiled(rf"{GAP}(?:{VERBS}|with|in{GAP}which|where)\b")
_TO_THE_SIDE = compiled(rf"{GAP}(?:on|to|at|in){GAP}the{GAP}(?:far{GAP}|very{GAP})?{SIDE}(?![\w-])")
#: "the image I sent earlier", "the picture from my last message", "the image in second place", "the image pair"
_FURTHER = compiled(
    rf"(?:{GAP}[\w'’]+){{0,4}}?{GAP}(?:before|earlier|previously|beforehand|afterwards|after)(?:{STOP}|(?={GAP}(?:this|that|it)\b))"
    rf"|{GAP}(?:from|in|of|with){GAP}(?:the|my|your|our){GAP}(?:{AROUND}|{ORDINAL}){GAP}(?:turn|message|question|round|answer|prompt)\b"
    rf"|{GAP}(?:in|at){GAP}(?:the{GAP})?{ORDINAL}{GAP}(?:place|position)\b"
    rf"|{GAP}(?:{PORTION}|sequence|collection|grid|collage)s?\b"
)
#: "the darker image"; these words choose none: "the whole image"
_CHOSEN = compiled(
    rf"(?<![\w-])the(?!{GAP}(?:same|whole|entire|full|overall|actual|current|present|latter|former|very|{GIVEN})\b)"
    rf"{_OPEN_WORD}{{1,2}}{GAP}\Z"
)
_BARE = compiled(
    r"(?:\A|[^\w\s]|\n|\b(?:compare|comparing|contrast|describe|analy[sz]e|analy[sz]ing|use|using|see|show|shows|combine|link"
    r"|connect|examine|view|consider|given|relate|match|rank|order|sort|merge|do|does|did|are|were|have|had|read|list"
    rf"|{CONNECTIVES}))\s{{0,3}}\Z"
)


def vague(noun: Noun) -> Reference | None:
    """Read a phrase that refers to some image of several, or perhaps to all of them."""
    if not noun.several:
        return None
    aside = _TO_THE_SIDE.match(noun.text, noun.end)
    found = _VAGUE.search(noun.before) or _described(noun)
    if found is None and _STATES.match(noun.text, noun.end):
        found = _ANY_ONE.search(noun.before)
    aside = aside or _FURTHER.match(noun.text, noun.end)
    if found or aside:
        return noun.unclear("some_image", found, aside and aside.end())
    return noun.unclear("all_images") if noun.plural and _BARE.search(noun.before) and not _is_of(noun) else None


def _described(noun: Noun) -> re.Match[str] | None:
    if noun.plural:
        return _DESCRIBED_MANY.search(noun.before)
    return _DESCRIBED_ONE.search(noun.before) or _CHOSEN.search(noun.before)


_OF = compiled(rf"{GAP}(?:of|like|such){GAP}")


def _is_of(noun: Noun) -> bool:
    """Whether images of something are meant, not those shown: "images of dogs"."""
    return _OF.match(noun.text, noun.end) is not None
