"""Read MiniGPT-4's cc_sbu_align: images with one long caption each.

A caption answers no question, so one is asked here: which of a few is a matter of the record's place in the file, so
that a file is always read the same.
"""

from collections.abc import Iterator

from msgspec import Raw, Struct

from blender.data.records import Conversation, Skip
from blender.data.sample import Turn
from blender.data.sources.annotations import Annotations, RawRecords, decode_top
from blender.data.sources.decoding import decode_records
from blender.data.sources.dialogue import Dialogue, Unread, as_read, conversations, require_names
from blender.data.sources.shapes import RecordLayout, RecordShape

QUESTIONS = (
    "Describe this image in detail.",
    "What does this image show? Please give a thorough description.",
    "Tell me about everything that can be seen in this image.",
    "Could you describe the contents of this image for me?",
    "Please take a close look at this image and write down what you see.",
)


class _MiniGpt4File(Struct, frozen=True):
    annotations: list[Raw]


class _MiniGpt4Record(RecordShape, frozen=True, gc=False):
    image_id: str | int
    caption: str

    def own_id(self) -> str | int:
        return self.image_id

    def image_names(self) -> tuple[str, ...]:
        return (f"{self.image_id}.jpg",)


_LAYOUT = RecordLayout(_MiniGpt4Record, images="image_id")


def read_minigpt4(annotations: Annotations) -> Iterator[Conversation | Skip]:
    """Read the `filter_cap.json` of cc_sbu_align.

    Raises:
        SourceError: The file is not of this format.
    """
    records = RawRecords(decode_top(annotations, _MiniGpt4File).annotations, "$.annotations")
    entries = enumerate(decode_records(annotations, records, _LAYOUT))
    return conversations(entries, lambda entry: entry[1].own_id(), _dialogue)


def _dialogue(entry: tuple[int, _MiniGpt4Record | Unread]) -> Dialogue:
    index, described = entry[0], as_read(entry[1])
    require_names([str(described.image_id)])
    question = QUESTIONS[index % len(QUESTIONS)]
    return described.image_names(), [Turn([1], question, described.caption.strip(), 0)]
