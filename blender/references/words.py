"""The words that references are made of, as pieces of patterns."""

import re

CARDINALS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
_ORDINALS = ["first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth"]
#: what "last", "final" and "latest" are worth: the number of images is known later
LAST = -1
_WORTH = {word: number for words in (CARDINALS, _ORDINALS, "abcdefgh") for number, word in enumerate(words, 1)}

# white space is spelled out, and \w and \b stay out of the sieve: they mean different characters to Python and to Rust
BLANK = "[ \t\u00a0]"
GAP = f"(?:{BLANK}{{1,2}}|\r?\n)"
STEM = "(?:image|picture|photograph|photo|pic|snapshot)"
GIVEN = "(?:given|provided|shown|displayed|attached|uploaded|input|presented|supplied|sample|above|following)"
COUNT = f"(?:{'|'.join(CARDINALS[1:])}|[1-9][0-9]?)"
ORDINAL = f"(?:{'|'.join(_ORDINALS)}|[0-9]{{1,3}}(?:st|nd|rd|th)|last|final|latest|most{GAP}recent)"
SIDE = "(?:(?:left|right)(?:most|-hand|-side)?|top|bottom|upper|lower|middle|cent(?:er|re|ral))"
AROUND = (
    "(?:previous|prior|preceding|earlier|next|remaining|penultimate"
    "|(?:second|third|next)(?:[ -]to)?[ -](?:the[ -])?last)"
)
VERBS = (
    "is are was were has have had do does did can could would should may might will must seems? appears? looks? shows? "
    "depicts? features? contains? displays? portrays? presents? illustrates? captures? represents? suggests? includes? "
    "showcases? reveals? highlights? demonstrates? conveys? indicates? involves? provides? exhibits? emphasi[sz]es? "
    "evokes? reflects? offers? shares? differs?"
).replace(" ", "|")
CONNECTIVES = (
    "and or but nor while whereas if because so in on at of from to for with without by as than that which who whose "
    "where when versus vs not only also both respectively together alone i you we they it he she then instead rather"
).replace(" ", "|")
#: what may stand around an answer that is nothing but a reference
EDGE = "[ \t\r\n\"'“”‘’()\\[\\].!*]*"
INTO = "in|of|from|than|to|with|by|for|on|and|or|only"


def compiled(pattern: str) -> re.Pattern[str]:
    """Compile a pattern for texts in either case."""
    # ASCII, because without it Python also takes the Turkish dotless i for an i, and Rust does not
    return re.compile(pattern, re.IGNORECASE | re.ASCII)


def worth(word: str) -> int:
    """The number that a digit, letter, cardinal or ordinal stands for."""
    digits = word.rstrip("stndrhSTNDRH")
    return int(digits) if digits.isdigit() else _WORTH.get(word.lower(), LAST)
