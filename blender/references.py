"""Keep what a text says about its images true when other images are put before them.

A record counts its own images from 1. Behind other images its "second image" is, say, the sample's image 5 and has to
be called that; what cannot be renumbered with certainty keeps its record from being placed behind others.
Nearly every reference hangs on a noun (image, picture, photo, photograph, pic, snapshot), so a text is read from noun
to noun, by one reader after the other: numbers and letters after it ("image 2", "images A and B"), words that depend
on what was shown around it ("the previous image"), ordinals before it ("the first two images"), words for all images
of a record ("both images", "which image"). The few phrases without a noun ("the second one") are looked for last.

Where words can be read in two ways the record decides. In a record of several images they make the text unresolvable,
since a wrong number is worse than a record left in front; in a record of one image they are taken for plain prose
("in the image a man", "the first picture on the wall"). docs/references.md lists what is recognised.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise


@dataclass(frozen=True)
class Rewrite:
    """A text whose references were renumbered."""

    text: str
    #: how many phrases were changed
    num_rewritten: int


def rewrite_references(text: str, numbers: Sequence[int], num_shown: int) -> Rewrite:
    """Renumber a text's references from its record's images to the sample's.

    Args:
        text: A question or an answer.
        numbers: ``numbers[k - 1]`` is the sample's number of the record's image ``k``, for all images that the record
            has shown up to this turn.
        num_shown: How many images the sample has shown up to this turn.

    Returns:
        The text, changed in nothing but the references. What :func:`unresolvable` finds is left as it is.
    """
    if num_shown == len(numbers) and all(number == k for k, number in enumerate(numbers, 1)):
        return Rewrite(text, 0)
    pieces, done, num_rewritten = [], 0, 0
    for reference in _references(text, len(numbers)):
        if reference.parts:
            phrase = "".join(_spell(part, numbers) for part in reference.parts)
            num_rewritten += phrase != text[reference.start : reference.end]
            pieces += [text[done : reference.start], phrase]
            done = reference.end
    return Rewrite("".join([*pieces, text[done:]]), num_rewritten)


def unresolvable(text: str, num_images: int) -> str | None:
    """Find the first phrase that would become untrue behind other images and cannot be renumbered.

    Args:
        text: A question or an answer.
        num_images: How many images its record has shown up to this turn.

    Returns:
        The phrase as it is written, or None when the text may stand behind other images.
    """
    lost = next((reference for reference in _references(text, num_images) if not reference.parts), None)
    return text[lost.start : lost.end] if lost else None


@dataclass(frozen=True)
class _Range:
    """Neighbouring images, named by the first and the last of them."""

    first: int
    last: int
    between: str


#: what a rewritten phrase is made of: words, a record's image, several of them, or a range of them
_Part = str | int | tuple[int, ...] | _Range


@dataclass(frozen=True)
class _Reference:
    """A phrase that speaks of images by number, order or all together."""

    start: int
    end: int
    #: the phrase with the record's image numbers in it; empty when it cannot be renumbered
    parts: tuple[_Part, ...] = ()

    @property
    def named(self) -> frozenset[int]:
        """The record's images that the phrase names."""
        return frozenset(number for part in self.parts if not isinstance(part, str) for number in _images(part))


def _images(part: int | tuple[int, ...] | _Range) -> tuple[int, ...]:
    if isinstance(part, _Range):
        return tuple(range(part.first, part.last + 1))
    return part if isinstance(part, tuple) else (part,)


def _spell(part: _Part, numbers: Sequence[int]) -> str:
    if isinstance(part, str):
        return part
    moved = [numbers[k - 1] for k in _images(part)]
    if isinstance(part, _Range) and moved == list(range(moved[0], moved[-1] + 1)):
        return f"{moved[0]}{part.between}{moved[-1]}"
    *most, last = map(str, moved)
    return f"{', '.join(most)} and {last}" if most else last


