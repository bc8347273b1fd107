"""Keys and placeholders of media: how records say that they show an image, a video or a sound.

A reader that ignores an unknown key would turn a record about an image into a text about none. So each key of a record
that is not the format's own is checked here: whether it names media, and whether the record shows these media anyway.
Placeholders such as ``<video>`` inside a question are checked in the same way.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import PurePosixPath

import msgspec
from msgspec import Raw

from blender.data.sources.quoted import unquoted

_KINDS = {
    "image": r"image|img|picture|pic|photo|photograph|screenshot|pixelvalue|visual|media",
    "video": r"video|vid|movie|frame",
    "audio": r"audio|sound|speech|wav|waveform",
}
_LOCATOR = r"(?:relative|local|full|file|path|url|uri|link|address|name|id|src|location|base64|b64|byte|data|list)"
#: words before the noun: ``left_image``, ``input_images``, ``video_frames``
_QUALIFIER = (
    r"left|right|first|second|third|fourth|input|output|source|target|query|reference|ref|before|after|original|main|"
    r"base|question|answer|prompt|context|candidate|extra|other|all|multi|positive|negative|new|old|raw|key|"
    r"image|video|audio"
)
_KEY = {
    kind: re.compile(
        rf"(?P<qualifier>(?:(?:{_QUALIFIER})s?)*)(?:{noun})s?(?P<number>\d*)(?P<locator>(?:{_LOCATOR}s?)*)"
    )
    for kind, noun in _KINDS.items()
}
_NOT_LETTERS = re.compile("[^a-z0-9]+")
_ENDS_AS_MEDIA = re.compile(
    rb"\.(?:jpe?g|png|webp|gif|bmp|tiff?|heic|avif|mp4|webm|mov|avi|mkv|mp3|wav|flac|ogg|m4a)(?:\?[^\"]*)?\"\s*\]?\s*\Z",
    re.IGNORECASE,
)
_STARTS_AS_MEDIA = re.compile(rb"\[?\s*\"data:(?:image|video|audio)/", re.IGNORECASE)
#: most characters of a key that are compared
_LONGEST_KEY = 100
#: levels of nested values that are searched
_DEEPEST = 12
#: a file extension is looked for in the last bytes of a value only, because captions may be long
_TAIL = 160

_NOUN = r"(?:image|img|vid|video|vision|visual|audio|speech|sound|picture|photo)"
_WORD = (
    r"(?:here|pad|patch|start|begin|end|break|placeholder|token|soft|context|content|feature|embed|newline|sep|tile|"
    r"thumbnail|bos|eos|\d+)s?"
)
_BEFORE = r"(?:(?:(?:start|begin|beginning|end)_?of|fake|token|around|global|local|soft|special)[_\-]?)*"
#: placeholders for media in the texts of current formats; ``<|im_start|>`` is not one, it belongs to a chat template
MARK = re.compile(
    rf"<\|?/?{_BEFORE}{_NOUN}s?(?:[_\-: #]?{_WORD})*[ ]?/?\|?>"
    rf"|</?im(?:[_\-]?{_WORD})+>|<frames?(?:[_\- ]?\d+)+>"
    r"|\[/?(?:IMG|IMAGE|VIDEO|AUDIO|PIC|PHOTO)(?:[ _#:\-]?(?:\d+|START|END|BREAK))?\]",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class MediaKey:
    """A key that names media."""

    #: ``image``, ``video`` or ``audio``
    kind: str
    #: whether another word or a number says which of several it is
    qualified: bool
    #: whether it says where the media are, or how they are called: ``image_path``
    locates: bool


@lru_cache(maxsize=4096)
def media_key(key: str) -> MediaKey | None:
    """Recognise a key that names media, in any case, plural, and with or without separators."""
    plain = _NOT_LETTERS.sub("", key[:_LONGEST_KEY].lower())
    for kind, pattern in _KEY.items():
        if match := pattern.fullmatch(plain):
            qualified = bool(match["qualifier"] or match["number"])
            return MediaKey(kind, qualified, bool(match["locator"]))
    return None


def unread(key: str, value: Raw, images: Callable[[], Sequence[str]], field: str | None = None) -> str | None:
    """Return a sentence about media under a key that the reader does not read; None if the key names none.

    In a record that shows no image, what is inside the value is looked at, too: ``{"meta": {"image": "a.jpg"}}``.

    Args:
        key: The key.
        value: What is under it, as JSON.
        images: Names the images that the reader takes from the record.
        field: The key under which the format has its images, if it has one.
    """
    named = media_key(key)
    if named is None:
        return None if _is_plain(value) or images() else _unread_inside(key, value, field)
    content = msgspec.json.decode(value)
    if _is_empty(content) or named.qualified and not isinstance(content, str | list | dict):
        return None
    if (shown := images()) and _is_about(named, content, shown):
        return None
    return _sentence(key, named.kind, value, field)


def _sentence(key: str, kind: str | None, value: Raw, field: str | None) -> str:
    """Say what a key names, and what to do about it."""
    names = f'"{key}" names {_plural(kind) if kind else "a file"}, {_excerpt(value)}'
    if kind not in (None, "image"):
        return f"{names}; {_plural(kind or '')} are not read"
    advice = f'the format has its images under "{field}"' if field else "this format does not read it"
    return f"{names}; {advice}"


def foreign_mark(text: str, own: str = "") -> str | None:
    """Find a placeholder for media in a text, except the format's own and tags that the text only mentions."""
    if "<" not in text and "[" not in text:
        return None
    return next((match.group() for match in unquoted(text, MARK) if match.group() != own), None)


