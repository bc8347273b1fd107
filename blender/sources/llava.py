"""Read LLaVA-Instruct: an array of records, each with an image, or some, or none, and the turns of a conversation.

The sign ``<image>`` says where an image is shown. It stands at the head or the tail of a question, where it is taken
out together with the white space beside it, or, in later mixes, inside a sentence, where taking it out would glue words
together and leave a hole: there "image n" is written instead. An ``<image>`` that belongs to no image is ordinary text.

These files are the largest, and nearly all of their records are plain (:func:`_plain`): those are taken apart many at a
time, the others one by one.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import chain, compress

import numpy as np
import numpy.typing as npt
from msgspec import Struct, field

from blender.records import Batch, Record, Turn
from blender.sources.annotations import Annotations, decode_batches, raw_array
from blender.sources.dialogue import Numbering, Unusable, converted, require_names, require_rounds
from blender.sources.mentions import Mention, written_out

_ASKING = frozenset({"human", "user"})
_ANSWERING = frozenset({"gpt", "assistant"})

_TAG = "<image>"
#: LLaVA's own ways: the tag on a line at the head, or at the tail
_TAG_LINE, _LINE_TAG = _TAG + "\n", "\n" + _TAG
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


def read_llava(annotations: Annotations) -> Iterator[Batch]:
    """Read a JSON array or, from a file named `.jsonl`, JSON Lines.

    Raises:
        SourceError: The file is not of this format.
    """
    numbering = Numbering()
    for entries in decode_batches(annotations, raw_array(annotations), _Entry):
        yield _batch(entries, *numbering.many([entry.id for entry in entries]))


def _batch(entries: Sequence[_Entry], indices: Sequence[int], ids: Sequence[str]) -> Batch:
    batch, messages = Batch(), list(chain.from_iterable([entry.conversations for entry in entries]))
    num_messages = np.array([len(entry.conversations) for entry in entries], np.int64)
    starts = np.cumsum(num_messages) - num_messages
    texts = [message.value.strip() for message in messages]
    plain = _plain(entries, [message.role for message in messages], texts, num_messages)
    shows = np.array([bool(entry.image) for entry in entries], bool)
    shown = np.zeros(len(texts), np.int64)
    shown[starts[plain & shows]] = 1
    for start in starts[plain & shows].tolist():
        text = texts[start]
        if text.startswith(_TAG):
            texts[start] = text[len(_TAG) :].strip()
        elif text.endswith(_TAG):
            texts[start] = text[: -len(_TAG)].strip()
    for first, end in _runs(plain):
        if not plain[first]:
            for entry, index, id in zip(entries[first:end], indices[first:end], ids[first:end], strict=True):
                batch.add(converted(entry, Record(index, id), _turns))
            continue
        questions = slice(starts[first], starts[end - 1] + num_messages[end - 1], 2)
        batch.first_record.extend(range(len(batch.ids), len(batch.ids) + end - first))
        batch.indices.extend(indices[first:end])
        batch.ids.extend(ids[first:end])
        batch.num_records.extend([1] * (end - first))
        batch.num_turns.extend((num_messages[first:end] // 2).tolist())
        batch.ordered.extend([True] * (end - first))
        batch.questions.extend(texts[questions])
        batch.answers.extend(texts[questions.start + 1 : questions.stop : 2])
        batch.num_shown.extend(shown[questions].tolist())
        batch.record.extend([0] * len(shown[questions]))
        batch.names.extend([str(entry.image) for entry in compress(entries[first:end], shows[first:end])])
    return batch


def _plain(
    entries: Sequence[_Entry], roles: Sequence[str], texts: Sequence[str], num_messages: npt.NDArray[np.int64]
) -> npt.NDArray[np.bool_]:
    """Find the entries that :func:`_turns` would make nothing special of; (N,).

    They have rounds of two, words in all of them, at most one image, and either no tag at all in a question, or the
    one tag of that image, on a line of its own at an edge of the first.
    """
    owner = np.repeat(np.arange(len(entries)), num_messages)
    is_first = np.zeros(len(texts), bool)
    starts = np.cumsum(num_messages) - num_messages
    is_first[starts[num_messages > 0]] = True
    is_question = (np.arange(len(texts)) - starts[owner]) % 2 == 0
    asking = np.fromiter(map(_ASKING.__contains__, roles), bool, len(roles))
    answering = np.fromiter(map(_ANSWERING.__contains__, roles), bool, len(roles))
    sound = np.where(is_question, asking, answering) & np.fromiter(map(bool, texts), bool, len(texts))
    tagged, in_own_way = np.zeros(len(texts), bool), np.zeros(len(texts), bool)
    questions = np.flatnonzero(is_question)
    tagged[questions] = [_TAG in texts[place] for place in questions.tolist()]
    tagged_firsts = np.flatnonzero(tagged & is_first)
    in_own_way[tagged_firsts] = [_is_in_own_way(texts[place]) for place in tagged_firsts.tolist()]
    images = [entry.image for entry in entries]
    num_images = np.array([-1 if isinstance(image, list) else bool(image) for image in images], np.int64)
    num_unsound = np.bincount(owner, ~(sound & (~tagged | in_own_way & (num_images[owner] == 1))), len(entries))
    plain: npt.NDArray[np.bool_] = (num_messages > 0) & (num_messages % 2 == 0) & (num_images >= 0) & (num_unsound == 0)
    return plain


def _is_in_own_way(text: str) -> bool:
    return (text.startswith(_TAG_LINE) or text.endswith(_LINE_TAG)) and text.count(_TAG) == 1


def _runs(values: npt.NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """Yield start and end of each run of equal values."""
    bounds = [0, *(np.flatnonzero(values[1:] != values[:-1]) + 1).tolist(), len(values)]
    yield from zip(bounds[:-1], bounds[1:], strict=True)


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
    if num_tags == 1 and text.startswith(_TAG_LINE):
        return _Question(text[len(_TAG) :].strip(), head=1)
    if num_tags == 1 and text.endswith(_LINE_TAG):
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
