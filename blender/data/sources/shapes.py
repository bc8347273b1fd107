"""The fields of a format's records, and how a decoder is extended by other keys of a file.

Decoding into a struct of the format's fields is the fastest way, but ignores other keys, and those may name an image.
So the decoder refuses unknown keys: when one occurs, it is replaced by one that has this key as well (its value stays
undecoded), and decoding continues with that. A file has few distinct keys, so this happens a few times.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import msgspec
from msgspec import Raw, Struct

from blender.data.sources.media import unread
from blender.data.sources.repair import repaired

#: with more unknown keys in one file, its records are searched one by one
_MOST_KEYS = 200
_ABSENT = Raw(b"")


class RecordShape(Struct, frozen=True, gc=False):
    """Base class of the records of all formats."""

    def own_id(self) -> str | int | None:
        """Return the id of the record; None if it has none."""
        return None

    def image_names(self) -> Sequence[str]:
        """Return the names of the images that the reader takes from the record."""
        return ()


S = TypeVar("S", bound=RecordShape)


@dataclass(frozen=True)
class RecordLayout(Generic[S]):
    """The fields of a format's records."""

    record: type[S]
    #: the field of a record that holds messages, and the shape of one
    messages: str | None = None
    message: type[Struct] | None = None
    #: the key under which a record has its images, for advice
    images: str | None = None


class ExtendingDecoder(Generic[S]):
    """Decodes the records of one file, and finds those that name media under keys that are not read."""

    def __init__(self, layout: RecordLayout[S]) -> None:
        self._layout = layout
        self._keys: list[str] = []
        self._message_keys: list[str] = []
        self._has_too_many = False
        self.decode: Callable[[bytes | Raw], S] = self._extended_decoder()

    def add_keys(self, content: bytes | Raw) -> bool:
        """Add the keys of a record to the decoder; return whether there were new ones."""
        record, messages = _keys_of(content, self._layout.messages)
        new = _new(record, self._layout.record, self._keys)
        new_in_messages = _new(messages, self._layout.message, self._message_keys) if self._layout.message else []
        if not new and not new_in_messages or self._has_too_many:
            return False
        self._keys += new
        self._message_keys += new_in_messages
        self._has_too_many = len(self._keys) + len(self._message_keys) > _MOST_KEYS
        self.decode = self._extended_decoder()
        return True

    def unread_media(self, records: Sequence[S], contents: Sequence[bytes | Raw]) -> dict[int, str]:
        """Return a sentence for each of some records that names media under a key that is not read, by its index."""
        sentences: dict[int, str] = {}
        if self._has_too_many:
            for index, content in enumerate(contents):
                self._note(sentences, index, records[index], _items_of(content, self._layout))
            return sentences
        for number, key in enumerate(self._keys):
            field = _field(number)
            for index, record in enumerate(records):
                value = getattr(record, field, _ABSENT)
                if value is not _ABSENT:
                    self._note(sentences, index, record, [(key, value)])
        if self._message_keys and self._layout.messages:
            for index, record in enumerate(records):
                self._note(sentences, index, record, self._of_messages(record))
        return sentences

    def _extended_decoder(self) -> Callable[[bytes | Raw], S]:
        if self._has_too_many:
            return msgspec.json.Decoder(self._layout.record).decode
        fields: list[tuple[str, Any, Any]] = []
        if self._layout.messages and self._layout.message:
            message = _extended(self._layout.message, [], self._message_keys)
            fields = [(self._layout.messages, list[message], msgspec.NODEFAULT)]  # type: ignore[valid-type]
        return msgspec.json.Decoder(_extended(self._layout.record, fields, self._keys)).decode

    def _of_messages(self, record: S) -> Iterator[tuple[str, Raw]]:
        for message in getattr(record, self._layout.messages or ""):
            for number, key in enumerate(self._message_keys):
                value = getattr(message, _field(number), _ABSENT)
                if value is not _ABSENT:
                    yield key, value

    def _note(self, sentences: dict[int, str], index: int, record: S, items: Iterable[tuple[str, Raw]]) -> None:
        for key, value in items:
            if index not in sentences and (sentence := unread(key, value, record.image_names, self._layout.images)):
                sentences[index] = sentence


def _field(number: int) -> str:
    return f"extra_{number}"


def _extended(base: type[Struct], fields: list[tuple[str, Any, Any]], keys: Sequence[str]) -> Any:
    """Make a struct of a base's fields and of some keys whose values stay undecoded; it refuses all other keys."""
    names = {_field(number): key for number, key in enumerate(keys)}
    return msgspec.defstruct(
        base.__name__,
        [*fields, *((name, Raw, _ABSENT) for name in names)],
        bases=(base,),
        rename=names,
        frozen=True,
        gc=False,
        kw_only=True,
        forbid_unknown_fields=True,
    )


def _new(keys: Iterable[str], shape: type[Struct], known: Sequence[str]) -> list[str]:
    own = {field.encode_name for field in msgspec.structs.fields(shape)}
    return [key for key in dict.fromkeys(keys) if key not in own and key not in known]


def _keys_of(content: bytes | Raw, messages: str | None) -> tuple[list[str], list[str]]:
    """List the keys of a record, and those of all of its messages."""
    record = msgspec.json.decode(content, type=dict[str, Raw])
    return list(record), [key for message in _messages(record, messages) for key in message]


def _items_of(content: bytes | Raw, layout: RecordLayout[S]) -> Iterator[tuple[str, Raw]]:
    record = msgspec.json.decode(repaired(bytes(content)), type=dict[str, Raw])
    for shape, items in ((layout.record, [record]), (layout.message, _messages(record, layout.messages))):
        for item in items:
            yield from ((key, item[key]) for key in _new(item, shape, ()) if shape)  # type: ignore[arg-type]


def _messages(record: dict[str, Raw], messages: str | None) -> list[dict[str, Raw]]:
    if messages is None or messages not in record:
        return []
    try:
        return msgspec.json.decode(record[messages], type=list[dict[str, Raw]])
    except msgspec.ValidationError:
        return []
