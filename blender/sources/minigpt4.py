"""Read MiniGPT-4's cc_sbu_align: images with one long caption each.

A caption answers no question, so one is asked here: which of a few is a matter of the record's place in the file, so
that a file is always read the same.
"""

from collections.abc import Iterator

from msgspec import Raw, Struct

from blender.records import Conversation, Skip, Turn
from blender.sources.annotations import Annotations, RawRecords, decode_records, decode_top
from blender.sources.dialogue import conversations, require_names

QUESTIONS = (
    "Describe this image in detail.",
    "What does this image show? Please give a thorough description.",
    "Tell me about everything that can be seen in this image.",
    "Could you describe the contents of this image for me?",
    "Please take a close look at this image and write down what you see.",
)


class _File(Struct, frozen=True):
    annotations: list[Raw]


class _Entry(Struct, frozen=True, gc=False):
    image_id: str | int
    caption: str


def read_minigpt4(annotations: Annotations) -> Iterator[Conversation | Skip]:
    """Read the `filter_cap.json` of cc_sbu_align.

    Raises:
        SourceError: The file is not of this format.
    """
    records = RawRecords(decode_top(annotations, _File).annotations, "$.annotations")
    entries = enumerate(decode_records(annotations, records, _Entry))
    return conversations(entries, lambda entry: entry[1].image_id, _turns)


def _turns(entry: tuple[int, _Entry]) -> list[Turn]:
    place, described = entry
    require_names([str(described.image_id)])
    question = QUESTIONS[place % len(QUESTIONS)]
    return [Turn((f"{described.image_id}.jpg",), question, described.caption.strip())]
