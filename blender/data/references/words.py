"""Pieces of patterns: the words that references consist of."""

import re

CARDINALS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
_ORDINALS = ["first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth"]
#: the number of "last", "final" and "latest", until the number of images is known
LAST = -1
_NUMBERS = {word: number for words in (CARDINALS, _ORDINALS, "abcdefgh") for number, word in enumerate(words, 1)}

# white space is spelled out, and \w and \b stay out of the prefilter: Python and Rust take other characters for words
BLANK = "[ \t\u00a0]"
GAP = f"(?:{BLANK}{{1,2}}|\r?\n)"
STEM = "(?:image|picture|photograph|photo|pic|snapshot)"
GIVEN = "(?:given|provided|shown|displayed|attached|uploaded|input|presented|supplied|sample|above|following)"
COUNT = f"(?:{'|'.join(CARDINALS[1:])}|[1-9][0-9]?)"
ORDINAL = f"(?:{'|'.join(_ORDINALS)}|[0-9]{{1,3}}(?:st|nd|rd|th)|last|final|latest|most{GAP}recent)"
SIDE = "(?:(?:left|right)(?:most|-hand|-side)?|top|bottom|upper|lower|middle|cent(?:er|re|ral))"
AROUND = (
    "(?:previous|prior|preceding|earlier|later|next|remaining|penultimate|initial|subsequent|ensuing|succeeding|successive"
    "|consecutive|intermediate|opening|closing|starting|ending|adjacent|neighbou?ring|upcoming|coming"
    "|eleventh|twelfth|(?:thir|four|fif|six|seven|eigh|nine)teenth|twentieth"
    "|(?:twenty|thirty)-(?:first|second|third|(?:four|fif|six|seven|eigh|nin)th)"
    "|(?:odd|even)(?:-numbered)?|(?:second|third|next)(?:[ -]to)?[ -](?:the[ -])?last)"
)
#: after an ordinal or "the other" and before "of images": some of several
PORTION = "(?:pair|set|group|couple|half|halves|third|quarter|batch|row|column|series|trio|bunch|part|portion)s?"
VERBS = (
    "is are was were has have had do does did can could would should may might will must isn['’]t aren['’]t wasn['’]t "
    "doesn['’]t don['’]t can['’]t cannot "
    "seems? appears? looks? shows? depicts? features? contains? displays? portrays? presents? illustrates? captures? "
    "represents? suggests? includes? showcases? reveals? highlights? demonstrates? conveys? indicates? involves? "
    "provides? exhibits? emphasi[sz]es? evokes? reflects? offers? shares? differs? gives? focus(?:es)? focuss?es "
    "holds? stands? sits? lies carries wears? brings? creates? uses? makes? takes? comes? goes belongs? consists? "
    "lacks? adds? tells? describes? symboli[sz]es? serves? hints? implies imply remains? becomes? gets? needs? "
    "resembles? matches match lets? helps? works? fits? appeals? stems? exudes? embodies boasts? visuali[sz]es?"
).replace(" ", "|")
CONNECTIVES = (
    "and or but nor while whereas if because so in on at of from to for with without by as than that which who whose "
    "where when versus vs not only also both respectively together alone i you we they it he she then instead rather"
).replace(" ", "|")
#: a cardinal, also one that no record reaches
NUMERAL = (
    f"(?:{'|'.join(CARDINALS)}|eleven|twelve|thirteen|fourteen|fifteen|sixteen|seventeen|eighteen|nineteen|twenty"
    "|thirty|forty|fifty|[0-9]{1,2})"
)
#: words that cannot be a thing that is counted or described
FUNCTION = (
    f"(?:{VERBS}|{CONNECTIVES}|the|an?|this|these|those|its|his|her|hers|their|theirs|my|your|our|be|been|being|am|there"
    "|here|too|just|even|still|now|what|why|how|whom|into|onto|about|above|below|under|over|near|behind|between|against"
    "|before|after|during|across|along|around|through|such|no|yes|very|more|less|most|least|again|already|them|him|us|me"
    "|it['’]s|clearly|mostly|all|each|every|other|others|another|ones?|any|some|none|neither|either)"
)
#: the nouns for what an image shows or may be called; alone they are prose, numbered or ordered they may be images
LIKE_AN_IMAGE = (
    "(?:screen ?shots?|imgs?|artworks?|posters?|cartoons?|comics?|advertisements?|logos?"
    "|figures?|figs?|frames?|slides?|panels?|scenes?|shots?|views?|illustrations?"
    "|thumbnails?|selfies?|portraits?|drawings?|paintings?|diagrams?|charts?|graphs?|maps?|pages?|documents?|clips?|videos?|memes?"
    "|renderings?|sketch(?:es)?|visuals?|depictions?|settings?|examples?|instances?|versions?|cases?|samples?|options?"
    "|choices?|halves|half|sets?|pairs?|groups?)"
)


def listed(words: str) -> list[str]:
    """Split words at white space, without repetitions."""
    return list(dict.fromkeys(words.split()))


def compiled(pattern: str) -> re.Pattern[str]:
    """Compile a pattern for texts in either case."""
    # ASCII, because without it Python also takes the Turkish dotless i for an i, and Rust does not
    return re.compile(pattern, re.IGNORECASE | re.ASCII)


def number_of(word: str) -> int:
    """Return the number of a digit, letter, cardinal or ordinal; :data:`LAST` for "last" and the like."""
    digits = word.rstrip("stndrhSTNDRH")
    return int(digits) if digits.isdigit() else _NUMBERS.get(word.lower(), LAST)
