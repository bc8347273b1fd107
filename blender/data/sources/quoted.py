"""Tell tags that a text mentions, as texts about HTML and programs do, from placeholders for media.

"What does ``<video>`` do in HTML?" shows no video. In doubt a tag is a placeholder: a record that is skipped with its
reason is better than a question about a video that nobody sees.
"""

import re
from collections.abc import Iterator

#: characters on each side that say what a tag is
_NEAR = 200
_NAMED_BEHIND = re.compile(r"[`'\"”’]?\s+(?:tags?|elements?)\b", re.IGNORECASE)
_NAMED_BEFORE = re.compile(r"\b(?:tags?|elements?)\s+(?:named\s+|called\s+)?[`'\"“‘]?\Z", re.IGNORECASE)
_TYPE = re.compile(r"<[A-Z][a-z]+>")
#: a type with parameters begins with a capital: ``List<Image>``
_BEFORE_PARAMETER = re.compile(r"\b[A-Z]\w*\Z")
_MARKUP = re.compile(r"\b(?:x?html5?|xml|svg|dom)\b", re.IGNORECASE)
#: what may be beside a mark on a line of its own
_BLANK_LINE = re.compile(r"[ \t]*(?:\n|\Z)")


def unquoted(text: str, pattern: re.Pattern[str]) -> Iterator[re.Match[str]]:
    """Yield the tags of a text that it does not only mention, in time proportional to its length.

    Args:
        text: The text.
        pattern: Finds tags.
    """
    num_fences, at, is_of_markup = 0, 0, None
    for tag in pattern.finditer(text):
        num_fences += text.count("```", at, tag.start())
        at = tag.start()
        if num_fences % 2 or is_named(text, tag):
            continue
        if is_of_markup is None:
            is_of_markup = bool(_MARKUP.search(text))
        if not is_of_markup or _is_alone(text, tag):
            yield tag


def is_named(text: str, tag: re.Match[str]) -> bool:
    """Tell whether a tag is mentioned: named as a tag by the words beside it, or the parameter of a type."""
    before, after = _beside(text, tag)
    if before.endswith("`") and after.startswith("`"):
        return True
    opened = re.fullmatch(r"</(\w+)[ ]?>", tag[0])
    if opened and re.search(rf"<{opened[1]}\s+\w", before):
        return True
    if _TYPE.fullmatch(tag[0]) and _BEFORE_PARAMETER.search(before):
        return True
    return bool(_NAMED_BEHIND.match(after) or _NAMED_BEFORE.search(before))


def _is_alone(text: str, tag: re.Match[str]) -> bool:
    """Tell whether a tag is on a line of its own, or at an edge of the text."""
    before, after = _beside(text, tag)
    return not before.rpartition("\n")[2].strip() or bool(_BLANK_LINE.match(after))


def _beside(text: str, tag: re.Match[str]) -> tuple[str, str]:
    return text[max(0, tag.start() - _NEAR) : tag.start()], text[tag.end() : tag.end() + _NEAR]
