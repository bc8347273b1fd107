"""References by numbers and letters after the noun: "image 2", "images A and B", "photos no. 1 and no. 2"."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from blender.data.references.context import AFTER_NUMBER, AFTER_NUMBER_IN, IN, NAMING, STOP
from blender.data.references.noun import Noun
from blender.data.references.options import begins_options
from blender.data.references.reference import Part, Range, Reference
from blender.data.references.words import BLANK, CARDINALS, CONNECTIVES, GAP, STEM, compiled, number_of

_SIGN = rf"(?:#|\b(?:no|nr)\b\.?|№|\bnumbers?\b){BLANK}{{0,2}}"
_MARK = compiled(rf"(?P<sign>{BLANK}{{0,2}}(?:{_SIGN}(?=[0-9])|\bnumber{BLANK}{{1,2}}))|{BLANK}{{1,2}}|(?=[0-9])")
_TOKENS = (
    compiled(r"[0-9]{1,9}(?!\w|%|[.:/][0-9]|-[a-z])"),
    compiled(r"[a-h](?![\w'’&/-]|\.\w|\.? [0-9]| & w\b)|[a-h](?=['’]s\b|[-–][a-h]\b)"),
    compiled(rf"(?:{'|'.join(CARDINALS)})(?![\w-])"),
)
_SEPARATOR = compiled(
    rf"(?P<range>{BLANK}?[-–]{BLANK}?|{GAP}(?:to|through){GAP})"
    rf"|(?P<final>,?{GAP}(?:and|or|versus|vs\.?){GAP}|{BLANK}?&{BLANK}?)|(?P<comma>,{BLANK}{{0,2}})"
)
_ITEM_SIGN = compiled(rf"(?:{_SIGN})?")
#: what carries a list on in a way that is not read: "image 1 + 2", "image 1/2", "image 1, no. three"
_GOES_ON = compiled(
    rf"{BLANK}{{0,2}}(?:[-–—,/+&|;~→>]+|,?{GAP}(?:and|or|and/or|to|through|thru|until|till|up{GAP}to|versus|vs\.?|plus){GAP}|\.{{2,3}}|,\r?\n){BLANK}{{0,2}}"
    rf"(?:(?:{_SIGN}|\()+[0-9a-h]|\(?[0-9]{{1,2}}(?=\)|{STOP}))"
)
_UNREADABLE = compiled(rf"{BLANK}{{0,2}}[0-9]+(?:[.:/][0-9]+|%|(?![\w-]))")
_BRACKETED = compiled(
    rf"{BLANK}?[(\[{{<\"“'‘`]{BLANK}?(?:{_SIGN})?(?:[0-9]{{1,2}}|[a-h]|ii{{1,2}}|iv|(?<=\()i|{'|'.join(CARDINALS)}){BLANK}?[)\]}}>\"”'’`]"
)
#: image1.jpg
_FILE = compiled(r"\.(?:jpe?g|png|gif|webp|bmp|tiff?|heic|svg)\b")
_SCORED = compiled(rf"\b(?:rate|score|grade|rank|judge){GAP}(?:the|this|that){GAP}\Z")
_CHOSEN_FROM = compiled(rf"{GAP}(?:between|among|from){GAP}(?:[0-9]|[b-h]\b)")
#: what no article stands before: "In image A there is"
_NO_THING = compiled(rf"{GAP}(?:there|the|this|these|he|she|they|we|you)\b")
_ALONE = compiled(STOP)
_MODAL = compiled(rf"{GAP}(?:can|could|would|should|may|might|must|will)\b")
_DETERMINED = compiled(
    r"\b(?:the|this|that|an?|each|every|your|my|our|its|his|her|their|same|following|above|given|single|entire)"
    rf"{GAP}(?:(?!(?:{CONNECTIVES})\b)[\w-]+{GAP})?\Z"
)
#: an image that is named by a letter which cannot be an article
OTHER_LETTER = compiled(rf"\b{STEM}s?{BLANK}[b-h](?![\w'’&/-]|\.\w)")


class _List(NamedTuple):
    """A list of numbers or letters, and the separators between them."""

    items: list[re.Match[str]]
    separators: list[str]
    #: whether the list is sure to end with the last item; None: it is not
    certain: bool | None = True


def numbered(noun: Noun) -> Reference | None:
    """Read "image 2", "Image B", "image number two", "images 1, 2, and 4", "pictures #2 to #4"."""
    text = noun.text
    mark = _MARK.match(text, noun.end)
    first = next((found for token in _TOKENS if (found := token.match(text, mark.end()))), None) if mark else None
    if mark is None or first is None:
        return _unread(noun)
    listed = _listed(noun, first)
    certain, end = _certain(noun, listed, bool(mark["sign"])), listed.items[-1].end()
    if certain is False:
        return None
    if begins_options(text, noun.match.start(), noun.end) or _SCORED.search(noun.before):
        return noun.unclear_if_several("spelling", end=end)
    if file := _FILE.match(text, end):
        return noun.unclear("spelling", end=file.end())
    if goes_on := _GOES_ON.match(text, end):
        return noun.unclear("number", end=goes_on.end())
    if certain is None:
        return noun.unclear_if_several("number", end=end)
    values = [number_of(item[0]) for item in listed.items]
    if not all(1 <= value <= noun.num_images for value in values) or not _ends(noun, listed):
        return noun.unclear("number", end=end)
    return Reference(noun.start(), end, (text[noun.start() : first.start()], *chained(values, listed.separators)))


def _unread(noun: Noun) -> Reference | None:
    """Find numbers and letters that are written in another way: "image 2.5", "image (2)", "image between 1 and 2"."""
    if unreadable := _UNREADABLE.match(noun.text, noun.end):
        return noun.unclear("number", end=unreadable.end())
    if bracketed := _BRACKETED.match(noun.text, noun.end):
        if begins_options(noun.text, noun.match.start(), noun.end):
            return noun.unclear_if_several("spelling", end=bracketed.end())
        return noun.unclear("spelling", end=bracketed.end())
    chosen = _CHOSEN_FROM.match(noun.text, noun.end)
    return chosen and noun.unclear_if_several("spelling", end=chosen.end())


def _ends(noun: Noun, listed: _List) -> bool:
    """Whether a number is followed by what may follow one: "image 1 shows", not "Image 1 News"."""
    end = listed.items[-1].end()
    if len(listed.items) > 1 or not listed.items[0][0].isdigit() or AFTER_NUMBER.match(noun.text, end):
        return True
    return AFTER_NUMBER_IN.match(noun.text, end) is not None and IN.search(noun.before) is not None


def _certain(noun: Noun, listed: _List, signed: bool) -> bool | None:
    if len(listed.items) > 1 or signed:
        return listed.certain
    return listed.certain and _is_name(noun, listed.items[0])


def _listed(noun: Noun, first: re.Match[str]) -> _List:
    """Follow a list of numbers or letters from its first one; each may have a sign of its own."""
    items, separators, last_kind = [first], list[str](), ""
    while (separator := _SEPARATOR.match(noun.text, items[-1].end())) and last_kind != "final":
        last_kind = separator.lastgroup or "range"
        sign = _ITEM_SIGN.match(noun.text, separator.end())
        item = first.re.match(noun.text, sign.end() if sign else separator.end())
        if item is None:
            break
        items.append(item)
        separators.append(noun.text[separator.start() : item.start()])
    # "image 1 and 2 dogs", "image B and a dog": the last one may belong to what follows
    if len(items) > 1 and not NAMING.match(noun.text, items[-1].end()):
        if items[-1][0].lower() == "a":
            return _List(items[:-1], separators[:-1])
        if not noun.plural or separators[-1].strip() == ",":
            return _List(items, separators, None) if noun.several else _List(items[:1], [])
    return _List(items, separators)


def _is_name(noun: Noun, token: re.Match[str]) -> bool | None:
    """Tell "image a shows" from "in the image a man stands"; None when it may be either."""
    word, after = token[0].lower(), token.end()
    alone, naming = _ALONE.match(noun.text, after), NAMING.match(noun.text, after)
    determined, modal = _DETERMINED.search(noun.before), _MODAL.match(noun.text, after)
    if noun.plural:
        return True if word in "bcdefgh" else False if word == "a" else None
    if word == "a":
        if determined:
            return alone is not None
        lettered = token[0] == "A" or noun.lettered
        if token[0] == "A" and _NO_THING.match(noun.text, after):
            return True
        return True if alone or (naming and (lettered or not modal)) or (lettered and noun.several) else None
    if word in CARDINALS:
        return True if alone or (naming and not determined and not (word == "one" and modal)) else None
    return True if naming or not determined else None


def chained(values: Sequence[int], separators: Sequence[str]) -> list[Part]:
    """Join numbers by the writer's own separators."""
    parts: list[Part] = [values[0]]
    for value, separator in zip(values[1:], separators, strict=True):
        before = parts[-1]
        if _RANGE.match(separator) and isinstance(before, int) and before < value:
            parts[-1] = Range(before, value, separator)
        else:
            parts += [separator, value]
    return parts


_RANGE = compiled(rf"{BLANK}?[-–]|{GAP}?(?:to|through)\b")