# --- the words -------------------------------------------------------------------------------------------------------

_CARDINALS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
_ORDINALS = ["first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth"]
#: what "last", "final" and "latest" are worth: the number of images is known later
_LAST = -1
_WORTH = {word: number for words in (_CARDINALS, _ORDINALS, "abcdefgh") for number, word in enumerate(words, 1)}

# white space is spelled out, and \w and \b stay out of COARSE: they mean different characters to Python and to Rust
_BLANK = "[ \t\u00a0]"
_GAP = f"(?:{_BLANK}{{1,2}}|\r?\n)"
_STEM = "(?:image|picture|photograph|photo|pic|snapshot)"
_GIVEN = "(?:given|provided|shown|displayed|attached|uploaded|input|presented|supplied|sample|above|following)"
_COUNT = f"(?:{'|'.join(_CARDINALS[1:])}|[1-9][0-9]?)"
_ORDINAL = f"(?:{'|'.join(_ORDINALS)}|[0-9]{{1,3}}(?:st|nd|rd|th)|last|final|latest|most{_GAP}recent)"
_SIDE = "(?:(?:left|right)(?:most|-hand|-side)?|top|bottom|upper|lower|middle|cent(?:er|re|ral))"
_AROUND = (
    "(?:previous|prior|preceding|earlier|next|remaining|penultimate"
    "|(?:second|third|next)(?:[ -]to)?[ -](?:the[ -])?last)"
)
_VERBS = (
    "is are was were has have had do does did can could would should may might will must seems? appears? looks? shows? "
    "depicts? features? contains? displays? portrays? presents? illustrates? captures? represents? suggests? includes? "
    "showcases? reveals? highlights? demonstrates? conveys? indicates? involves? provides? exhibits? emphasi[sz]es? "
    "evokes? reflects? offers? shares? differs?"
).replace(" ", "|")
_CONNECTIVES = (
    "and or but nor while whereas if because so in on at of from to for with without by as than that which who whose "
    "where when versus vs not only also both respectively together alone i you we they it he she then instead rather"
).replace(" ", "|")


def _compiled(pattern: str) -> re.Pattern[str]:
    # ASCII, because without it Python also takes the Turkish dotless i for an i, and Rust does not
    return re.compile(pattern, re.IGNORECASE | re.ASCII)


_NOUN = _compiled(rf"(?<![\w-])(?P<stem>{_STEM})(?P<plural>s|\(s\)|{_GAP}or{_GAP}(?P=stem)s)?(?![a-z_]|-[a-z])")


@dataclass(frozen=True)
class _Noun:
    """A noun for images, and the text around it."""

    text: str
    match: re.Match[str]
    #: how many images the record has shown
    num_images: int
    #: some of its images, named earlier in the text
    named: frozenset[int] = frozenset()

    @property
    def end(self) -> int:
        return self.match.end()

    @property
    def plural(self) -> bool:
        return self.match["plural"] is not None

    @cached_property
    def before(self) -> str:
        """The text before the noun, as far as a phrase may reach."""
        return self.text[max(0, self.match.start() - 100) : self.match.start()]

    def start(self, phrase: re.Match[str] | None = None) -> int:
        """Where in the text the noun begins, or a phrase found in ``before``."""
        return self.match.start() - (len(self.before) - phrase.start() if phrase else 0)

    def lost(self, phrase: re.Match[str] | None = None, end: int | None = None) -> _Reference:
        """A reference that cannot be renumbered."""
        return _Reference(self.start(phrase), end or self.end)

    def doubtful(self, phrase: re.Match[str] | None = None, end: int | None = None) -> _Reference | None:
        """A phrase that is a reference in a record of several images, and prose in a record of one."""
        return self.lost(phrase, end) if self.num_images > 1 else None

    def called(self, several: bool, capital: bool) -> str:
        """The writer's noun, singular or plural, to put in place of a phrase that may have begun with a capital."""
        stem = self.match["stem"]
        noun = stem + ("S" if stem.isupper() else "s") * several
        return noun[0].upper() + noun[1:] if capital else noun


