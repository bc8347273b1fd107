"""The one shape that every published format is read into.

A reader turns a file into a stream of :class:`Conversation` and :class:`Skip`. Neither knows where pictures are kept:
an image is a *name*, looked up in the image store that the recipe gives the source. Records are frozen; every station
makes new ones. They are msgspec structs outside the garbage collector's care because a full blend holds half a million.
"""

from msgspec import Struct


class Turn(Struct, frozen=True, gc=False):
    """One round: images newly shown, then a question, then its answer.

    References to images inside the texts count the images of this conversation alone, from 1, in the order shown
    ("image 2" is the second image of the conversation); the blend rewrites them when it puts other images before.
    """

    #: names of the images shown with this turn, in order; empty when the turn is about earlier images, or about none
    images: tuple[str, ...]
    question: str
    answer: str
    #: index, in :attr:`Conversation.records`, of the file's record that this turn was read from
    record: int = 0


class Record(Struct, frozen=True, gc=False):
    """One entry of an annotation file, as the ledger accounts for it."""

    #: 0-based place in the file
    index: int
    #: the entry's own id as text; its place in the file when it has none
    id: str


class Conversation(Struct, frozen=True, gc=False):
    """One conversation, read from one record of a file, or from several that belong together."""

    turns: tuple[Turn, ...]
    records: tuple[Record, ...]
    #: False when the turns stand beside each other and may be asked in any order (MIMIC-IT); the first turn shows
    #: all images then
    ordered: bool = True


class Skip(Struct, frozen=True, gc=False):
    """A record that cannot be used, and why."""

    record: Record
    #: a word for counting, such as ``odd_turns``
    reason: str
    #: a sentence for reading, such as "5 turns: the last question has no answer"
    detail: str
