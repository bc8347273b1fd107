"""A noun for images, and the text around it."""

import re
from dataclasses import dataclass
from functools import cached_property

from blender.data.references.reference import Reason, Reference
from blender.data.references.words import GAP, STEM, compiled

NOUN = compiled(rf"(?<![\w-])(?P<stem>{STEM})(?P<plural>s|\(s\)|{GAP}or{GAP}(?P=stem)s)?(?![a-z_]|-[a-z])")
#: how many characters before a noun a phrase may reach
_REACH = 100


@dataclass(frozen=True)
class Noun:
    """A noun for images, and the text around it."""

    text: str
    match: re.Match[str]
    #: how many images the record has shown
    num_images: int
    #: whether the record shows several images, now or later
    several: bool
    #: whether some image of the text is named by a letter from B on
    lettered: bool = False
    #: some of its images, named earlier in the text
    named: frozenset[int] = frozenset()

    @property
    def end(self) -> int:
        """Where in the text the noun ends."""
        return self.match.end()

    @property
    def plural(self) -> bool:
        """Whether it is written so."""
        return self.match["plural"] is not None

    @cached_property
    def before(self) -> str:
        """The text before the noun, as far as a phrase may reach."""
        return self.text[max(0, self.match.start() - _REACH) : self.match.start()]

    def start(self, phrase: re.Match[str] | None = None) -> int:
        """Where in the text the noun begins, or a phrase found in ``before``."""
        return self.match.start() - (len(self.before) - phrase.start() if phrase else 0)

    def unclear(self, reason: Reason, phrase: re.Match[str] | None = None, end: int | None = None) -> Reference:
        """Return a reference that cannot be renumbered."""
        return Reference(self.start(phrase), end or self.end, reason=reason)

    def unclear_if_several(
        self, reason: Reason, phrase: re.Match[str] | None = None, end: int | None = None
    ) -> Reference | None:
        """Return a reference that cannot be renumbered; None in a record of one image, where the phrase is prose."""
        return self.unclear(reason, phrase, end) if self.several else None

    def called(self, several: bool, capital: bool) -> str:
        """Return the noun, singular or plural, as the start of the rewritten phrase."""
        stem = self.match["stem"]
        noun = stem + ("S" if stem.isupper() else "s") * several
        return noun[0].upper() + noun[1:] if capital else noun
