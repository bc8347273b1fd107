"""Read LLaVA-Instruct: an array of records, each with an image, or some, or none, and the turns of a conversation.

The placeholder ``<image>`` says where an image is shown. At the start or the end of a question it is removed together
with the white space beside it. In later mixes it is also inside a sentence, where removing it would join words and
leave a gap: there "image n" is written instead. A placeholder inside a sentence that belongs to no image, in a record
that has others, is ordinary text.

These files are the largest, and nearly all of their records are plain (:func:`_plain`): those are converted to columns
many at a time, the others one by one.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain, compress, islice

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Raw, Struct, field

from blender.core.arrays import starts_of
from blender.core.characters import has_visible
from blender.data.records import Record, RecordBatch, Skip
from blender.data.sample import Turn
from blender.data.sources.annotations import Annotations, raw_array
from blender.data.sources.decoding import decode_batches
from blender.data.sources.dialogue import (
    Dialogue,
    Numbering,
    Unread,
    UnusableRecord,
    converted,
    require_names,
    require_own_marks,
)
from blender.data.sources.mentions import Mention, written_out
from blender.data.sources.options import ReadOptions
from blender.data.sources.quoted import unquoted
from blender.data.sources.shapes import RecordLayout, RecordShape
from blender.data.sources.turns import Roles, find_turns

_ROLES = Roles(asking=frozenset({"human", "user"}), answering=frozenset({"gpt", "assistant"}))

_TAG = "<image>"
#: LLaVA's own ways: the tag on a line at the head, or at the tail
_TAG_LINE, _LINE_TAG = _TAG + "\n", "\n" + _TAG
_TAGS = re.compile(re.escape(_TAG))
_HEAD = re.compile(rf"(?:{_TAG}\s*)+")
#: for a text turned back to front: looking for a tail from the front takes quadratic time
_TAIL = re.compile(rf"(?:{_TAG[::-1]}\s*)+")


_NO_SYSTEM = Raw(b"null")
#: what names images in a record
_Images = str | list[str] | None


class _LlavaMessage(Struct, frozen=True, gc=False):
    role: str = field(name="from")
    value: str


class _LlavaRecord(RecordShape, frozen=True, gc=False):
    conversations: list[_LlavaMessage]
    image: str | list[str] | None = None
    #: later mixes' name for ``image``
    images: str | list[str] | None = None
    id: str | int | None = None
    #: a system text that is no message; only read where the recipe keeps these
    system: Raw = _NO_SYSTEM

    def own_id(self) -> str | int | None:
        return self.id

    def image_names(self) -> tuple[str, ...]:
        return _image_names(self.image or self.images)


_LAYOUT = RecordLayout(_LlavaRecord, "conversations", _LlavaMessage, images="image")


class _UntaggedQuestion(Struct, frozen=True, gc=False):
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


def read_llava(annotations: Annotations) -> Iterator[RecordBatch]:
    """Read a JSON array or, from a file named `.jsonl`, JSON Lines.

    Raises:
        SourceError: The file is not of this format.
    """
    numbering = Numbering()
    for read in decode_batches(annotations, raw_array(annotations), _LAYOUT):
        unread = {place: entry for place, entry in enumerate(read) if isinstance(entry, Unread)}
        entries = [_LlavaRecord([], id=entry.own_id()) if isinstance(entry, Unread) else entry for entry in read]
        dialogue = partial(_dialogue, options=annotations.options)
        yield _batch(entries, *numbering.many([entry.id for entry in entries]), unread, dialogue)


def _batch(
    entries: Sequence[_LlavaRecord],
    indices: Sequence[int],
    ids: Sequence[str],
    unread: Mapping[int, Unread],
    dialogue: Callable[[_LlavaRecord], Dialogue],
) -> RecordBatch:
    batch, messages = RecordBatch(), list(chain.from_iterable([entry.conversations for entry in entries]))
    num_messages = np.array([len(entry.conversations) for entry in entries], np.int64)
    starts = starts_of(num_messages)
    texts = [message.value.strip() for message in messages]
    images = [entry.image if not entry.images else _of_both_fields(entry) for entry in entries]
    plain = _plain(images, [message.role for message in messages], texts, num_messages)
    plain &= np.array([entry.system is _NO_SYSTEM for entry in entries], bool)
    shows = np.array(list(map(bool, images)), bool)
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
            for place in range(first, end):
                record, fault = Record(indices[place], ids[place]), unread.get(place)
                skip = Skip(record, fault.reason, fault.detail) if fault else None
                batch.add(skip or converted(entries[place], record, dialogue))
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
        batch.names.extend(map(str, compress(images[first:end], shows[first:end])))
    return batch


def _plain(
    images: Sequence[_Images], roles: Sequence[str], texts: Sequence[str], num_messages: npt.NDArray[np.int64]
) -> npt.NDArray[np.bool_]:
    """Find the records that need no special treatment by :func:`_dialogue`; (N,).

    They have rounds of two, words in all of them, at most one image, and either nothing in a question that could be a
    tag, or the one tag of that image, on a line of its own at an edge of the first.
    """
    owner = np.repeat(np.arange(len(images)), num_messages)
    is_first = np.zeros(len(texts), bool)
    starts = starts_of(num_messages)
    is_first[starts[num_messages > 0]] = True
    is_question = (np.arange(len(texts)) - starts[owner]) % 2 == 0
    asking = np.fromiter(map(_ROLES.asking.__contains__, roles), bool, len(roles))
    answering = np.fromiter(map(_ROLES.answering.__contains__, roles), bool, len(roles))
    sound = np.where(is_question, asking, answering) & np.fromiter(map(has_visible, texts), bool, len(texts))
    tagged, in_own_way = np.zeros(len(texts), bool), np.zeros(len(texts), bool)
    questions = np.flatnonzero(is_question)
    tagged[questions] = ["<" in texts[place] or "[" in texts[place] for place in questions.tolist()]
    tagged_firsts = np.flatnonzero(tagged & is_first)
    in_own_way[tagged_firsts] = [_is_in_own_way(texts[place]) for place in tagged_firsts.tolist()]
    num_images = np.array([-1 if isinstance(image, list) else bool(image) for image in images], np.int64)
    num_unsound = np.bincount(owner, ~(sound & (~tagged | in_own_way & (num_images[owner] == 1))), len(images))
    plain: npt.NDArray[np.bool_] = (num_messages > 0) & (num_messages % 2 == 0) & (num_images >= 0) & (num_unsound == 0)
    return plain


def _is_in_own_way(text: str) -> bool:
    has_one_tag = (text.startswith(_TAG_LINE) or text.endswith(_LINE_TAG)) and text.count("<") == 1
    return has_one_tag and "[" not in text


def _runs(values: npt.NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """Yield start and end of each run of equal values."""
    bounds = [0, *(np.flatnonzero(values[1:] != values[:-1]) + 1).tolist(), len(values)]
    yield from zip(bounds[:-1], bounds[1:], strict=True)


def _dialogue(entry: _LlavaRecord, options: ReadOptions) -> Dialogue:
    messages = [(message.role, message.value) for message in entry.conversations]
    if options.system == "keep" and entry.system is not _NO_SYSTEM:
        messages = [*_system_messages(entry), *messages]
    turn_messages = find_turns(messages, _ROLES, options)
    if _fields_differ(entry):
        raise UnusableRecord("images_differ", '"image" and "images" name different images')
    images = entry.image_names()
    require_names(images)
    texts = [messages[place][1].strip() for place in turn_messages.indices]
    require_own_marks(texts[0::2], own=_TAG)
    shown = _shown(texts[0::2], len(images))
    numbers = iter(range(1, len(images) + 1))
    return images, [
        Turn(list(islice(numbers, num_images)), question, answer, 0, turn_messages.systems.get(number, ""))
        for number, ((question, num_images), answer) in enumerate(zip(shown, texts[1::2], strict=True))
    ]


def _system_messages(entry: _LlavaRecord) -> list[tuple[str, str]]:
    """Return the record's own system text as a message.

    Raises:
        UnusableRecord: `system_turn`: it is no text.
    """
    try:
        text = msgspec.json.decode(entry.system, type=str | None)
    except msgspec.DecodeError:
        raise UnusableRecord("system_turn", 'the field "system" holds no text') from None
    return [("system", text)] if text else []


def _of_both_fields(entry: _LlavaRecord) -> _Images:
    """Return what ``image`` or ``images`` names; all of it where the two differ."""
    images = _image_names(entry.image) or _image_names(entry.images)
    if _fields_differ(entry):
        images += _image_names(entry.images)
    return images[0] if len(images) == 1 else list(images)


def _fields_differ(entry: _LlavaRecord) -> bool:
    return bool(entry.image and entry.images) and _image_names(entry.image) != _image_names(entry.images)


def _image_names(image: _Images) -> tuple[str, ...]:
    if not image:
        return ()
    return (image,) if isinstance(image, str) else tuple(image)


def _shown(texts: Sequence[str], num_images: int) -> list[tuple[str, int]]:
    """Take the tags out of each question, and count the images that it shows.

    Raises:
        UnusableRecord: `image_tags`: the tags cannot be told apart among the images.
    """
    if not num_images and (num_tags := sum(1 for text in texts for _ in unquoted(text, _TAGS))):
        raise UnusableRecord("image_tags", f"no image, but {num_tags} {_TAG} in the questions")
    first, *later = texts
    question = _without_edges(first)
    if question.edges == num_images and _TAG not in "\n".join(later):  # nearly always so
        return [(question.text, num_images), *((text, 0) for text in later)]
    questions = [question, *(_without_edges(text) for text in later)]
    num_edges = sum(question.edges for question in questions)
    if num_edges == num_images:  # tags inside are text
        return [(question.text, question.edges) for question in questions]
    num_tags = num_edges + sum(question.inner for question in questions)
    if not num_tags:
        return [(question.text, 0 if later else num_images) for later, question in enumerate(questions)]
    if num_tags != num_images:
        images = f"{num_images} {'image' if num_images == 1 else 'images'}"
        raise UnusableRecord("image_tags", f"{images}, but {num_tags} {_TAG} in the questions")
    return _written(texts)


def _written(texts: Sequence[str]) -> list[tuple[str, int]]:
    """Let every tag show an image; those that stand in a line with words become "image n"."""
    written, num_before = [], 0
    for text in texts:
        question = _without_edges(text, own_lines=True)
        first = num_before + question.head + 1
        mentions = [Mention(*tag.span(), first + n) for n, tag in enumerate(_TAGS.finditer(question.text))]
        num_shown = question.edges + len(mentions)
        written.append((written_out(question.text, mentions), num_shown))
        num_before += num_shown
    return written


def _without_edges(text: str, own_lines: bool = False) -> _UntaggedQuestion:
    """Take off the tags at the head and the tail; with `own_lines` only those on a line without words."""
    num_tags = text.count(_TAG)
    if not num_tags:
        return _UntaggedQuestion(text)
    if num_tags == 1 and text.startswith(_TAG_LINE):
        return _UntaggedQuestion(text[len(_TAG) :].strip(), head=1)
    if num_tags == 1 and text.endswith(_LINE_TAG):
        return _UntaggedQuestion(text[: -len(_TAG)].strip(), tail=1)
    head = _edge(_HEAD, text, own_lines)
    rest = text[head:]
    tail = len(rest) - _edge(_TAIL, rest[::-1], own_lines)
    return _UntaggedQuestion(rest[:tail].strip(), text[:head].count(_TAG), rest[tail:].count(_TAG))


def _edge(pattern: re.Pattern[str], text: str, own_lines: bool) -> int:
    """Return the length of the tags, and the white space among them, that `text` begins with."""
    match = pattern.match(text)
    if match is None:
        return 0
    if own_lines and match.end() < len(text):
        return match.group().rfind("\n") + 1
    return match.end()