def _references(text: str, num_images: int) -> list[_Reference]:
    """Find all references of a text, in its order."""
    found: list[_Reference] = []
    named: frozenset[int] = frozenset()
    for match in _NOUN.finditer(text):
        noun = _Noun(text, match, num_images, named)
        reference = next(filter(None, (read(noun) for read in _READERS)), None)
        if reference:
            overlaps = found and reference.start < found[-1].end
            found.append(_Reference(reference.start, reference.end) if overlaps else reference)
            named |= reference.named if len(reference.named) < num_images else frozenset()
    return sorted([*found, *_nounless(text, num_images)], key=lambda reference: reference.start)


# --- numbers and letters behind the noun -----------------------------------------------------------------------------

_MARK = _compiled(
    rf"(?P<sign>{_BLANK}{{0,2}}(?:#|\b(?:no|nr)\b\.?){_BLANK}{{0,2}}(?=[0-9])|{_BLANK}{{1,2}}number{_BLANK}{{1,2}})"
    rf"|{_BLANK}{{1,2}}|(?=[0-9])"
)
_TOKENS = (
    _compiled(r"[0-9]{1,9}(?!\w|%|[.:/][0-9]|-[a-z])"),
    _compiled(r"[a-h](?![\w'’&/-]|\.\w|\.? [0-9]| & w\b)|[a-h](?=['’]s\b|[-–][a-h]\b)"),
    _compiled(rf"(?:{'|'.join(_CARDINALS)})(?![\w-])"),
)
_SEPARATOR = _compiled(
    rf"{_BLANK}?[-–]{_BLANK}?|{_GAP}(?:to|through){_GAP}"
    rf"|(?P<final>,?{_GAP}(?:and|or|versus|vs\.?){_GAP}|{_BLANK}?&{_BLANK}?)|(?P<comma>,{_BLANK}{{0,2}})"
)
_UNREADABLE = _compiled(rf"{_BLANK}{{0,2}}[0-9]+(?:[.:/][0-9]+|%|(?![\w-]))")
_ELSEHOW = _compiled(
    rf"{_BLANK}?[(\[\"“'‘](?:[0-9]{{1,2}}|[a-h])[)\]\"”'’]|{_GAP}(?:between|among|from){_GAP}(?:[0-9]|[b-h]\b)"
)
_STOP = r"(?=\Z|['’]s?\b|['’]\Z|[ \t]*[^\w\s'’%/+&-]|[ \t]*\r?\n|[ \t]+[-–—][ \t])"
_ALONE = _compiled(_STOP)
_NAMING = _compiled(rf"{_STOP}|(?={_GAP}(?:{_VERBS}|{_CONNECTIVES})\b)")
_MODAL = _compiled(rf"{_GAP}(?:can|could|would|should|may|might|must|will)\b")
_DETERMINED = _compiled(
    r"\b(?:the|this|that|an?|each|every|your|my|our|its|his|her|their|same|following|above|given|single|entire)"
    rf"{_GAP}(?:(?!(?:{_CONNECTIVES})\b)[\w-]+{_GAP})?\Z"
)
_OTHER_LETTER = _compiled(rf"\b{_STEM}s?{_BLANK}[b-h](?![\w'’&/-]|\.\w)")


def _numbered(noun: _Noun) -> _Reference | None:
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
    values = [_worth(item[0]) for item in items]
    if not all(1 <= value <= noun.num_images for value in values):
        return noun.lost(end=end)
    return _Reference(noun.start(), end, (text[noun.start() : first.start()], *_chained(values, separators)))


def _listed(noun: _Noun, first: re.Match[str]) -> tuple[list[re.Match[str]], list[str], bool | None]:
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


