"""The one shape that every published format is read into.

A reader turns a file into a stream of :class:`Conversation` and :class:`Skip`. Neither knows where pictures are kept:
an image is a *name*, looked up in the image store that the recipe gives the source. Records are frozen; every station
makes new ones. They are msgspec structs outside the garbage collector's care because a full blend holds half a million.

Making so many objects takes longer than decoding the files does. So they travel in :class:`RecordBatch`, some thousands
taken apart into lists, and are only made for who asks for them.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import count, islice
from typing import Self

from msgspec import Struct

from blender.data.sample import Turn

#: items that travel together
BATCH_SIZE = 8_192


class Record(Struct, frozen=True, gc=False):
    """One entry of an annotation file, as the ledger accounts for it."""

    #: 0-based place in the file
    index: int
    #: the entry's own id as text; its place in the file when it has none
    id: str


class Conversation(Struct, frozen=True, gc=False):
    """One conversation, read from one record of a file, or from several that belong together."""

    #: names of the images in the order shown, which a turn's numbers count from 1
    images: tuple[str, ...]
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


@dataclass(frozen=True)
class RecordBatch:
    """Conversations and skips in a row, taken apart into lists."""

    # one per record, those of one conversation behind each other
    #: :attr:`Record.index`
    indices: list[int] = field(default_factory=list)
    #: :attr:`Record.id`
    ids: list[str] = field(default_factory=list)
    #: reason and detail of records that cannot be used, by their place in the lists above
    faults: dict[int, tuple[str, str]] = field(default_factory=dict)

    # one per conversation
    #: the place of its first record in the lists above
    first_record: list[int] = field(default_factory=list)
    num_records: list[int] = field(default_factory=list)
    num_turns: list[int] = field(default_factory=list)
    ordered: list[bool] = field(default_factory=list)

    # one per turn
    questions: list[str] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)
    #: length of :attr:`Turn.images`
    num_shown: list[int] = field(default_factory=list)
    #: :attr:`Turn.source`
    record: list[int] = field(default_factory=list)

    #: :attr:`Turn.system` of the turns that have one, by their place in the lists above
    systems: dict[int, str] = field(default_factory=dict)

    #: of all turns' images
    names: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, items: Iterable[Conversation | Skip]) -> Self:
        """Take items apart."""
        batch = cls()
        for item in items:
            batch.add(item)
        return batch

    def add(self, item: Conversation | Skip) -> None:
        """Take one more apart."""
        if isinstance(item, Skip):
            self.faults[len(self.ids)] = (item.reason, item.detail)
            self.indices.append(item.record.index)
            self.ids.append(item.record.id)
            return
        self.first_record.append(len(self.ids))
        self.num_records.append(len(item.records))
        self.num_turns.append(len(item.turns))
        self.ordered.append(item.ordered)
        for record in item.records:
            self.indices.append(record.index)
            self.ids.append(record.id)
        for turn in item.turns:
            if turn.system:
                self.systems[len(self.questions)] = turn.system
            self.questions.append(turn.question)
            self.answers.append(turn.answer)
            self.num_shown.append(len(turn.images))
            self.record.append(turn.source)
        self.names.extend(item.images)

    def items(self) -> Iterator[Conversation | Skip]:
        """Make the objects."""
        records = list(map(Record, self.indices, self.ids))
        turns = enumerate(zip(self.questions, self.answers, self.record, self.num_shown, strict=True))
        names = iter(self.names)
        done = 0
        for first, num_records, num_turns, ordered in zip(
            self.first_record, self.num_records, self.num_turns, self.ordered, strict=True
        ):
            yield from self._skips(records, done, first)
            done = first + num_records
            numbers = count(1)
            own = [
                Turn(list(islice(numbers, num_shown)), question, answer, record, self.systems.get(place, ""))
                for place, (question, answer, record, num_shown) in islice(turns, num_turns)
            ]
            images = tuple(islice(names, next(numbers) - 1))
            yield Conversation(images, tuple(own), tuple(records[first:done]), ordered)
        yield from self._skips(records, done, len(records))

    def _skips(self, records: list[Record], start: int, end: int) -> Iterator[Skip]:
        for place in range(start, end):
            yield Skip(records[place], *self.faults[place])
