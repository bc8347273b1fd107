"""Words that may point at one of several images and are in no understood reference: "the other", "which one", "A".

They are looked for in records of several images, and in texts that count the one image of their record. The record
stays renumberable only if each of these words is in a phrase that is known to be harmless ("at first", "two dogs",
"each other", "one of images 3 and 4").
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from blender.data.references.harmless import HARMLESS, HEADS, ORDERS, TAKEN
from blender.data.references.reference import Reason, Reference
from blender.data.references.words import BLANK, GAP, LIKE_AN_IMAGE, NUMERAL, SIDE, VERBS, compiled, listed

_STATED = "(?:has|have|had|shows?|contains?|features?|depicts?|makes?|includes?|would show)"

_TO_NINTH = "(?:first|second|third|(?:four|fif|six|seven|eigh|nin)th)"


class _CueKind(NamedTuple):
    reason: Reason
    pattern: str
    #: where the word is harmless: in a "sentence" or "text" with an understood reference, or behind a "plural" noun
    beside: str = ""


_KINDS = (
    _CueKind("ordinal", rf"{ORDERS}(?![\w])|(?:firstly|secondly|thirdly|lastly)\b"
        rf"|(?:before|after)(?=[:,.;?!]|\Z|{BLANK}?/|{GAP}(?:and|vs\.?|or){GAP}after\b)|(?:the|and){GAP}(?:before|after)\b"
        rf"|then{GAP}and{GAP}now\b"),
    _CueKind("ordinal", rf"(?:eleventh|twelfth|[a-z]{{3,5}}teenth|twentieth|(?:twenty|thirty)-{_TO_NINTH})\b"),
    _CueKind("ordinal", r"(?-i:II|III|IV|VI{0,3})(?![\w'’-])|(?:i{1,3}|iv|v)(?=\))"),
    _CueKind("letter", rf"(?-i:A)(?={GAP}(?:{VERBS}|and|or|vs)\b"
        rf"|[):,.](?:\s|\Z)|{BLANK}?[=–—>]|{BLANK}-{BLANK}|[\"'’”*]|\Z)|(?<=\()[a-h](?=\))"),
    # an order: BCAD, 2143
    _CueKind("letter", r"(?-i:[A-H]{2,8})(?=\.?\Z)|(?<!.)[1-8]{3,8}(?=\.?\Z)"),
    _CueKind("letter", r"(?-i:[B-HJ-Zb-hj-z])(?![\w'’-]|\.\w)"),
    _CueKind("count", rf"{NUMERAL}{GAP}(?:in|on|at|near|to|by){GAP}the{GAP}(?:far{GAP})?{SIDE}\b", "sentence"),
    _CueKind("count", rf"(?!0(?![0-9]))(?:[0-9]{{1,2}}(?![0-9%])|{NUMERAL}(?![\w-])|[a-z]{{1,12}}[0-9]{{1,2}}(?!\w))"),
    _CueKind("side", rf"(?:left|right)most\b|(?:left|right){GAP}ones?\b|{SIDE}(?=[:)])|(?<!.){SIDE}(?=[.!]?\s*\Z)"),
    _CueKind("side", rf"(?:left|right)(?={GAP}[a-z]+(?:{GAP}(?:{VERBS})\b|:))", "sentence"),
    _CueKind("side", rf"(?:on|to|at|in|from|the){GAP}(?:the{GAP})?(?:far{GAP}|very{GAP})?{SIDE}(?![\w-])", "sentence"),
    _CueKind("holder", r"which\b", "sentence"),
    _CueKind(
        "holder",
        r"(?:both|either|neither|each|every|others?|another|ones|none|respectively|rest|everything|except|excluding)\b"
        rf"|(?:all|any|anything|nothing|everyone|nobody){GAP}but\b"
        rf"|(?:all|any|some|most|few|several){GAP}(?:of{GAP}(?:them|these|those|which)|{VERBS})\b|all(?=[,.;:?!]|\Z)"
        rf"|the{GAP}{LIKE_AN_IMAGE}{GAP}(?:{NUMERAL}|above|below|before|after)"
        rf"|(?:the|these|this){GAP}(?:pairs?|sequence|series)\b|half{GAP}(?:of|{VERBS})\b|odd{GAP}(?:one|man){GAP}out\b"
        rf"|in{GAP}(?:total|all(?=[,.;:?!]|\Z))|(?:altogether|combined|overall)(?=[,.;:?!]|\Z)"
        rf"|the{GAP}(?:original|(?:[a-z-]+{GAP})?version)\b|(?:in{GAP})?(?:(?:that|this|the|reverse|which){GAP})?order(?=[,.;:?!]|\Z)",
    ),
    _CueKind("holder", r"(?:they|them|their|theirs|these|those|together)\b", "plural"),
    _CueKind(
        "comparison",
        r"(?:than|compar(?:e|es|ed|ing|ison|isons)|differ|differs|difference|differences|similar|similarity|similarities"
        r"|dissimilar|alike|contrast|contrasts|versus|vs|unlike|likewise|identical|same|changed?|changes|changing|related?"
        r"|no longer|fewer|similarly|any ?more)\b"
        rf"|(?:different|(?:more|less|most|least){GAP}[a-z]+|match|better|worse|best|worst|(?:bright|dark|light|bigg|larg|small"
        rf"|tall|old|new|warm|cold|busi|clos|happi|great|high|low)(?:er|est)|in{GAP}common"
        rf"|gone|missing|new|now|removed|added|(?:dis)?appeared|moved|left)"
        rf"(?=[?.,;!]|\Z|{GAP}(?:one|than|now|here|there)\b)"
        rf"|(?:has|have){GAP}(?:gone|left|moved|arrived|come|(?:dis)?appeared)\b|now{GAP}(?:there|it|the|a|an|he|she)\b",
        "text",
    ),
)  # fmt: skip
_ANY_KIND = compiled("|".join(f"(?P<kind{number}>{kind.pattern})" for number, kind in enumerate(_KINDS)))
#: every word that a cue or a harmless phrase may begin with, except digits, single letters and "21st"
_FIRST_WORDS = frozenset(
    listed("""
    first second third fourth fifth sixth seventh eighth ninth tenth last final latest most previous prior
    preceding next remaining penultimate initial subsequent former latter odd even firstly secondly thirdly
    lastly before after ii iii iv vi vii viii one two three four five six seven eight nine ten eleven twelve
    thirteen fourteen fifteen sixteen seventeen eighteen nineteen twenty thirty forty fifty left leftmost right
    rightmost top bottom upper lower middle centre center central on to at in from the which both either neither
    each every other others another ones none respectively rest everything all any some few several this these
    those they them their theirs together than compare compares compared comparing comparison comparisons differ
    differs difference differences different similar similarity similarities dissimilar alike contrast contrasts
    versus vs unlike likewise identical same change changed changes changing relate related more less least
    match better worse best worst brighter brightest darker darkest lighter lightest bigger biggest larger
    largest smaller smallest taller tallest older oldest newer newest warmer warmest colder coldest busier
    busiest closer closest except excluding anything nothing everyone nobody happier happiest greater greatest
    higher highest lowest eleventh twelfth thirteenth fourteenth fifteenth sixteenth seventeenth eighteenth
    nineteenth twentieth then and i v half odd total altogether combined overall original order fewer similarly
    anymore gone missing new now removed added appeared disappeared moved has have
    """)
) | frozenset(HEADS)
_WORD = re.compile(r"(?<![\w'’\\-])[A-Za-z0-9]+", re.ASCII)
_SENTENCE = re.compile(r"(?:[^.!?\n]|[.!?](?=[^\s\"”’')\]]))+")
_COUNTED = compiled(rf"(?:{_STATED}|, with){GAP}\Z")
_COUNT = compiled(rf"(?:{NUMERAL}|none)(?=[,.;:?!]|\Z|{GAP}(?:and|or|but|while|whereas|in|on|as|together|too|so)\b)")
_PLURAL_NOUN = compiled(
    rf"{TAKEN}|(?<!\bwhat )(?<!\bwho )(?<!\bthat )(?<!\bwhich )(?<!\bit )(?<!\bhe )(?<!\bshe )(?<!\bthis )"
    r"\b(?:people|men|women|children|sheep|fish|and|everyone|couple|family|group|team|crowd"
    r"|(?!(?:is|was|has|does|this|its|his|us|as|yes|always|across|perhaps|sometimes|towards|besides|images|pictures|photos"
    r"|photographs|pics|snapshots|describes|shows|depicts|compares)\b)[a-z]{2,29}[a-rt-z]s)\b"
)


def find_cues(text: str, understood: list[Reference], several: bool) -> Iterator[Reference]:
    """Find the words that may point at an image and are in no understood reference.

    Args:
        text: A text of a record with several images, or one that refers to its image by number or order.
        understood: Its references.
        several: Whether the record has several images; in a record of one, numbers and letters count only in a
            sentence with a reference.
    """
    rest = _without(text, understood)
    named = _PLURAL_NOUN.search(rest)
    plural_from = named.start() if named else len(rest)
    for sentence in _SENTENCE.finditer(rest):
        beside = "sentence text" if TAKEN in sentence[0] else "text" if understood else ""
        done = sentence.start()
        for word in _WORD.finditer(rest, sentence.start(), sentence.end()):
            if word.start() < done or not _may_begin(word[0]):
                continue
            if harmless := HARMLESS.match(rest, word.start()):
                done = max(harmless.end(), word.end())
                continue
            behind = f"{beside} plural" if plural_from < word.start() else beside
            found = _cue_at(rest, word.start(), behind)
            if found and (several or "sentence" in beside or found.reason not in ("count", "letter")):
                yield found


def _may_begin(word: str) -> bool:
    return (
        word[0].isdigit()
        or word[-1].isdigit()
        or len(word) == 1
        or word.lower() in _FIRST_WORDS
        or (len(word) <= 8 and word.isupper() and set(word) <= set("ABCDEFGH"))
        or word[-2:].lower() in ("st", "nd", "rd", "th")
    )


def _cue_at(text: str, start: int, beside: str) -> Reference | None:
    found = _ANY_KIND.match(text, start)
    if found is None or found.lastgroup is None:
        return None
    kind = _KINDS[int(found.lastgroup.removeprefix("kind"))]
    if (kind.beside and kind.beside in beside) or _is_count(text, start):
        return None
    return Reference(start, found.end(), reason=kind.reason)


def _is_count(text: str, start: int) -> bool:
    """Whether a number is a quantity: "image 3 has two"."""
    return _COUNT.match(text, start) is not None and _COUNTED.search(text[max(0, start - 20) : start]) is not None


def _without(text: str, understood: list[Reference]) -> str:
    """Replace every character of the understood references by ``TAKEN``."""
    pieces, done = [], 0
    text = text.replace(TAKEN, " ")
    for reference in understood:
        pieces += [text[done : reference.start], TAKEN * (reference.end - reference.start)]
        done = reference.end
    return "".join([*pieces, text[done:]])
