"""Spellings that may refer to an image and are not rewritten: "Image-1", "Image I", "figure 2", "1st screenshot".

They make a record not renumberable, however many images it has.
"""

import re
from collections.abc import Iterator

from blender.data.references.context import NAMED
from blender.data.references.options import begins_options
from blender.data.references.reference import Reference
from blender.data.references.words import BLANK, CARDINALS, GAP, NUMERAL, ORDINAL, STEM, compiled

#: nouns that may mean an image when a number follows
MISSPELT = (
    "(?:imgae|iamge|imge|imaeg|imagae|iimage|imaage|pcture|piture|pciture|picure|pitcure|picutre|pictrue|pictuer"
    "|phto|pohto|phoot|foto)"
)
NUMBERED_LIKE = (
    f"(?:{MISSPELT}|screen[ -]?shot|img|figure|fig|frame|slide|thumbnail|scene|panel|plate|exhibit|subfigure)"
)
#: nouns that may mean an image after an ordinal; a frame or a panel may be a thing in the picture
ORDERED_LIKE = f"(?:{MISSPELT}|screen[ -]?shot|img|figure|thumbnail|illustration|slide)"
_OTHER_DIGIT = "[\u00b2\u00b3\u00b9\uff10-\uff19\u2460-\u2473\u2776-\u277f\u2160-\u216b]"
_WORD = f"(?:{'|'.join(CARDINALS)})"
_BEYOND = "(?:eleven|twelve|(?:thir|four|fif|six|seven|eigh|nine)teen|twenty|thirty)"
#: what begins with the noun
_PATTERNS = (
    # Image-1, image_b, image-two
    compiled(rf"{STEM}s?[-_–—~]+(?:[0-9]{{1,2}}|[a-h]|{_WORD})(?![0-9a-z])"),
    # image number #2, image no. (2), image No. two, image #one, image n°2, image ②
    compiled(
        rf"{STEM}s?{BLANK}{{1,2}}(?:(?:numbers?|num|nos?|nr|nbr|n)[ .:#(№-]{{0,4}}|n[°º]|#){BLANK}?"
        rf"(?:[0-9]{{1,2}}|{_WORD})(?![0-9a-z])"
    ),
    compiled(rf"{STEM}s?{BLANK}{{0,2}}{_OTHER_DIGIT}"),
    # Images: 1, 2; Image: 2 at the beginning of a sentence
    compiled(rf"{STEM}s{BLANK}?[:=]{BLANK}?[0-9]{{1,2}}(?![0-9a-z])"),
    compiled(rf"(?:(?<!.)|(?<=[.!?,;(\n])|(?<=[.!?,;] )){STEM}{BLANK}?[:=]{BLANK}?[0-9]{{1,2}}(?![0-9a-z%]){NAMED}"),
    # Picture A/B, photo a), image twelve
    compiled(rf"{STEM}s?{BLANK}{{1,2}}(?:(?-i:[A-H])(?=[/&])|[a-h](?=\))|{_BEYOND}{NAMED})"),
    # Img1, fig. 2, figure B, screenshot #3, slide two
    compiled(
        rf"{NUMBERED_LIKE}s?(?:(?<=fig)\.|(?<=figs)\.|(?<=img)\.)?(?:{BLANK}?[-_#(\[]{BLANK}?|{BLANK}{{1,2}}(?:(?:no|nr|number)\b\.?{BLANK}?|#)?)?"
        rf"(?:0*[0-9]{{1,2}}(?:(?<!3)d|[a-ce-h])?|(?<=[^a-z])(?:[a-h]|{_WORD}))(?![0-9a-z]|[.:/][0-9]){NAMED}"
    ),
    # ImageNo2, image_no_2, imageTwo, image_two
    compiled(rf"{STEM}s?[-_]?(?:no|num|nr|number|index|id|idx)[-_.]{{0,2}}[0-9]{{1,2}}(?![0-9a-z])"),
    compiled(rf"{STEM}(?-i:One|Two|Three|Four|Five|Six)(?![a-z])"),
    # the image labelled B, the image at position 2
    compiled(
        rf"{STEM}{GAP}(?:numbered|labell?ed|marked|(?:with{GAP})?(?:the{GAP})?(?:number|index|id|idx)"
        rf"|(?:at|in){GAP}(?:the{GAP})?(?:position|index|place|slot))(?:{BLANK}|[:#\"“'‘(])+"
        rf"(?:[0-9]{{1,2}}|(?-i:[A-H])|{_WORD})(?![0-9a-z])"
    ),
    # Image I, Picture II, imageA
    compiled(
        rf"(?:{STEM}|{NUMBERED_LIKE})s?(?:(?:{BLANK}{{1,2}}|[-_])"
        r"(?:(?:ii|iii|iv|vi{0,3}|ix)(?![\w'’-])|i(?=[:.;)\]?!]|\Z|[ ](?:is|shows|has|and|or|vs|versus|to)\b))"
        r"|(?-i:[A-H])(?![\w'’-]))"
    ),
)
#: 1st screenshot
_ORDERED = compiled(rf"{ORDERED_LIKE}s?(?![\w-])")
_ORDINAL_BEFORE = compiled(rf"(?<![\w-]){ORDINAL}{GAP}\Z")
#: first-image, before-picture
_HYPHENATED = compiled(
    rf"(?<![\w-])(?:{ORDINAL}|{NUMERAL}|before|after|left|right)-{STEM}s?(?![\w-])|\b{STEM}-(?:pair|set|series)s?\b"
)