def _is_plain(value: Raw) -> bool:
    """Tell whether a value surely names no media: a number, or a text that does not look like a media file."""
    first = memoryview(value)[0]
    return first not in b"{[" and not _looks_like_media(value)


def _unread_inside(path: str, value: Raw, field: str | None, level: int = 0) -> str | None:
    """Say what a value, or something in it, names in a record that shows no image."""
    if _looks_like_media(value):
        return _sentence(path, None, value, field)
    for name, item in _items(value) if level < _DEEPEST else ():
        inner, named = f"{path}.{name}" if name else path, media_key(name)
        if named is not None and _names_some(named, msgspec.json.decode(item)):
            return _sentence(inner, named.kind, item, field)
        if sentence := _unread_inside(inner, item, field, level + 1):
            return sentence
    return None


def _items(value: Raw) -> Iterator[tuple[str, Raw]]:
    """Yield what an object holds by its keys, and what a list holds without any."""
    first = memoryview(value)[0]
    if first == ord("{"):
        yield from msgspec.json.decode(value, type=dict[str, Raw]).items()
    elif first == ord("["):
        yield from (("", item) for item in msgspec.json.decode(value, type=list[Raw]))


def _names_some(named: MediaKey, content: object) -> bool:
    """Tell whether a value is a name or an id of media, and not a count or a flag."""
    if isinstance(content, bool) or _is_empty(content):
        return False
    return isinstance(content, str | list | dict) or named.locates and isinstance(content, int)


def _looks_like_media(value: Raw) -> bool:
    view = memoryview(value)
    if view[0] not in b'"[':
        return False
    return bool(_ENDS_AS_MEDIA.search(bytes(view[-_TAIL:])) or _STARTS_AS_MEDIA.match(bytes(view[:_TAIL])))


def _is_empty(content: object) -> bool:
    if isinstance(content, dict):
        return all(map(_is_empty, content.values()))
    if isinstance(content, list):
        return all(map(_is_empty, content))
    return content is None or content is False or isinstance(content, str) and not content.strip()


def _is_about(named: MediaKey, content: object, shown: Sequence[str]) -> bool:
    """Tell whether a value only repeats what the record shows: a count, a location of each image, the same names."""
    if isinstance(content, int | float) and not isinstance(content, bool):
        return True
    if named.kind != "image" or named.qualified:
        return named.locates and named.kind == "video" and isinstance(content, str) and not _has_ending(content)
    items = content if isinstance(content, list) else [content]
    if named.locates:
        return len(items) == len(shown)
    names = {PurePosixPath(item).name for item in items if isinstance(item, str)}
    return all(isinstance(item, str) for item in items) and names <= {PurePosixPath(name).name for name in shown}


def _has_ending(name: str) -> bool:
    return "." in PurePosixPath(name).name


def _plural(kind: str) -> str:
    return "audio" if kind == "audio" else f"{kind}s"


def _excerpt(value: Raw) -> str:
    text = bytes(memoryview(value)[:60]).decode("utf-8", "replace")
    return text if len(memoryview(value)) <= 60 else f"{text}…"
