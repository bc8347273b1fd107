"""Read A-OKVQA: questions about COCO photographs, with choices and the reasons for the right one.

The choices follow the question on a line of their own; the answer is the right choice and then its first reason.
"""

from collections.abc import Iterator

from blender.core.characters import has_visible
from blender.data.records import Conversation, Skip
from blender.data.sample import Turn
from blender.data.sources.annotations import Annotations, raw_array
from blender.data.sources.decoding import decode_records
from blender.data.sources.dialogue import Dialogue, Unread, UnusableRecord, as_read, conversations, require_own_marks
from blender.data.sources.shapes import RecordLayout, RecordShape


class _AokvqaRecord(RecordShape, frozen=True, gc=False):
    image_id: int
    question: str
    choices: list[str]
    correct_choice_idx: int | None = None
    rationales: list[str] | None = None
    question_id: str | int | None = None

    def own_id(self) -> str | int | None:
        return self.question_id

    def image_names(self) -> tuple[str, ...]:
        return (f"{self.image_id:012d}.jpg",)


_LAYOUT = RecordLayout(_AokvqaRecord, images="image_id")


def read_aokvqa(annotations: Annotations) -> Iterator[Conversation | Skip]:
    """Read `aokvqa_v1p0_train.json` or one of its siblings.

    Raises:
        SourceError: The file is not of this format.
    """
    entries = decode_records(annotations, raw_array(annotations), _LAYOUT)
    return conversations(entries, lambda entry: entry.own_id(), _dialogue)


def _dialogue(read: _AokvqaRecord | Unread) -> Dialogue:
    entry = as_read(read)
    right = entry.correct_choice_idx
    if right is None or not 0 <= right < len(entry.choices):
        raise UnusableRecord("no_answer", f"no right one is named among the {len(entry.choices)} choices")
    question, choice = entry.question.strip(), entry.choices[right].strip()
    if not has_visible(question) or not has_visible(choice):
        raise UnusableRecord("empty_text", f"the {'right choice' if has_visible(question) else 'question'} is empty")
    require_own_marks([question])
    turn = Turn([1], f"{question}\n{_offer(entry.choices)}", _answer(choice, entry), 0)
    return entry.image_names(), [turn]


def _offer(choices: list[str]) -> str:
    return "Choose from: " + "; ".join(choice.strip() for choice in choices) + "."


def _answer(choice: str, entry: _AokvqaRecord) -> str:
    reason = next((reason.strip() for reason in entry.rationales or () if reason.strip()), None)
    sentence = choice if choice.endswith(".") else f"{choice}."
    return f"{sentence} {reason}" if reason else sentence