#: second_image, the #2 image, the number two picture, the "B" image
_BEFORE_IT = compiled(
    rf"(?<![a-z0-9]){ORDINAL}_{STEM}s?(?![a-z0-9])"
    rf"|(?<![\w-])(?:#{BLANK}?|(?:no|nr)\b\.?{BLANK}?|number{BLANK})(?:[0-9]{{1,2}}|{_WORD}){BLANK}{STEM}(?![\w-])"
    rf"|(?<=the )[\"“'‘]?(?-i:[A-H])[\"”'’]?{BLANK}{STEM}s?(?![\w-])"
)


#: case is left to the text, since a pattern without is found much faster
_NOUNS = re.compile(rf"(?<![a-z0-9])(?:{STEM}|{NUMBERED_LIKE}|{ORDERED_LIKE})")


def spelled(text: str, several: bool) -> Iterator[Reference]:
    """Find spellings that may refer to an image.

    Args:
        text: A question or an answer.
        several: Whether its record has several images.
    """
    for noun in _NOUNS.finditer(_small(text)):
        found = next(filter(None, (pattern.match(text, noun.start()) for pattern in _PATTERNS)), None)
        if not several and _is_prose(text, noun):
            continue
        if found:
            yield Reference(found.start(), found.end(), reason="spelling")
        elif ordered := _ORDERED.match(text, noun.start()):
            reach = max(0, noun.start() - 20)
            if ordinal := _ORDINAL_BEFORE.search(text[reach : noun.start()]):
                yield Reference(reach + ordinal.start(), ordered.end(), reason="spelling")
    for found in (*(_HYPHENATED.finditer(text) if several else ()), *_BEFORE_IT.finditer(text)):
        yield Reference(found.start(), found.end(), reason="spelling")


#: in a picture: "a figure eight", "the second figure from the left"
_FIGURE_EIGHT = compiled(r"figure[ -](?:eight|8)s?\b")
_FIGURE_OF_SCENE = compiled(
    rf"(?:figure|slide){GAP}(?:from{GAP}the{GAP}(?:left|right)|wearing|standing|sitting|holding|walking|dressed|of{GAP}the"
    rf"|in{GAP}the{GAP}(?:row|line|group|front|back|background|foreground|middle))\b"
)


def _is_prose(text: str, noun: re.Match[str]) -> bool:
    """Whether a noun of a record with one image is a thing in the picture, or is followed by answers to choose from."""
    if _FIGURE_OF_SCENE.match(text, noun.start()) or begins_options(text, noun.start(), noun.end()):
        return True
    return _FIGURE_EIGHT.match(text, noun.start()) is not None and text[: noun.start()].endswith(("a ", "A "))


def _small(text: str) -> str:
    """Lower the case of a text without moving any character."""
    small = text.lower()
    return (
        small if len(small) == len(text) else "".join(letter.lower() if letter < "\x7f" else letter for letter in text)
    )