def _is_name(noun: _Noun, token: re.Match[str]) -> bool | None:
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
    if word in _CARDINALS:
        return True if alone or (naming and not determined and not (word == "one" and modal)) else None
    return True if naming or not determined else None


def _worth(word: str) -> int:
    """The number that a digit, letter, cardinal or ordinal stands for."""
    digits = word.rstrip("stndrhSTNDRH")
    return int(digits) if digits.isdigit() else _WORTH.get(word.lower(), _LAST)


def _chained(values: Sequence[int], separators: Sequence[str]) -> list[_Part]:
    """Join numbers by the writer's own separators."""
    parts: list[_Part] = [values[0]]
    for value, separator in zip(values[1:], separators, strict=True):
        before = parts[-1]
        if separator.strip().lower() in ("-", "–", "to", "through") and isinstance(before, int) and before < value:
            parts[-1] = _Range(before, value, separator)
        else:
            parts += [separator, value]
    return parts


# --- words before the noun -------------------------------------------------------------------------------------------

_ORDERED = _compiled(
    rf"(?<![\w-])(?:(?P<determiner>the|an?|this|that|your|our){_GAP})?(?:very{_GAP})?"
    rf"(?P<ordinals>{_ORDINAL}(?:(?:,|,?{_GAP}(?:and|or|to|through)|{_BLANK}?&){_GAP}(?:the{_GAP})?{_ORDINAL})*)"
    rf"(?:{_GAP}(?P<count>{_COUNT}|few|couple(?:{_GAP}of)?))?(?:{_GAP}{_GIVEN})?{_GAP}\Z"
)
_ORDINAL_ITEM = _compiled(rf"(?:(?<!\w)the{_GAP})?(?P<word>{_ORDINAL})(?!\w)")
_AT = _compiled(rf"\bat{_GAP}\Z")
_OWNED = _compiled(rf"(?:\b(?:his|her|their|its|my|whose)|['’]s?){_GAP}\Z")
_COLLECTIVE = _compiled(
    rf"(?<![\w-])(?=\S)(?:(?P<quantity>both|all|each|every|either|neither|which|any|between|across|among)"
    rf"(?P<of>{_GAP}of)?{_GAP})?(?P<definite>(?:(?P<determiner>the|these|those){_GAP})?"
    rf"(?:(?P<count>{_COUNT}){_GAP})?(?:{_GIVEN}{_GAP})?)\Z"
)
_RELATIVE = _compiled(
    rf"(?<![\w-])(?:(?:the{_GAP})?{_AROUND}|(?:the|which|these|those){_GAP}(?:{_COUNT}{_GAP})?other)(?:{_GAP}{_COUNT})?"
    rf"(?:{_GAP}{_GIVEN})?{_GAP}\Z"
)
_VAGUE = _compiled(rf"\b(?:(?:an)?other|one|some|most|several|few|{_SIDE})(?:{_GAP}{_GIVEN})?{_GAP}\Z")
_OPEN_WORD = rf"(?:{_GAP}(?!(?:{_VERBS}|{_CONNECTIVES}|the|this|these|those|an?|its|his|her|their)\b)[\w'’-]+)"
_DESCRIBED_ONE = _compiled(
    rf"(?<![\w-])(?:{_ORDINAL}{_OPEN_WORD}{{1,2}}|(?:each|every|either|neither|which|other){_OPEN_WORD}){_GAP}\Z"
)
_DESCRIBED_MANY = _compiled(
    rf"(?<![\w-])(?:(?:your|our)|(?:{_ORDINAL}|the|these|those|both|all|either|neither|which|other|{_COUNT})"
    rf"{_OPEN_WORD}{{1,2}}){_GAP}\Z"
)
_TO_THE_SIDE = _compiled(rf"{_GAP}(?:on|to|at|in){_GAP}the{_GAP}(?:far{_GAP}|very{_GAP})?{_SIDE}(?![\w-])")
_PART_OF_SCENE = (
    rf"{_GAP}(?:(?:of|ever|hanging|hung|framed|mounted|pinned|taped|painted|printed)\b"
    rf"|(?:(?:shown|seen|displayed|placed|posted|arranged|located|sitting|standing){_GAP})?"
    rf"(?:on|above|inside|along|over|behind|against){_GAP}\w)"
)
_OTHER_THING = _compiled(
    rf"{_PART_OF_SCENE}|{_GAP}(?:pair|set|file|frame|album|shoot|session|booth|book|collage|contest|caption|description"
    r"|size|number)s?\b"
)
_MANY_ELSEWHERE = _compiled(rf"{_PART_OF_SCENE}|['’](?!\w)")


