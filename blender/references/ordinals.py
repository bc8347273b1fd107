"""References by words before the noun: "the previous image", "the first two images", "both images"."""

from itertools import pairwise

from blender.references.noun import Noun
from blender.references.numbers import chained
from blender.references.reference import Reference
from blender.references.words import (
    AROUND,
    BLANK,
    CONNECTIVES,
    COUNT,
    GAP,
    GIVEN,
    LAST,
    ORDINAL,
    SIDE,
    VERBS,
    compiled,
    worth,
)

_ORDERED = compiled(
    rf"(?<![\w-])(?:(?P<determiner>the|an?|this|that|your|our){GAP})?(?:very{GAP})?"
    rf"(?P<ordinals>{ORDINAL}(?:(?:,|,?{GAP}(?:and|or|to|through)|{BLANK}?&){GAP}(?:the{GAP})?{ORDINAL})*)"
    rf"(?:{GAP}(?P<count>{COUNT}|few|couple(?:{GAP}of)?))?(?:{GAP}{GIVEN})?{GAP}\Z"
)
_ORDINAL_ITEM = compiled(rf"(?:(?<!\w)the{GAP})?(?P<word>{ORDINAL})(?!\w)")
_AT = compiled(rf"\bat{GAP}\Z")
_OWNED = compiled(rf"(?:\b(?:his|her|their|its|my|whose)|['’]s?){GAP}\Z")
_COLLECTIVE = compiled(
    rf"(?<![\w-])(?=\S)(?:(?P<quantity>both|all|each|every|either|neither|which|any|between|across|among)"
    rf"(?P<of>{GAP}of)?{GAP})?(?P<definite>(?:(?P<determiner>the|these|those){GAP})?"
    rf"(?:(?P<count>{COUNT}){GAP})?(?:{GIVEN}{GAP})?)\Z"
)
_RELATIVE = compiled(
    rf"(?<![\w-])(?:(?:the{GAP})?{AROUND}|(?:the|which|these|those){GAP}(?:{COUNT}{GAP})?other)(?:{GAP}{COUNT})?"
    rf"(?:{GAP}{GIVEN})?{GAP}\Z"
)
_VAGUE = compiled(rf"\b(?:(?:an)?other|one|some|most|several|few|{SIDE})(?:{GAP}{GIVEN})?{GAP}\Z")
_OPEN_WORD = rf"(?:{GAP}(?!(?:{VERBS}|{CONNECTIVES}|the|this|these|those|an?|its|his|her|their)\b)[\w'’-]+)"
_DESCRIBED_ONE = compiled(
    rf"(?<![\w-])(?:{ORDINAL}{_OPEN_WORD}{{1,2}}|(?:each|every|either|neither|which|other){_OPEN_WORD}){GAP}\Z"
)
_DESCRIBED_MANY = compiled(
    rf"(?<![\w-])(?:(?:your|our)|(?:{ORDINAL}|the|these|those|both|all|either|neither|which|other|{COUNT})"
    rf"{_OPEN_WORD}{{1,2}}){GAP}\Z"
)
_TO_THE_SIDE = compiled(rf"{GAP}(?:on|to|at|in){GAP}the{GAP}(?:far{GAP}|very{GAP})?{SIDE}(?![\w-])")
_PART_OF_SCENE = (
    rf"{GAP}(?:(?:of|ever|hanging|hung|framed|mounted|pinned|taped|painted|printed)\b"
    rf"|(?:(?:shown|seen|displayed|placed|posted|arranged|located|sitting|standing){GAP})?"
    rf"(?:on|above|inside|along|over|behind|against){GAP}\w)"
)
_OTHER_THING = compiled(
    rf"{_PART_OF_SCENE}|{GAP}(?:pair|set|file|frame|album|shoot|session|booth|book|collage|contest|caption|description"
    r"|size|number)s?\b"
)
_MANY_ELSEWHERE = compiled(rf"{_PART_OF_SCENE}|['’](?!\w)")


def _is_elsewhere(noun: Noun) -> bool:
    """Whether the noun's images may be others than those shown: pictures on a wall, a photo album."""
    return bool((_MANY_ELSEWHERE if noun.plural else _OTHER_THING).match(noun.text, noun.end))


def relative(noun: Noun) -> Reference | None:
    """Read "the previous image", "the other images", "the second-to-last image"."""
    found = _RELATIVE.search(noun.before)
    if found is None:
        return None
    return noun.doubtful(found) if _is_elsewhere(noun) else noun.lost(found)


