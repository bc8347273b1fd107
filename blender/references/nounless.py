"""The few references without a noun: "the second one"."""

from collections.abc import Iterator

from blender.references.reference import Reference
from blender.references.words import EDGE, GAP, INTO, ORDINAL, VERBS, compiled, worth

_NOUNLESS = compiled(
    rf"\bthe{GAP}(?:{ORDINAL}|other|left|right){GAP}ones?\b"
    rf"|\bthe{GAP}{ORDINAL}{GAP}(?:{VERBS})\b"
    rf"|\b(?:{INTO}){GAP}the{GAP}{ORDINAL}(?=[,.;:?!)]|\Z)"
    rf"|\A{EDGE}(?:the{GAP})?(?:{ORDINAL}|(?P<bare>[1-9]|[a-h]))(?:{GAP}one)?{EDGE}\Z"
)


def nounless(text: str, num_images: int) -> Iterator[Reference]:
    """Find "the second one", "in the first,", and answers that are nothing but an ordinal, a number or a letter."""
    for found in _NOUNLESS.finditer(text) if num_images > 1 else ():
        if not found["bare"] or worth(found["bare"]) <= num_images:
            yield Reference(found.start(), found.end())
