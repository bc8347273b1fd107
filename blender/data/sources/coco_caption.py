"""Read COCO captions in Karpathy's layout: images with about five short captions each.

Every caption is a record of its own, since every one is a sample of its own. A caption answers no question, so one is
asked here, chosen by the record's place in the file. The parts kept for validation and test are left out.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from msgspec import Raw, Struct

from blender.data.records import Conversation, Skip
from blender.data.sample import Turn
from blender.data.sources.annotations import Annotations, RawRecords, decode_top
from blender.data.sources.decoding import decode_records
from blender.data.sources.dialogue import Dialogue, Unread, UnusableRecord, as_read, conversations, require_names
from blender.data.sources.shapes import RecordLayout, RecordShape

QUESTIONS = (
    "Describe this image in one sentence.",
    "Give a short caption for this image.",
    "What does this image show? Answer in one sentence.",
    "Sum up this image briefly.",
    "Write a caption for this image.",
)

_TRAINING_PARTS = frozenset({"train", "restval"})


class _CocoFile(Struct, frozen=True):
    images: list[Raw]


class _CocoSentence(Struct, frozen=True, gc=False):
    raw: str
    sentid: str | int | None = None


class _CocoImage(RecordShape, frozen=True, gc=False):
    filename: str
    sentences: list[_CocoSentence]
    split: str = "train"

    def own_id(self) -> str:
        return self.filename

    def image_names(self) -> tuple[str, ...]:
        return (self.filename,)


_LAYOUT = RecordLayout(_CocoImage, "sentences", _CocoSentence, images="filename")


class _Caption(NamedTuple):
    number: int
    image: _CocoImage | Unread
    #: None for an image without captions, or one that could not be read, so that it gets a row in the ledger
    sentence: _CocoSentence | None


def read_coco_caption(annotations: Annotations) -> Iterator[Conversation | Skip]:
    """Read Karpathy's `dataset.json` (or `dataset_coco.json`).

    Raises:
        SourceError: The file is not of this format.
    """
    records = RawRecords(decode_top(annotations, _CocoFile).images, "$.images")
    return conversations(_captions(decode_records(annotations, records, _LAYOUT)), _name, _dialogue)


def _captions(images: Iterator[_CocoImage | Unread]) -> Iterator[_Caption]:
    pairs = ((image, sentence) for image in images for sentence in _sentences(image))
    for number, (image, sentence) in enumerate(pairs):
        yield _Caption(number, image, sentence)


def _sentences(image: _CocoImage | Unread) -> Sequence[_CocoSentence | None]:
    return (None,) if isinstance(image, Unread) else image.sentences or (None,)


def _name(caption: _Caption) -> str | int | None:
    if caption.sentence is None or caption.sentence.sentid is None:
        return caption.image.own_id()
    return caption.sentence.sentid


def _dialogue(caption: _Caption) -> Dialogue:
    image = as_read(caption.image)
    if caption.sentence is None:
        raise UnusableRecord("no_turns", "the image has no caption")
    if image.split not in _TRAINING_PARTS:
        raise UnusableRecord("other_split", f'the image belongs to the part "{image.split}"')
    require_names([image.filename])
    question = QUESTIONS[caption.number % len(QUESTIONS)]
    return [image.filename], [Turn([1], question, caption.sentence.raw.strip(), 0)]
