"""References by numbers and letters behind the noun: "image 2", "images A and B"."""

import re
from collections.abc import Sequence

from blender.references.noun import Noun
from blender.references.reference import Part, Range, Reference
from blender.references.words import BLANK, CARDINALS, CONNECTIVES, GAP, STEM, VERBS, compiled, worth

_MARK = compiled(
    rf"(?P<sign>{BLANK}{{0,2}}(?:#|\b(?:no|nr)\b\.?){BLANK}{{0,2}}(?=[0-9])|{BLANK}{{1,2}}number{BLANK}{{1,2}})"
    rf"|{BLANK}{{1,2}}|(?=[0-9])"
)
_TOKENS = (
    compiled(r"[0-9]{1,9}(?!\w|%|[.:/][0-9]|-[a-z])"),
    compiled(r"[a-h](?![\w'’&/-]|\.\w|\.? [0-9]| & w\b)|[a-h](?=['’]s\b|[-–][a-h]\b)"),
    compiled(rf"(?:{'|'.join(CARDINALS)})(?![\w-])"),
)
_SEPARATOR = compiled(
    rf"{BLANK}?[-–]{BLANK}?|{GAP}(?:to|through){GAP}"
    rf"|(?P<final>,?{GAP}(?:and|or|versus|vs\.?){GAP}|{BLANK}?&{BLANK}?)|(?P<comma>,{BLANK}{{0,2}})"
)
_UNREADABLE = compiled(rf"{BLANK}{{0,2}}[0-9]+(?:[.:/][0-9]+|%|(?![\w-]))")
_ELSEHOW = compiled(
    rf"{BLANK}?[(\[\"“'‘](?:[0-9]{{1,2}}|[a-h])[)\]\"”'’]|{GAP}(?:between|among|from){GAP}(?:[0-9]|[b-h]\b)"
)
_STOP = r"(?=\Z|['’]s?\b|['’]\Z|[ \t]*[^\w\s'’%/+&-]|[ \t]*\r?\n|[ \t]+[-–—][ \t])"
_ALONE = compiled(_STOP)
_NAMING = compiled(rf"{_STOP}|(?={GAP}(?:{VERBS}|{CONNECTIVES})\b)")
_MODAL = compiled(rf"{GAP}(?:can|could|would|should|may|might|must|will)\b")
_DETERMINED = compiled(
    r"\b(?:the|this|that|an?|each|every|your|my|our|its|his|her|their|same|following|above|given|single|entire)"
    rf"{GAP}(?:(?!(?:{CONNECTIVES})\b)[\w-]+{GAP})?\Z"
)
_OTHER_LETTER = compiled(rf"\b{STEM}s?{BLANK}[b-h](?![\w'’&/-]|\.\w)")


def numbered(noun: Noun) -> Reference | None:
    """Read "image 2", "Image B", "image number two", "images 1, 2, and 4", "pictures 2 to 4"."""
    text = noun.text
    mark = _MARK.match(text, noun.end)
    first = next((found for token in _TOKENS if (found := token.match(text, mark.end()))), None) if mark else None
    if mark is None or first is None:
        unreadable, elsehow = _UNREADABLE.match(text, noun.end), _ELSEHOW.match(text, noun.end)
        return noun.lost(end=unreadable.end()) if unreadable else elsehow and noun.doubtful(end=elsehow.end())
    items, separators, certain = _listed(noun, first)
    if len(items) == 1 and not mark["sign"]:
        certain = certain and _is_name(noun, first)
    if certain is False:
        return None
    end = items[-1].end()
    if certain is None:
        return noun.doubtful(end=end)
    values = [worth(item[0]) for item in items]
    if not all(1 <= value <= noun.num_images for value in values):
        return noun.lost(end=end)
    return Reference(noun.start(), end, (text[noun.start() : first.start()], *chained(values, separators)))


def _listed(noun: Noun, first: re.Match[str]) -> tuple[list[re.Match[str]], list[str], bool | None]:
    """Follow a list of numbers or letters from its first one; also say whether its end is certain (None: it is not)."""
    items, separators, last_kind = [first], list[str](), ""
    while (separator := _SEPARATOR.match(noun.text, items[-1].end())) and last_kind != "final":
        last_kind = separator.lastgroup or "range"
        item = first.re.match(noun.text, separator.end())
        if item is None:
            break
        items.append(item)
        separators.append(separator[0])
    # "image 1 and 2 dogs", "image B and a dog": the last one may belong to what follows
    if len(items) > 1 and not _NAMING.match(noun.text, items[-1].end()):
        if items[-1][0].lower() == "a":
            return items[:-1], separators[:-1], True
        if not noun.plural or separators[-1].strip() == ",":
            return (items, separators, None) if noun.num_images > 1 else (items[:1], [], True)
    return items, separators, True


def _is_name(noun: Noun, token: re.Match[str]) -> bool | None:
    """Tell "image a shows" from "in the image a man stands"; None when it may be either."""
    word, after = token[0].lower(), token.end()
    alone, naming = _ALONE.match(noun.text, after), _NAMING.match(noun.text, after)
    determined, modal = _DETERMINED.search(noun.before), _MODAL.match(noun.text, after)
    if noun.plural:
        return True if word in "bcdefgh" else False if word == "a" else None
    if word == "a":
        if determined:
            return alone is not None
        lettered = token[0] == "A" or _OTHER_LETTER.search(noun.text)
        return True if alone or (naming and (lettered or not modal)) or (lettered and noun.num_images > 1) else None
    if word in CARDINALS:
        return True if alone or (naming and not determined and not (word == "one" and modal)) else None
    return True if naming or not determined else None


def chained(values: Sequence[int], separators: Sequence[str]) -> list[Part]:
    """Join numbers by the writer's own separators."""
    parts: list[Part] = [values[0]]
    for value, separator in zip(values[1:], separators, strict=True):
        before = parts[-1]
        if separator.strip().lower() in ("-", "–", "to", "through") and isinstance(before, int) and before < value:
            parts[-1] = Range(before, value, separator)
        else:
            parts += [separator, value]
    return parts