def _is_elsewhere(noun: _Noun) -> bool:
    """Whether the noun's images may be others than those shown: pictures on a wall, a photo album."""
    return bool((_MANY_ELSEWHERE if noun.plural else _OTHER_THING).match(noun.text, noun.end))


def _relative(noun: _Noun) -> _Reference | None:
    """Read "the previous image", "the other images", "the second-to-last image"."""
    found = _RELATIVE.search(noun.before)
    if found is None:
        return None
    return noun.doubtful(found) if _is_elsewhere(noun) else noun.lost(found)


def _ordered(noun: _Noun) -> _Reference | None:
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
    values = [noun.num_images if (value := _worth(item["word"])) == _LAST else value for item in items]
    separators = [found["ordinals"][left.end() : right.start()] for left, right in pairwise(items)]
    parts = _chained(values, separators)
    if count:
        values = _run(items[0]["word"], _worth(count), noun.num_images) if len(items) == 1 else []
        parts = [tuple(values)]
    if not values or not all(1 <= value <= noun.num_images for value in values):
        return noun.lost(found)
    several = len(values) > 1 and (noun.plural or "or" not in separators[-1])
    return _Reference(noun.start(found), noun.end, (noun.called(several, found[0][0].isupper()), " ", *parts))


def _run(ordinal: str, count: int, num_images: int) -> list[int]:
    """The images that "the first two" or "the last two" are; none when that cannot be said."""
    if _worth(ordinal) == _LAST:
        return list(range(num_images - count + 1, num_images + 1)) if count > 0 else []
    return list(range(1, count + 1)) if _worth(ordinal) == 1 else []


def _collective(noun: _Noun) -> _Reference | None:
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
    return _Reference(noun.start(found), noun.end, (lead, name, " ", tuple(range(1, noun.num_images + 1))))


#: what stands between a word for images and their list
_LINKS = dict.fromkeys(("all", "each", "either", "neither", "which"), "of ") | {"every": "one of "}


def _fits(num_images: int, quantity: str, determiner: str, count: str) -> bool:
    """Whether the words can mean all images of the record."""
    if num_images < 2 or (quantity in ("both", "either", "neither") and num_images != 2):
        return False
    if quantity == "which" and count and not determiner:
        return _worth(count) <= num_images
    return not count or (bool(quantity or determiner) and _worth(count) == num_images)


def _vague(noun: _Noun) -> _Reference | None:
    """Read what points at some image of several: "another image", "the left image", "the second street photo"."""
    aside = _TO_THE_SIDE.match(noun.text, noun.end)
    described = (_DESCRIBED_MANY if noun.plural else _DESCRIBED_ONE).search(noun.before)
    found = _VAGUE.search(noun.before) or described
    return noun.doubtful(found, aside and aside.end()) if found or aside else None


_READERS = (_numbered, _relative, _ordered, _collective, _vague)

# --- without a noun --------------------------------------------------------------------------------------------------