def ordered(noun: Noun) -> Reference | None:
    """Read "the first image", "the 1st and 2nd pictures", "the last two images"."""
    found = _ORDERED.search(noun.before)
    if found is None:
        return None
    lead, items, count = noun.before[: found.start()], [*_ORDINAL_ITEM.finditer(found["ordinals"])], found["count"]
    if _AT.search(lead) and not found["determiner"]:
        return None
    single = len(items) == 1 and not count
    mismatched = noun.plural if single else count and not noun.plural  # "the first images", "the first two image files"
    if mismatched or _OWNED.search(lead) or _is_elsewhere(noun):
        return noun.doubtful(found)
    values = [noun.num_images if (value := worth(item["word"])) == LAST else value for item in items]
    separators = [found["ordinals"][left.end() : right.start()] for left, right in pairwise(items)]
    parts = chained(values, separators)
    if count:
        values = _run(items[0]["word"], worth(count), noun.num_images) if len(items) == 1 else []
        parts = [tuple(values)]
    if not values or not all(1 <= value <= noun.num_images for value in values):
        return noun.lost(found)
    several = len(values) > 1 and (noun.plural or "or" not in separators[-1])
    return Reference(noun.start(found), noun.end, (noun.called(several, found[0][0].isupper()), " ", *parts))


def _run(ordinal: str, count: int, num_images: int) -> list[int]:
    """The images that "the first two" or "the last two" are; none when that cannot be said."""
    if worth(ordinal) == LAST:
        return list(range(num_images - count + 1, num_images + 1)) if count > 0 else []
    return list(range(1, count + 1)) if worth(ordinal) == 1 else []


def collective(noun: Noun) -> Reference | None:
    """Read "both images", "these three images", "each of the pictures", "which image", "between two images"."""
    found = _COLLECTIVE.search(noun.before)
    if found is None or not (found["quantity"] or found["determiner"] or found["count"]):
        return None
    quantity, determiner, count = ((found[group] or "").lower() for group in ("quantity", "determiner", "count"))
    one_by_one = quantity in ("each", "every", "either", "neither", "which")
    if noun.plural and one_by_one and quantity != "which" and not (found["of"] and determiner):
        return noun.doubtful(found)
    if not noun.plural and (not one_by_one or found["of"] or determiner or count):
        odd = quantity in ("both", "all", "any") or count or determiner in ("these", "those")
        return noun.doubtful(found) if odd and determiner != "the" else None
    if noun.num_images < 2 and quantity in ("between", "across", "among") and not (determiner or count):
        return None
    if _is_elsewhere(noun) or (quantity == "any" and not determiner):
        return noun.doubtful(found)
    anaphoric = noun.named and noun.num_images > 2 and not count and quantity not in ("all", "every", "which")
    if anaphoric or not _fits(noun.num_images, quantity, determiner, count):
        return noun.lost(found)
    chosen = f"{found['count']} of " if count and quantity == "which" and not determiner else ""
    link = "" if found["of"] else chosen or _LINKS.get(quantity, "")
    lead = noun.before[found.start() : found.start("definite")] + link
    name = noun.called(several=True, capital=not lead and found[0][0].isupper())
    return Reference(noun.start(found), noun.end, (lead, name, " ", tuple(range(1, noun.num_images + 1))))


#: what stands between a word for images and their list
_LINKS = dict.fromkeys(("all", "each", "either", "neither", "which"), "of ") | {"every": "one of "}


def _fits(num_images: int, quantity: str, determiner: str, count: str) -> bool:
    """Whether the words can mean all images of the record."""
    if num_images < 2 or (quantity in ("both", "either", "neither") and num_images != 2):
        return False
    if quantity == "which" and count and not determiner:
        return worth(count) <= num_images
    return not count or (bool(quantity or determiner) and worth(count) == num_images)


def vague(noun: Noun) -> Reference | None:
    """Read what points at some image of several: "another image", "the left image", "the second street photo"."""
    aside = _TO_THE_SIDE.match(noun.text, noun.end)
    described = (_DESCRIBED_MANY if noun.plural else _DESCRIBED_ONE).search(noun.before)
    found = _VAGUE.search(noun.before) or described
    return noun.doubtful(found, aside and aside.end()) if found or aside else None
