"""Options of a multiple-choice question right after a noun: "What is in the image A. cat B. dog"."""

from blender.data.references.words import BLANK, GAP, STEM, compiled

_DETERMINED = compiled(rf"\b(?:the|this|that|given){GAP}(?:[a-z]+{GAP})?\Z")
_FIRST = compiled(rf"{BLANK}{{1,2}}(?P<open>[(\[]?)(?P<mark>[a1])(?P<close>[.):\]])(?=\s)")
_NUMBERED = compiled(rf"\b{STEM}s?{BLANK}{{0,2}}\Z")
_SECOND = {"a": "b", "A": "B", "1": "2"}
#: how far off the second answer may be
_REACH = 300


def begins_options(text: str, start: int, end: int) -> bool:
    """Whether the letter or number after the noun at ``start`` to ``end`` labels the first of several options."""
    first = _FIRST.match(text, end)
    if first is None or not _DETERMINED.search(text[max(0, start - 40) : start]):
        return False
    second = f"{first['open']}{_SECOND[first['mark']]}{first['close']}"
    at = text.find(second, first.end(), first.end() + _REACH)
    return at > 0 and text[at - 1] in " \t,;\n" and not _NUMBERED.search(text[max(0, at - 20) : at])
