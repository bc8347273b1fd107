"""Read OCR-VQA: an object of book covers, each with questions and answers that stand beside each other.

A cover's file is called by its id, with the ending of the address that it was downloaded from. The parts kept for
validation and test are left out.
"""

from collections.abc import Iterator
from pathlib import PurePosixPath
from urllib.parse import urlsplit

from msgspec import Raw, field

from blender.data.records import Conversation, Skip
from blender.data.sample import Turn
from blender.data.sources.annotations import Annotations, RawRecords, decode_top, pairs_of
from blender.data.sources.decoding import decode_records
from blender.data.sources.dialogue import (
    Dialogue,
    Unread,
    UnusableRecord,
    as_read,
    conversations,
    require_names,
    require_own_marks,
)
from blender.data.sources.shapes import RecordLayout, RecordShape

_TRAINING_PART = 1


class _OcrVqaRecord(RecordShape, frozen=True, gc=False):
    address: str = field(name="imageURL")
    questions: list[str]
    answers: list[str]
    split: int = _TRAINING_PART

    def image_names(self) -> tuple[str, ...]:
        return (self.address,)


_LAYOUT = RecordLayout(_OcrVqaRecord, images="imageURL")


def read_ocr_vqa(annotations: Annotations) -> Iterator[Conversation | Skip]:
    """Read `dataset.json` of OCR-VQA.

    Raises:
        SourceError: The file is not of this format.
    """
    records = _records(annotations)
    keys = records.keys or ()
    first_uses = dict(zip(reversed(keys), reversed(range(len(keys))), strict=True))
    firsts = [first_uses[key] == place for place, key in enumerate(keys)]
    entries = zip(keys, firsts, decode_records(annotations, records, _LAYOUT), strict=True)
    return conversations(entries, lambda item: item[0], _dialogue, ordered=False)


def _records(annotations: Annotations) -> RawRecords:
    covers = decode_top(annotations, dict[str, Raw])
    # of two covers under one key a decoded object keeps the last alone
    if annotations.data.count(b'"imageURL"') > len(covers):
        return pairs_of(annotations)
    return RawRecords(list(covers.values()), "$", list(covers))


def _dialogue(item: tuple[str, bool, _OcrVqaRecord | Unread]) -> Dialogue:
    name, is_first, entry = item[0], item[1], as_read(item[2])
    if not is_first:
        raise UnusableRecord("duplicate_id", f'"{name}" is also the id of an earlier cover')
    if entry.split != _TRAINING_PART:
        raise UnusableRecord("other_split", f"the cover belongs to part {entry.split}, not to the training part")
    if len(entry.questions) != len(entry.answers):
        raise UnusableRecord("odd_turns", f"{len(entry.questions)} questions, but {len(entry.answers)} answers")
    require_names([name])
    require_own_marks(entry.questions)
    image = name + PurePosixPath(urlsplit(entry.address).path).suffix
    return [image], [
        Turn([] if place else [1], question.strip(), answer.strip(), 0)
        for place, (question, answer) in enumerate(zip(entry.questions, entry.answers, strict=True))
    ]