_EDGE = "[ \t\r\n\"'“”‘’()\\[\\].!*]*"
_INTO = "in|of|from|than|to|with|by|for|on|and|or|only"
_NOUNLESS = _compiled(
    rf"\bthe{_GAP}(?:{_ORDINAL}|other|left|right){_GAP}ones?\b"
    rf"|\bthe{_GAP}{_ORDINAL}{_GAP}(?:{_VERBS})\b"
    rf"|\b(?:{_INTO}){_GAP}the{_GAP}{_ORDINAL}(?=[,.;:?!)]|\Z)"
    rf"|\A{_EDGE}(?:the{_GAP})?(?:{_ORDINAL}|(?P<bare>[1-9]|[a-h]))(?:{_GAP}one)?{_EDGE}\Z"
)


def _nounless(text: str, num_images: int) -> Iterator[_Reference]:
    """Find "the second one", "in the first,", and answers that are nothing but an ordinal, a number or a letter."""
    for found in _NOUNLESS.finditer(text) if num_images > 1 else ():
        if not found["bare"] or _worth(found["bare"]) <= num_images:
            yield _Reference(found.start(), found.end())


# --- the sieve -------------------------------------------------------------------------------------------------------

# but i, k and s, which Unicode also writes with letters outside of ASCII
_NOT_A_LETTER = "[^a-hjl-rt-z]"
_WORD = "[^ \t\r\n\u00a0.,;:!?]+"
_THEN_GIVEN = f"(?:{_GAP}{_GIVEN})?"
_THEN_COUNT = f"(?:{_GAP}{_COUNT})?"
_START = f"(?:^|{_NOT_A_LETTER})"
_END = f"(?:{_NOT_A_LETTER}|$)"
_BEFORE_ONE = "|".join(
    (
        f"{_ORDINAL}(?:{_GAP}(?:couple{_GAP}of|{_WORD})){{0,2}}",
        f"(?:each|every|either|neither|which|other)(?:{_GAP}{_WORD})?",
        f"(?:{_AROUND}|other){_THEN_COUNT}{_THEN_GIVEN}",
        f"(?:(?:both|all|any)(?:{_GAP}of)?|these|those|{_COUNT}){_THEN_COUNT}{_THEN_GIVEN}",
        f"(?:another|one|some|most|several|few|{_SIDE}){_THEN_GIVEN}",
    )
)
#: matches every text in which :func:`rewrite_references` or :func:`unresolvable` could find anything, and few others;
#: means the same to Python's ``re`` and to Rust's ``regex`` (``polars.Expr.str.contains``)
COARSE = "(?i)" + "|".join(
    (
        f"{_START}{_STEM}(?:s|\\(s\\)){_END}",
        f"{_START}{_STEM}{_BLANK}{{0,2}}(?:#|no\\.?|nr\\.?|number)?{_BLANK}{{0,2}}[0-9]",
        f"{_START}{_STEM}{_BLANK}{{1,2}}(?:number{_BLANK}{{1,2}})?(?:[a-h]|{'|'.join(_CARDINALS)}){_END}",
        f"{_START}{_STEM}{_BLANK}?[(\\[\"“'‘](?:[0-9]{{1,2}}|[a-h])[)\\]\"”'’]",
        f"{_START}{_STEM}{_GAP}(?:between|among|from){_GAP}(?:[0-9]|[b-h]{_END})",
        f"{_START}(?:{_BEFORE_ONE}){_GAP}{_STEM}{_END}",
        f"{_START}{_STEM}{_GAP}(?:on|to|at|in){_GAP}the{_GAP}(?:far{_GAP}|very{_GAP})?{_SIDE}{_END}",
        f"{_START}the{_GAP}(?:{_ORDINAL}|other|left|right){_GAP}one",
        f"{_START}the{_GAP}{_ORDINAL}{_GAP}(?:{_VERBS}){_END}",
        f"{_START}(?:{_INTO}){_GAP}the{_GAP}{_ORDINAL}(?:[,.;:?!)]|$)",
        f"^{_EDGE}(?:the{_GAP})?(?:{_ORDINAL}|[1-9]|[a-h])(?:{_GAP}one)?{_EDGE}$",
    )
)
