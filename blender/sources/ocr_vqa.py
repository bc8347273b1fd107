"""Read OCR-VQA: an object of book covers, each with questions and answers that stand beside each other.

A cover's file is called by its id, with the ending of the address that it was downloaded from. The parts kept for
validation and test are left out.
"""

from collections.abc import Iterator
from pathlib import PurePosixPath
from urllib.parse import urlsplit

from msgspec import Raw, Struct, field

from blender.records import Conversation, Skip, Turn
from blender.sources.annotations import Annotations, RawRecords, decode_records, decode_top
from blender.sources.dialogue import Unusable, conversations, require_names

_TRAINING_PART = 1


class _Entry(Struct, frozen=True, gc=False):
    address: str = field(name="imageURL")
    questions: list[str]
    answers: list[str]
    split: int = _TRAINING_PART


def read_ocr_vqa(annotations: Annotations) -> Iterator[Conversation | Skip]:
    """Read `dataset.json` of OCR-VQA.

    Raises:
        SourceError: The file is not of this format.
    """
    covers = decode_top(annotations, dict[str, Raw])
    records = RawRecords(list(covers.values()), "$", list(covers))
    entries = zip(covers, decode_records(annotations, records, _Entry), strict=True)
    return conversations(entries, lambda item: item[0], _turns, ordered=False)


def _turns(item: tuple[str, _Entry]) -> list[Turn]:
    name, entry = item
    if entry.split != _TRAINING_PART:
        raise Unusable("other_split", f"the cover belongs to part {entry.split}, not to the training part")
    if len(entry.questions) != len(entry.answers):
        raise Unusable("odd_turns", f"{len(entry.questions)} questions, but {len(entry.answers)} answers")
    require_names([name])
    image = name + PurePosixPath(urlsplit(entry.address).path).suffix
    return [
        Turn(() if place else (image,), question.strip(), answer.strip())
        for place, (question, answer) in enumerate(zip(entry.questions, entry.answers, strict=True))
    ]
