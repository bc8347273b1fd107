"""Which characters of a text can be seen, and which do harm.

A text may be full of characters and show nothing: zero-width spaces, a byte order mark, fillers that are letters by
their Unicode category and blank by their look. Nobody can read such an answer, so it counts as empty.
"""

import re

#: blank by their look, though Unicode calls them letters, marks or symbols: combining grapheme joiner, Hangul fillers,
#: Khmer inherent vowels, Mongolian and other variation selectors, Braille blank, object replacement, null notehead
_BLANK = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0\ufffc\U0001d159").union(
    map(chr, range(0xFE00, 0xFE10)), map(chr, range(0xE0100, 0xE01F0))
)

#: control characters that no text needs: all of C0 but tab and line breaks, and DEL; and Unicode's noncharacters
CONTROL = "[\0-\x08\x0b\x0e-\x1f\x7f\ufdd0-\ufdef\ufffe\uffff]"
_CONTROL = re.compile(CONTROL)


def has_visible(text: str) -> bool:
    """Tell whether a text has a character that can be seen.

    Spaces, control and format characters (Unicode categories Z and C) cannot, nor can those in them that are blank.
    """
    # most texts begin with a letter of ASCII
    if "!" <= text[:1] <= "~":
        return True
    return any(character.isprintable() and character != " " and character not in _BLANK for character in text)


def find_control(text: str) -> re.Match[str] | None:
    """Find the first control character that no text needs."""
    return _CONTROL.search(text)
