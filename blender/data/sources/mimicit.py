"""Read MIMIC-IT: an object of instructions that name the images they are about and the instructions beside them.

Instructions that name each other and have the same images are one conversation, whose turns may be asked in any order.
Images of the subset CGD are COCO's, and are given COCO's own file names; all other names stay as they are.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, count, repeat

import numpy as np
from msgspec import Raw, Struct

from blender.core.arrays import Ints, starts_of
from blender.core.characters import has_visible
from blender.core.components import components
from blender.data.records import BATCH_SIZE, RecordBatch
from blender.data.sources.annotations import Annotations, RawRecords, decode_top, pairs_of
from blender.data.sources.decoding import decode_records
from blender.data.sources.dialogue import Numbering, Unread, UnusableRecord, require_names, require_own_marks
from blender.data.sources.media import foreign_mark
from blender.data.sources.shapes import RecordLayout, RecordShape

_COCO_PREFIX = "CGD_IMG_"
_COCO_DIGITS = 12


class _MimicitFile(Struct, frozen=True):
    data: dict[str, Raw]


class _MimicitRecord(RecordShape, frozen=True, gc=False):
    instruction: str
    answer: str
    image_ids: tuple[str, ...] | None = None
    rel_ins_ids: tuple[str, ...] | None = None

    def image_names(self) -> tuple[str, ...]:
        return tuple(map(coco_name, self.image_ids or ()))


_LAYOUT = RecordLayout(_MimicitRecord, images="image_ids")
#: takes the place of an instruction that could not be read
_NONE = _MimicitRecord("", "")


def read_mimicit(annotations: Annotations) -> Iterator[RecordBatch]:
    """Read one instruction file.

    Raises:
        SourceError: The file is not of this format.
    """
    records = _records(annotations)
    entries, unread = list[_MimicitRecord](), dict[int, Unread]()
    for place, entry in enumerate(decode_records(annotations, records, _LAYOUT)):
        if isinstance(entry, Unread):
            unread[place] = entry
            entry = _NONE
        entries.append(entry)
    return _batches(records.keys or (), entries, unread)


def coco_name(image: str) -> str:
    """Turn the id of a CGD image, padded to whatever length, into COCO's file name; leave other ids alone."""
    number = image[len(_COCO_PREFIX) :]
    if not image.startswith(_COCO_PREFIX) or not (number.isascii() and number.isdecimal()):
        return image
    return (number if len(number) == _COCO_DIGITS else number.lstrip("0").zfill(_COCO_DIGITS)) + ".jpg"


def _records(annotations: Annotations) -> RawRecords:
    data = decode_top(annotations, _MimicitFile).data
    # Of two entries under one key a decoded object keeps the last alone. Each has an instruction, so counting these
    # tells, at the price of a search, that there may be such keys.
    if annotations.data.count(b'"instruction"') > len(data):
        return pairs_of(annotations, "data")
    return RawRecords(list(data.values()), "$.data", list(data))


@dataclass(frozen=True)
class _Instructions:
    """The instructions of a file, in columns; of each, in the order of the file."""

    ids: Sequence[str]
    questions: Sequence[str]
    answers: Sequence[str]
    #: number of its list of images
    image_list: Ints
    #: names of the files, by number
    image_lists: Sequence[tuple[str, ...]]


def _batches(
    keys: Sequence[str], entries: Sequence[_MimicitRecord], unread: Mapping[int, Unread]
) -> Iterator[RecordBatch]:
    """Yield skips and conversations in the order of the file, a conversation at the place of its first instruction."""
    _, ids = Numbering().many(keys)
    questions, answers = [entry.instruction.strip() for entry in entries], [entry.answer.strip() for entry in entries]
    first_uses = dict(zip(reversed(keys), reversed(range(len(keys))), strict=True))
    image_list, image_lists = _image_lists(entries)
    instructions = _Instructions(ids, questions, answers, image_list, image_lists)
    found = _faults(keys, entries, instructions, first_uses)
    found |= {place: (entry.reason, entry.detail) for place, entry in unread.items()}
    usable = np.ones(len(keys), bool)
    usable[list(found)] = False
    # connected instructions with the same images
    group = _components(keys, entries, first_uses) * max(1, len(image_lists)) + image_list
    _, firsts, number = np.unique(group[usable], return_index=True, return_inverse=True)
    place = np.arange(len(keys))
    place[usable] = place[usable][firsts][number]
    order = np.argsort(place, kind="stable")
    starts = np.flatnonzero(np.diff(place[order], prepend=-1))
    lengths = np.diff(starts, append=len(order))
    for at in range(0, len(starts), BATCH_SIZE):
        begin, end = starts[at], starts[at : at + BATCH_SIZE][-1] + lengths[at : at + BATCH_SIZE][-1]
        yield _batch(instructions, order[begin:end], lengths[at : at + BATCH_SIZE], found)


