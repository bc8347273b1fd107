"""What the readers have in common: numbering records, and refusing those that are no conversation.

A record that cannot be used is no error. The function that finds out raises :class:`Unusable`, and the reader turns it
into a :class:`~blender.records.Skip`, so that the record is counted with its reason.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from msgspec import Struct

from blender.records import Conversation, Record, Skip, Turn
from blender.sources.media import foreign_mark
from blender.sources.options import ReadOptions

Entry = TypeVar("Entry")

_SYSTEM = "system"


class Unusable(Exception):
    """A record that cannot be used; never leaves the readers.

    Args:
        reason: A word for counting.
        detail: A sentence for reading.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True)
class Roles:
    """Who speaks, in a format's words."""

    asking: frozenset[str]
    answering: frozenset[str]


class Unread(Struct, frozen=True, gc=False):
    """Stands for a record that has another shape than its format's, or names media that are not read."""

    #: the id that the record bears, as far as it can be made out
    name: str | int | None
    reason: str
    detail: str

    def own_id(self) -> str | int | None:
        """Return the id that the record bears."""
        return self.name


def as_read(entry: Entry | Unread) -> Entry:
    """Return a record that could be read.

    Raises:
        Unusable: It could not.
    """
    if isinstance(entry, Unread):
        raise Unusable(entry.reason, entry.detail)
    return entry


def require_own_marks(questions: Iterable[str], own: str = "") -> None:
    """Check that no question holds a mark of media that the format does not read.

    Raises:
        Unusable: `unread_media`.
    """
    for number, question in enumerate(questions, start=1):
        if mark := foreign_mark(question, own):
            raise Unusable("unread_media", f'the question of round {number} holds the mark "{mark}", which is not read')


class Numbering:
    """Hands out the number and the id of each entry of one file, in order, with ids that are unique in it."""

    def __init__(self) -> None:
        self._index = -1
        self._uses: dict[str, int] = {}

    def next(self, name: str | int | None) -> Record:
        """Number the next entry; one without a name is called by its place, a name used before gets `~2`, `~3`."""
        self._index += 1
        return Record(self._index, self._unused(str(self._index) if name is None or name == "" else str(name)))

    def many(self, names: Sequence[str | int | None]) -> tuple[list[int], list[str]]:
        """Number some more entries at once; return their numbers and their ids."""
        first, found = self._index + 1, set(names)
        told = [name for name in names if type(name) is str]
        if len(found) == len(told) == len(names) and "" not in found and self._uses.keys().isdisjoint(told):
            self._uses |= dict.fromkeys(told, 1)
            self._index += len(told)
            return list(range(first, first + len(told))), told
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
    turns: Callable[[Entry], Sequence[Turn]],
    ordered: bool = True,
) -> Iterator[Conversation | Skip]:
    """Make one conversation, or one skip, of every entry.

    Args:
        entries: The file's records, decoded.
        name: Gives the id of an entry.
        turns: Gives the turns of an entry, or raises :class:`Unusable`.
        ordered: Whether the turns follow on each other.
    """
    numbering = Numbering()
    for entry in entries:
        record = numbering.next(name(entry))
        yield converted(entry, record, turns, ordered)


def converted(
    entry: Entry, record: Record, turns: Callable[[Entry], Sequence[Turn]], ordered: bool = True
) -> Conversation | Skip:
    """Make one conversation, or one skip, as :func:`conversations` does."""
    try:
        usable = tuple(turns(entry))
        require_text(usable)
    except Unusable as fault:
        return Skip(record, fault.reason, fault.detail)
    return Conversation(usable, (record,), ordered)


@dataclass(frozen=True)
class Spoken:
    """The messages of a record that make its rounds, and what stands before them."""

    #: indices of the messages, question and answer in turn
    places: Sequence[int]
    #: system text of the rounds that have one, by round
    systems: Mapping[int, str] = field(default_factory=dict)


def spoken(messages: Sequence[tuple[str, str]], roles: Roles, options: ReadOptions) -> Spoken:
    """Find the rounds of a record, and keep or drop what a recipe says of system messages and a leading answer.

    Args:
        messages: Role and text of each message.
        roles: Which roles ask and which answer.
        options: What the recipe says.

    Raises:
        Unusable: As :func:`require_rounds`; `unread_media`: a system text that stays holds a mark of media.
    """
    places = list(range(len(messages)))
    systems: dict[int, str] = {}
    if options.system != "skip":
        places, systems = _without_systems(messages)
    if options.leading_answer == "drop" and places and messages[places[0]][0] in roles.answering:
        places = places[1:]
        systems = _joined((max(0, at - 1), text) for at, text in systems.items())
    require_rounds([messages[place][0] for place in places], roles)
    if options.system != "keep" or not systems:
        return Spoken(places)
    for at in systems:
        if at % 2 or at == len(places):
            where = "the last answer" if at == len(places) else "a question"
            raise Unusable("roles_out_of_order", f"a system message stands right behind {where}")
    if mark := next(filter(None, map(foreign_mark, systems.values())), None):
        raise Unusable("unread_media", f'a system message holds the mark "{mark}", which is not read')
    return Spoken(places, {at // 2: text for at, text in systems.items()})


def _without_systems(messages: Sequence[tuple[str, str]]) -> tuple[list[int], dict[int, str]]:
    """Part system messages from the others; return the others' places, and the texts by how many stand before."""
    places: list[int] = []
    texts: list[tuple[int, str]] = []
    for place, (role, text) in enumerate(messages):
        if role != _SYSTEM:
            places.append(place)
        elif text.strip():
            texts.append((len(places), text.strip()))
    return places, _joined(texts)


def _joined(texts: Iterable[tuple[int, str]]) -> dict[int, str]:
    joined: dict[int, str] = {}
    for at, text in texts:
        joined[at] = f"{joined[at]}\n\n{text}" if at in joined else text
    return joined


def require_rounds(given: Sequence[str], roles: Roles) -> None:
    """Check that question and answer alternate, beginning with a question and ending with an answer.

    Raises:
        Unusable: `no_turns`, `system_turn`, `roles_out_of_order` or `odd_turns`.
    """
    if not given:
        raise Unusable("no_turns", "the conversation is empty")
    if given[0] == _SYSTEM:
        raise Unusable("system_turn", "the conversation starts with a system message")
    asking, answering = roles.asking, roles.answering
    if asking.issuperset(given[0::2]) and answering.issuperset(given[1::2]) and not len(given) % 2:  # nearly always so
        return
    for number, role in enumerate(given, start=1):
        if role not in (asking if number % 2 else answering):
            due = "a question" if number % 2 else "an answer"
            raise Unusable("roles_out_of_order", f'turn {number} should be {due}, but is by "{role}"')
    if len(given) % 2:
        raise Unusable("odd_turns", f"{len(given)} turns: the last question has no answer")


def require_text(turns: Sequence[Turn]) -> None:
    """Check that every round has turns with words in both question and answer.

    Raises:
        Unusable: `no_turns` or `empty_text`.
    """
    if not turns:
        raise Unusable("no_turns", "the conversation is empty")
    for turn in turns:
        if not turn.question or not turn.answer:
            part = "answer" if turn.question else "question"
            raise Unusable("empty_text", f"the {part} of round {turns.index(turn) + 1} is empty")


def require_names(images: Sequence[str]) -> None:
    """Check that no image name is empty.

    Raises:
        Unusable: `image_name`.
    """
    if "" in images:
        raise Unusable("image_name", f"the name of image {images.index('') + 1} is empty")
