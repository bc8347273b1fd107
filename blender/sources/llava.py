"""Read LLaVA-Instruct: an array of records, each with an image, or some, or none, and the turns of a conversation.

The sign ``<image>`` says where an image is shown. It stands at the head or the tail of a question, where it is taken
out together with the white space beside it, or, in later mixes, inside a sentence, where taking it out would glue words
together and leave a hole: there "image n" is written instead. An ``<image>`` that belongs to no image is ordinary text.
"""

import re
from collections.abc import Iterator, Sequence

from msgspec import Struct, field

from blender.records import Conversation, Skip, Turn
from blender.sources.annotations import Annotations, decode_records, raw_array
from blender.sources.dialogue import Unusable, conversations, require_names, require_rounds
from blender.sources.mentions import Mention, written_out

_ASKING = frozenset({"human", "user"})
_ANSWERING = frozenset({"gpt", "assistant"})

_TAG = "<image>"
_TAGS = re.compile(re.escape(_TAG))
_HEAD = re.compile(rf"(?:{_TAG}\s*)+")
#: for a text turned back to front: looking for a tail from the front takes quadratic time
_TAIL = re.compile(rf"(?:{_TAG[::-1]}\s*)+")


class _Message(Struct, frozen=True, gc=False):
    role: str = field(name="from")
    value: str


class _Entry(Struct, frozen=True, gc=False):
    conversations: list[_Message]
    image: str | list[str] | None = None
    id: str | int | None = None


class _Question(Struct, frozen=True, gc=False):
    """A question without the tags at its edges, and how many these were."""

    text: str
    head: int = 0
    tail: int = 0

    @property
    def edges(self) -> int:
        """Number of tags taken off."""
        return self.head + self.tail

    @property
    def inner(self) -> int:
        """Number of tags left in the text."""
        return self.text.count(_TAG)


def read_llava(annotations: Annotations) -> Iterator[Conversation | Skip]:
    """Read a JSON array or, from a file named `.jsonl`, JSON Lines.

    Raises:
        SourceError: The file is not of this format.
    """
    entries = decode_records(annotations, raw_array(annotations), _Entry)
    return conversations(entries, lambda entry: entry.id, _turns)


def _turns(entry: _Entry) -> list[Turn]:
    require_rounds([message.role for message in entry.conversations], _ASKING, _ANSWERING)
    images = _image_names(entry.image)
    require_names(images)
    texts = [message.value.strip() for message in entry.conversations]
    shown = _shown(texts[0::2], images)
    return [Turn(names, text, answer) for (text, names), answer in zip(shown, texts[1::2], strict=True)]


def _image_names(image: str | list[str] | None) -> tuple[str, ...]:
    if not image:
        return ()
    return (image,) if isinstance(image, str) else tuple(image)


def _shown(texts: Sequence[str], images: tuple[str, ...]) -> list[tuple[str, tuple[str, ...]]]:
    """Give each question its images and take the tags out of it.

    Raises:
        Unusable: `image_tags`: the tags cannot be told apart among the images.
    """
    first, *later = texts
    question = _without_edges(first)
    if question.edges == len(images) and _TAG not in "\n".join(later):  # nearly always so
        return [(question.text, images), *((text, ()) for text in later)]
    questions = [question, *(_without_edges(text) for text in later)]
    num_edges = sum(question.edges for question in questions)
    if num_edges == len(images):
        return _dealt(questions, images)
    num_tags = num_edges + sum(question.inner for question in questions)
    if not num_tags:
        return [(question.text, () if later else images) for later, question in enumerate(questions)]
    if num_tags != len(images):
        raise Unusable("image_tags", f"{_count(images, 'image')}, but {num_tags} {_TAG} in the questions")
    return _written(texts, images)


def _dealt(questions: Sequence[_Question], images: tuple[str, ...]) -> list[tuple[str, tuple[str, ...]]]:
    """Deal the images out by the tags at the edges; tags inside are text."""
    dealt, at = [], 0
    for question in questions:
        dealt.append((question.text, images[at : at + question.edges]))
        at += question.edges
    return dealt


def _written(texts: Sequence[str], images: tuple[str, ...]) -> list[tuple[str, tuple[str, ...]]]:
    """Deal the images out by all tags; those that stand in a line with words become "image n"."""
    written, at = [], 0
    for text in texts:
        question = _without_edges(text, own_lines=True)
        first = at + question.head + 1
        mentions = [Mention(*tag.span(), first + n) for n, tag in enumerate(_TAGS.finditer(question.text))]
        num_shown = question.edges + len(mentions)
        written.append((written_out(question.text, mentions), images[at : at + num_shown]))
        at += num_shown
    return written


def _without_edges(text: str, own_lines: bool = False) -> _Question:
    """Take off the tags at the head and the tail; with `own_lines` only those on a line without words."""
    num_tags = text.count(_TAG)
    if not num_tags:
        return _Question(text)
    if num_tags == 1 and text.startswith(_TAG + "\n"):  # LLaVA's own way, or the one at the end
        return _Question(text[len(_TAG) :].strip(), head=1)
    if num_tags == 1 and text.endswith("\n" + _TAG):
        return _Question(text[: -len(_TAG)].strip(), tail=1)
    head = _edge(_HEAD, text, own_lines)
    rest = text[head:]
    tail = len(rest) - _edge(_TAIL, rest[::-1], own_lines)
    return _Question(rest[:tail].strip(), text[:head].count(_TAG), rest[tail:].count(_TAG))


def _edge(pattern: re.Pattern[str], text: str, own_lines: bool) -> int:
    """Return the length of the tags, and the white space among them, that `text` begins with."""
    match = pattern.match(text)
    if match is None:
        return 0
    if own_lines and match.end() < len(text):
        return match.group().rfind("\n") + 1
    return match.end()


def _count(things: Sequence[object], noun: str) -> str:
    return f"{len(things)} {noun}" + ("" if len(things) == 1 else "s")