def _batch(
    instructions: _Instructions, order: Ints, lengths: Ints, found: Mapping[int, tuple[str, str]]
) -> RecordBatch:
    """Take up some items: `order` has their instructions, each item so many as `lengths` says."""
    starts, members = starts_of(lengths), order.tolist()
    faults = {place: found[index] for place, index in enumerate(members) if index in found} if found else {}
    is_skip = np.zeros(len(order), bool)
    is_skip[list(faults)] = True
    firsts, num_turns = starts[~is_skip[starts]], lengths[~is_skip[starts]]
    is_first = np.zeros(len(order), bool)
    is_first[firsts] = True
    asked = order[~is_skip].tolist()
    image_lists = [instructions.image_lists[number] for number in instructions.image_list[order[firsts]].tolist()]
    num_shown = np.zeros(len(order), np.int64)
    num_shown[firsts] = [len(names) for names in image_lists]
    record = np.arange(len(order)) - np.repeat(starts, lengths)
    return RecordBatch(
        indices=members,
        ids=[instructions.ids[index] for index in members],
        faults=faults,
        first_record=firsts.tolist(),
        num_records=num_turns.tolist(),
        num_turns=num_turns.tolist(),
        ordered=[False] * len(firsts),
        questions=[instructions.questions[index] for index in asked],
        answers=[instructions.answers[index] for index in asked],
        num_shown=num_shown[~is_skip].tolist(),
        record=record[~is_skip].tolist(),
        names=list(chain.from_iterable(image_lists)),
    )


def _image_lists(entries: Sequence[_MimicitRecord]) -> tuple[Ints, list[tuple[str, ...]]]:
    """Number the distinct lists of image files, in whatever way their ids are padded."""
    as_written = defaultdict[tuple[str, ...], int](count().__next__)
    written = [as_written[entry.image_ids or ()] for entry in entries]
    numbers: dict[tuple[str, ...], int] = {}
    meant = []
    for ids in as_written:
        names = tuple([coco_name(image) for image in ids]) if _COCO_PREFIX in " ".join(ids) else ids
        meant.append(numbers.setdefault(names, len(numbers)))
    return np.array(meant, np.int64)[np.array(written, np.int64)], list(numbers)


def _faults(
    keys: Sequence[str], entries: Sequence[_MimicitRecord], instructions: _Instructions, first_uses: Mapping[str, int]
) -> dict[int, tuple[str, str]]:
    """Find the instructions that cannot be used, and say why."""
    bad_lists = [not names or "" in names for names in instructions.image_lists]
    suspects = set(np.flatnonzero(np.array(bad_lists, bool)[instructions.image_list]).tolist())
    for texts in (instructions.questions, instructions.answers):
        suspects |= {index for index, text in enumerate(texts) if not has_visible(text)}
    texts = instructions.questions
    suspects |= {n for n, text in enumerate(texts) if ("<" in text or "[" in text) and foreign_mark(text)}
    if len(first_uses) < len(keys):
        suspects |= {index for index, key in enumerate(keys) if first_uses[key] != index}
    found = {}
    for index in sorted(suspects):
        try:
            _require_usable(keys[index], index, entries[index], first_uses)
        except UnusableRecord as fault:
            found[index] = (fault.reason, fault.detail)
    return found


def _require_usable(key: str, index: int, entry: _MimicitRecord, first_uses: Mapping[str, int]) -> None:
    if first_uses[key] != index:
        raise UnusableRecord("duplicate_id", f'"{key}" is also the id of record {first_uses[key] + 1:,}')
    if not has_visible(entry.instruction) or not has_visible(entry.answer):
        part = "answer" if has_visible(entry.instruction) else "instruction"
        raise UnusableRecord("empty_text", f"the {part} is empty")
    if not entry.image_ids:
        raise UnusableRecord("no_images", "the instruction names no image")
    require_names(entry.image_ids)
    require_own_marks([entry.instruction])


def _components(keys: Sequence[str], entries: Sequence[_MimicitRecord], first_uses: Mapping[str, int]) -> Ints:
    """Number the groups of instructions that name each other, in either direction, through however many steps; (N,)."""
    related = [entry.rel_ins_ids or () for entry in entries]
    if len(first_uses) < len(keys):
        related = [
            others if first_uses[key] == index else ()
            for index, (key, others) in enumerate(zip(keys, related, strict=True))
        ]
    named = list(chain.from_iterable(related))
    naming = np.repeat(np.arange(len(keys)), np.fromiter(map(len, related), np.int64, len(related)))
    others = np.fromiter(map(first_uses.get, named, repeat(-1)), np.int64, len(named))
    known = others >= 0
    return components(len(keys), naming[known], others[known]).astype(np.int64)
