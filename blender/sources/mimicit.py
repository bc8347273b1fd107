"""Read MIMIC-IT: an object of instructions that name the images they are about and the instructions beside them.

Instructions that name each other and have the same images are one conversation, whose turns may be asked in any order.
Images of the subset CGD are COCO's, and are given COCO's own file names; all other names stay as they are.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain

import msgspec
from msgspec import Raw, Struct

from blender.errors import SourceError
from blender.records import Conversation, Record, Skip, Turn
from blender.sources.annotations import Annotations, RawRecords, decode_records, decode_top
from blender.sources.dialogue import Numbering, Unusable, require_names

_COCO_PREFIX = "CGD_IMG_"
_COCO_DIGITS = 12


class _File(Struct, frozen=True):
    data: dict[str, Raw]


class _Entry(Struct, frozen=True, gc=False):
    instruction: str
    answer: str
    image_ids: tuple[str, ...] | None = None
    rel_ins_ids: tuple[str, ...] | None = None


class _ImageLists:
    """Numbers the distinct lists of image files; instructions that belong together mostly repeat the list before."""

    def __init__(self) -> None:
        #: file names by number
        self.names: list[tuple[str, ...]] = []
        self._numbers: dict[tuple[str, ...], int] = {}
        self._last: tuple[tuple[str, ...], int] = ((), 0)

    def number(self, ids: tuple[str, ...]) -> int:
        """Return the number of the list that these ids stand for, in whatever way they are padded."""
        if ids != self._last[0]:
            names = tuple([coco_name(image) for image in ids]) if _COCO_PREFIX in " ".join(ids) else ids
            self._last = ids, self._numbers.setdefault(names, len(self.names))
            if self._last[1] == len(self.names):
                self.names.append(names)
        return self._last[1]


def read_mimicit(annotations: Annotations) -> Iterator[Conversation | Skip]:
    """Read one instruction file.

    Raises:
        SourceError: The file is not of this format.
    """
    records = _records(annotations)
    entries = list(decode_records(annotations, records, _Entry))
    return _conversations(records.keys or (), entries)


def coco_name(image: str) -> str:
    """Turn the id of a CGD image, padded to whatever length, into COCO's file name; leave other ids alone."""
    number = image[len(_COCO_PREFIX) :]
    if not image.startswith(_COCO_PREFIX) or not (number.isascii() and number.isdecimal()):
        return image
    return (number if len(number) == _COCO_DIGITS else number.lstrip("0").zfill(_COCO_DIGITS)) + ".jpg"


def _records(annotations: Annotations) -> RawRecords:
    data = decode_top(annotations, _File).data
    # Of two entries under one key a decoded object keeps the last alone. Each has an instruction, so counting these
    # tells, at the price of a search, that there may be such keys.
    if annotations.data.count(b'"instruction"') > len(data):
        return _records_with_repeated_keys(annotations)
    return RawRecords(list(data.values()), "$.data", list(data))


def _records_with_repeated_keys(annotations: Annotations) -> RawRecords:
    """Go the slow way: decode every object as its pairs, in order."""
    try:
        top = json.loads(annotations.data, object_pairs_hook=tuple)
        items = list(chain.from_iterable(value for key, value in top if key == "data"))
        contents = [msgspec.json.encode(dict(entry) if isinstance(entry, tuple) else entry) for _, entry in items]
    except UnicodeError as error:
        raise SourceError(f"{annotations.path} is not UTF-8 text throughout: {error}", "convert it to UTF-8") from None
    return RawRecords(contents, "$.data", [key for key, _ in items])


def _conversations(keys: Sequence[str], entries: Sequence[_Entry]) -> Iterator[Conversation | Skip]:
    """Yield skips and conversations in the order of the file, a conversation at the place of its first instruction."""
    places = dict(zip(reversed(keys), reversed(range(len(keys))), strict=True))
    components = _components(keys, entries, places)
    numbering, image_lists = Numbering(), _ImageLists()
    records = [numbering.next(key) for key in keys]
    groups: dict[tuple[int, int], list[int]] = {}
    found: list[Skip | tuple[int, int]] = []
    for index, entry in enumerate(entries):
        try:
            _require_first(keys[index], index, places)
            group = (components[index], image_lists.number(_usable_images(entry)))
        except Unusable as fault:
            found.append(Skip(records[index], fault.reason, fault.detail))
            continue
        if group not in groups:
            groups[group] = []
            found.append(group)
        groups[group].append(index)
    for each in found:
        if isinstance(each, Skip):
            yield each
        else:
            yield _conversation(image_lists.names[each[1]], groups[each], entries, records)


def _require_first(key: str, index: int, places: Mapping[str, int]) -> None:
    if places[key] != index:
        raise Unusable("duplicate_id", f'"{key}" is also the id of record {places[key] + 1:,}')


def _usable_images(entry: _Entry) -> tuple[str, ...]:
    """Return the ids of the images, provided that the instruction can be used."""
    question, answer = entry.instruction, entry.answer
    if not question or not answer or question.isspace() or answer.isspace():
        part = "answer" if question.strip() else "instruction"
        raise Unusable("empty_text", f"the {part} is empty")
    if not entry.image_ids:
        raise Unusable("no_images", "the instruction names no image")
    require_names(entry.image_ids)
    return entry.image_ids


def _components(keys: Sequence[str], entries: Sequence[_Entry], places: Mapping[str, int]) -> list[int]:
    """Number the groups of instructions that name each other, in either direction, through however many steps."""
    parents = list(range(len(entries)))

    def root(index: int) -> int:
        while parents[index] != index:
            parents[index] = parents[parents[index]]
            index = parents[index]
        return index

    for index, (key, entry) in enumerate(zip(keys, entries, strict=True)):
        related = entry.rel_ins_ids if places[key] == index else None
        for other in related or ():
            neighbour = places.get(other, index)
            if parents[neighbour] != parents[index]:
                low, high = sorted((root(index), root(neighbour)))
                parents[high] = low
    return [root(index) for index in range(len(entries))]


def _conversation(
    images: tuple[str, ...], members: Sequence[int], entries: Sequence[_Entry], records: Sequence[Record]
) -> Conversation:
    turns = [
        Turn(() if place else images, entries[index].instruction.strip(), entries[index].answer.strip(), place)
        for place, index in enumerate(members)
    ]
    return Conversation(tuple(turns), tuple([records[index] for index in members]), ordered=False)
