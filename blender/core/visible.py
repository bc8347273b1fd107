r"""Show what a text from strangers holds and a screen would not show: escape sequences, direction marks and their like.

Control characters drive a terminal, direction marks have a line read in another order than it is stored, and some
characters show nothing at all. Whatever shows data shows these as Python writes them, ``\x1b`` or ``\u202e``. Line
breaks and tabs stay, and so do the joiners that scripts and emoji need.
"""

import re

#: control characters, marks of direction, separators, invisible characters, halves of surrogate pairs
_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u115f\u1160\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0"
    "\ufff9-\ufffb\ufdd0-\ufdef\ufffe\uffff\ud800-\udfff\U000e0000-\U000e00ff]"
)


def visible(text: str) -> str:
    """Return a text with everything hidden in it written out."""
    if text.isascii() and text.isprintable():
        return text
    return _HIDDEN.sub(lambda found: _written(ord(found[0])), text)


def visible_json(text: str) -> str:
    """Return JSON of the same value whose hidden characters are JSON's own escapes; control characters are anyway."""
    return _HIDDEN.sub(lambda found: _in_json(ord(found[0])), text)


def _written(code: int) -> str:
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _in_json(code: int) -> str:
    # beyond the first plane, JSON writes two halves
    high, low = 0xD800 + ((code - 0x10000) >> 10), 0xDC00 + (code & 0x3FF)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\u{high:04x}\\u{low:04x}"
