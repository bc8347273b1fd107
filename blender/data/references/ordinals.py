"""References by order: "the first image", "the last two images", "the previous image"."""

from itertools import pairwise

from blender.data.references.context import AFTER_ORDINAL
from blender.data.references.noun import Noun
from blender.data.references.numbers import chained
from blender.data.references.other_images import is_superlative, means_other_images
from blender.data.references.reference import Reference
from blender.data.references.words import (
    AROUND,
    BLANK,
    COUNT,
    GAP,
    GIVEN,
    LAST,
    ORDINAL,
    PORTION,
    SIDE,
    compiled,
    number_of,
)

_ORDERED = compiled(
    rf"(?<![\w-])(?:(?P<determiner>the|an?|this|that|your|our){GAP})?(?:very{GAP})?"
    rf"(?P<ordinals>{ORDINAL}(?:(?:,|,?{GAP}(?:and|or|to|through)|{BLANK}?&){GAP}(?:the{GAP})?{ORDINAL})*)"
    rf"(?:{GAP}(?P<count>{COUNT}|few|couple(?:{GAP}of)?))?(?:{GAP}{GIVEN})?{GAP}\Z"
)
_ORDINAL_ITEM = compiled(rf"(?:(?<!\w)the{GAP})?(?P<word>{ORDINAL})(?!\w)")
_AT = compiled(rf"\bat{GAP}\Z")
_OWNED = compiled(rf"(?:\b(?:his|her|their|its|my|whose)|['’]s?){GAP}\Z")
#: "the second image from the right" is no image 2
_COUNTED_FROM = compiled(rf"{GAP}(?:counting{GAP})?from{GAP}(?:the{GAP})?(?:far{GAP})?(?:{SIDE}|last|end|back|front)\b")
_EVERY = compiled(rf"\b(?:every|each){GAP}\Z")
#: what makes "the first photo" the first one of someone's: "I took the first photo at 9 am"
_MAKING = compiled(
    r"\b(?:take|takes|took|taken|taking|snap|snapped|shoot|shot|make|made|making|draw|drew|drawn|paint|painted|post|posted"
    rf"|publish|published|develop|developed|sell|sold|buy|bought){GAP}\Z"
)
_RELATIVE = compiled(
    rf"(?<![\w-])(?:(?:the{GAP})?{AROUND}|(?:the|which|these|those|every|each|all){GAP}(?:{COUNT}{GAP})?other)"
    rf"(?:{GAP}{COUNT})?(?:{GAP}{GIVEN})?{GAP}\Z"
    rf"|(?:\b(?:the|an?|this|that|your){GAP}|(?:\A|[^\w\s]|\b(?:and|or|to|vs\.?|versus)\b){BLANK}{{0,2}})"
    rf"(?:before|after){GAP}\Z"
)
_BRACKETED = compiled(rf"(?<![\w-]){ORDINAL}{GAP}\([^() ]{{1,20}}\){GAP}\Z")
_PORTION = compiled(rf"(?<![\w-])(?:{ORDINAL}|{AROUND}|other){GAP}{PORTION}{GAP}of{GAP}(?:(?:the|these|those){GAP})?\Z")


def relative(noun: Noun) -> Reference | None:
    """Read "the previous image", "the other images", "the before image", "the first pair of images"."""
    found = next(filter(None, (form.search(noun.before) for form in (_RELATIVE, _PORTION, _BRACKETED))), None)
    if found is None:
        return None
    # of one image: "the first row of the image", or "an explanation of the subsequent image" right before it
    of_one = not noun.plural and (found.re is _PORTION or found[0].split()[-1].lower() == "subsequent")
    unsure = of_one or means_other_images(noun)
    return noun.unclear_if_several("relative", found) if unsure else noun.unclear("relative", found)


def ordered(noun: Noun) -> Reference | None:
    """Read "the first image", "the 1st and 2nd pictures", "the last two images"."""
    found = _ORDERED.search(noun.before)
    if found is None:
        return None
    lead, items, count = noun.before[: found.start()], [*_ORDINAL_ITEM.finditer(found["ordinals"])], found["count"]
    if _AT.search(lead) and not found["determiner"]:
        return None
    if every := _EVERY.search(lead):
        return noun.unclear("some_image", every)
    single = len(items) == 1 and not count
    mismatched = noun.plural if single else count and not noun.plural  # "the first images", "the first two image files"
    if mismatched or _OWNED.search(lead) or means_other_images(noun) or is_superlative(noun):
        return noun.unclear_if_several("some_image", found)
    values = [noun.num_images if (value := number_of(item["word"])) == LAST else value for item in items]
    separators = [found["ordinals"][left.end() : right.start()] for left, right in pairwise(items)]
    parts = chained(values, separators)
    if count:
        values = _run(items[0]["word"], number_of(count), noun.num_images) if len(items) == 1 else []
        parts = [tuple(values)]
    if _COUNTED_FROM.match(noun.text, noun.end):
        return noun.unclear_if_several("some_image", found)
    if not values or len({*values}) < len(values) or not all(1 <= value <= noun.num_images for value in values):
        return noun.unclear("number", found)
    if _MAKING.search(lead) or not AFTER_ORDINAL.match(noun.text, noun.end):
        return noun.unclear("some_image", found)
    several = len(values) > 1 and (noun.plural or "or" not in separators[-1])
    return Reference(noun.start(found), noun.end, (noun.called(several, found[0][0].isupper()), " ", *parts))


def _run(ordinal: str, count: int, num_images: int) -> list[int]:
    """The images that "the first two" or "the last two" are; none when that cannot be said."""
    if number_of(ordinal) == LAST:
        return list(range(num_images - count + 1, num_images + 1)) if count > 0 else []
    return list(range(1, count + 1)) if number_of(ordinal) == 1 else []
