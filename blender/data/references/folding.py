"""The visible text: without markup, entities and invisible characters, which would hide a reference from patterns.

"Image **2**", "Image&nbsp;2" and "Image ２" all refer to image 2, and so does "Image 2" with an invisible character
inside. References are found in the visible text and then looked up in the original. A reference that reads the same in
both can be rewritten; any other makes its record not renumberable.
"""

import re
import unicodedata
from dataclasses import dataclass
from html import unescape

from blender.data.references.reference import Reference

_HIDDEN = (
    "\u00ad\u034f\u061c\u180b-\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0e\ufeff\U000e0000-\U000e0fff"
)
_SPACES = "\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
#: digits and letters in other forms, with the brackets and the number sign of the same block
_FORMS = "\u2160-\u217f\u2460-\u24ff\u2776-\u2793\uff03\uff08\uff09\uff10-\uff19\uff21-\uff3a\uff41-\uff5a"
_FORMS += "\U0001d400-\U0001d7ff\U0001f100-\U0001f169"
#: matches every text that changes when it is folded, and some others; means the same to Python and to polars
FOLDABLE = f"[{_HIDDEN}{_SPACES}{_FORMS}*_]|[ \t]{{3}}|&[#a-zA-Z]|<[/a-zA-Z]"
_FOLDABLE = re.compile(FOLDABLE)
_PIECE = re.compile(
    rf"(?P<nothing>[{_HIDDEN}]|</?(?:b|i|u|s|em|strong|mark|sup|sub|span|font|code|a)(?:\s[^<>]{{0,99}})?>"
    r"|(?<=\S)\*{1,3}|\*{1,3}(?=\S)|(?<![^\W_])_{1,3}(?=[^\W_])|(?<=[\w.:])_{1,3}(?![^\W_]))"
    rf"|(?P<blank>[{_SPACES}]|[ \t]{{3,}})|(?P<line></?(?:br|p|div|tr|td|th|li|h[1-6])(?:\s[^<>]{{0,99}})?/?>)"
    rf"|(?P<form>[{_FORMS}])"
    r"|(?P<entity>&(?:\#[0-9]{1,7}|\#x[0-9a-f]{1,6}|[a-z]{2,8});)",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Folded:
    """The visible text, and the span of each of its characters in the original."""

    original: str
    text: str
    starts: list[int]
    ends: list[int]

    def unfold(self, reference: Reference) -> Reference:
        """Find a reference in the original text; one that is written in another way there cannot be rewritten."""
        start, end = self.starts[reference.start], self.ends[reference.end - 1]
        if self.original[start:end] == self.text[reference.start : reference.end] or reference.reason == "language":
            return Reference(start, end, reference.parts, reference.reason)
        return Reference(start, end, reason="spelling")


def fold(text: str) -> Folded | None:
    """Return the visible text; None if it is the text itself."""
    if not _FOLDABLE.search(text):
        return None
    pieces, starts, ends, done = list[str](), list[int](), list[int](), 0
    for match in _PIECE.finditer(text):
        seen = _seen(match)
        pieces += [text[done : match.start()], seen]
        starts += [*range(done, match.start()), *[match.start()] * len(seen)]
        ends += [*range(done + 1, match.start() + 1), *[match.end()] * len(seen)]
        done = match.end()
    starts += range(done, len(text))
    ends += range(done + 1, len(text) + 1)
    return Folded(text, "".join([*pieces, text[done:]]), starts, ends)


def _seen(match: re.Match[str]) -> str:
    """Return the visible form of markup, an entity or an unusual character."""
    if match["nothing"]:
        return ""
    if match["blank"]:
        return " "
    if match["line"]:
        return "\n"
    if match["form"]:
        return unicodedata.normalize("NFKC", match[0])
    seen = unescape(match[0])
    return " " if seen.isspace() else seen
