"""What all readers share: numbering records, and skipping those that are no conversation.

A record that cannot be used is not an error of the file. The function that notices raises :class:`UnusableRecord`, and
the reader turns it into a :class:`~blender.data.records.Skip`, so that the record is counted with its reason.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from msgspec import Struct

from blender.core.characters import has_visible
from blender.data.records import Conversation, Record, Skip
from blender.data.sample import Turn
from blender.data.sources.media import foreign_mark

Entry = TypeVar("Entry")
#: names of the images in the order shown, and the turns that show them
Dialogue = tuple[Sequence[str], Sequence[Turn]]


class UnusableRecord(Exception):
    """A record that cannot be used; never leaves the readers.

    Args:
        reason: A word for counting.
        detail: A sentence for reading.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail


class Unread(Struct, frozen=True, gc=False):
    """A record that was not decoded, or names media that are not read; takes the place of the decoded record."""

    #: the id of the record, if it can be found
    name: str | int | None
    reason: str
    detail: str

    def own_id(self) -> str | int | None:
        """Return the id of the record."""
        return self.name


def as_read(entry: Entry | Unread) -> Entry:
    """Return a record that could be read.

    Raises:
        UnusableRecord: It could not.
    """
    if isinstance(entry, Unread):
        raise UnusableRecord(entry.reason, entry.detail)
    return entry


def require_own_marks(questions: Iterable[str], own: str = "") -> None:
    """Check that no question contains a placeholder for media that the format does not read.

    Raises:
        UnusableRecord: `unread_media`.
    """
    for number, question in enumerate(questions, start=1):
        if mark := foreign_mark(question, own):
            raise UnusableRecord(
                "unread_media", f'the question of round {number} holds the mark "{mark}", which is not read'
            )


class Numbering:
    """Assigns each record of a file its number and an id that is unique in the file."""

    def __init__(self) -> None:
        self._index = -1
        self._uses: dict[str, int] = {}

    def next(self, name: str | int | None) -> Record:
        """Number the next record; without a name its id is its number, a name used before gets `~2`, `~3`."""
        self._index += 1
        return Record(self._index, self._unused(str(self._index) if name is None or name == "" else str(name)))

    def many(self, names: Sequence[str | int | None]) -> tuple[list[int], list[str]]:
        """Number several records at once; return their numbers and their ids."""
        first, distinct = self._index + 1, set(names)
        texts = [name for name in names if type(name) is str]
        if len(distinct) == len(texts) == len(names) and "" not in distinct and self._uses.keys().isdisjoint(texts):
            self._uses |= dict.fromkeys(texts, 1)
            self._index += len(texts)
            return list(range(first, first + len(texts))), texts
        records = [self.next(name) for name in names]
        return [record.index for record in records], [record.id for record in records]

    def _unused(self, name: str) -> str:
        candidate = name
        while candidate in self._uses:
            self._uses[name] += 1
            candidate = f"{name}~{self._uses[name]}"
        self._uses[candidate] = 1
        return candidate


def conversations(
    entries: Iterable[Entry],
    name: Callable[[Entry], str | int | None],
    dialogue: Callable[[Entry], Dialogue],
    ordered: bool = True,
) -> Iterator[Conversation | Skip]:
    """Make one conversation, or one skip, of every entry.

    Args:
        entries: The file's records, decoded.
        name: Gives the id of an entry.
        dialogue: Gives the images and turns of an entry, or raises :class:`UnusableRecord`.
        ordered: Whether the turns follow on each other.
    """
    numbering = Numbering()
    for entry in entries:
        record = numbering.next(name(entry))
        yield converted(entry, record, dialogue, ordered)


def converted(
    entry: Entry, record: Record, dialogue: Callable[[Entry], Dialogue], ordered: bool = True
) -> Conversation | Skip:
    """Make one conversation, or one skip, as :func:`conversations` does."""
    try:
        images, turns = dialogue(entry)
        require_text(turns)
    except UnusableRecord as fault:
        return Skip(record, fault.reason, fault.detail)
    return Conversation(tuple(images), tuple(turns), (record,), ordered)


def require_text(turns: Sequence[Turn]) -> None:
    """Check that there are turns, and that each question and answer has visible characters.

    Raises:
        UnusableRecord: `no_turns` or `empty_text`.
    """
    if not turns:
        raise UnusableRecord("no_turns", "the conversation is empty")
    for turn in turns:
        if not has_visible(turn.question) or not has_visible(turn.answer):
            part = "answer" if has_visible(turn.question) else "question"
            raise UnusableRecord("empty_text", f"the {part} of round {turns.index(turn) + 1} is empty")


def require_names(images: Sequence[str]) -> None:
    """Check that no image name is empty.

    Raises:
        UnusableRecord: `image_name`.
    """
    if "" in images:
        raise UnusableRecord("image_name", f"the name of image {images.index('') + 1} is empty")
