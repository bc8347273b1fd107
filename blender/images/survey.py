"""Look at one image of a store: its size, its format, and whether it can be used.

Every image of a blend is surveyed before anything is written, so this reads as little as it can: the first kilobytes
for the header and the last ones for the end marker. Where these leave a doubt the picture is decoded, unless its header
already claims more pixels than allowed. What cannot be used gets a word for counting and a sentence for reading; it
never raises for an image.
"""

import io
import warnings

from msgspec import Struct

from blender.errors import StoreError
from blender.images.files import ByteFile, SeekableFile
from blender.images.formats import MARK_BYTES, TAIL_BYTES, Format, decode, foreign_kind, format_of, size_in
from blender.images.identity import sketch
from blender.images.names import extension_of
from blender.images.store import ImageStore, VanishedError

_HEAD_BYTES = 16 * 1024


class ImageLimits(Struct, frozen=True):
    """What an image may cost those who read it."""

    #: width times height, as the header claims them
    max_pixels: int = 100_000_000
    #: length of the file
    max_bytes: int = 100_000_000


class ImageInfo(Struct, frozen=True, gc=False):
    """What is known of an image without looking at it."""

    #: length of the file; 0 where it cannot be known
    num_bytes: int
    #: pixels as stored in the file: a rotation in EXIF is not applied; 0 where the header cannot be read
    width: int
    height: int
    #: the extension of its name, in lower case, where that is one of an image; else the usual one of its format; may be
    #: empty where there is neither
    extension: str
    #: why it cannot be used, as a word for counting: ``missing``, ``unreadable``, ``empty``, ``truncated``,
    #: ``not_an_image``, ``too_many_pixels``, ``too_many_bytes``, ``unsupported_format``; None when it can
    reason: str | None = None
    #: the same as a sentence
    detail: str | None = None
    #: hash of its size, first and last bytes (``identity.sketch``); None where it cannot be used
    sketch: int | None = None


class _Unusable(Exception):
    """Ends the survey of an image with a reason."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.detail = detail


class _Survey:
    """What has been found out so far about one image."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.num_bytes = 0
        self.size = (0, 0)
        self.format: Format | None = None
        self.sketch: int | None = None

    def info(self, reason: str | None = None, detail: str | None = None) -> ImageInfo:
        extension = extension_of(self.name) or (self.format.extension if self.format else "")
        return ImageInfo(self.num_bytes, *self.size, extension, reason, detail, None if reason else self.sketch)


def survey_image(store: ImageStore, member: str, limits: ImageLimits) -> ImageInfo:
    """Find out an image's size and format, and whether it can be used.

    Args:
        store: The store.
        member: What :meth:`ImageStore.resolve` gave.
        limits: What an image may have at most.
    """
    survey = _Survey(store.name_of(member))
    try:
        with store.open(member) as file, store.explaining(member):
            _look(file, survey, limits)
    except _Unusable as unusable:
        return survey.info(unusable.reason, unusable.detail)
    except VanishedError as error:
        return survey.info("missing", error.message)
    except StoreError as error:
        return survey.info("unreadable", error.message)
    return survey.info()


def _look(file: ByteFile, survey: _Survey, limits: ImageLimits) -> None:
    name = survey.name
    survey.num_bytes = file.num_bytes
    if file.num_bytes == 0:
        raise _Unusable("empty", f"{name} has no bytes")
    if file.num_bytes > limits.max_bytes:
        many = f"{name} has {file.num_bytes:,} bytes, more than the {limits.max_bytes:,} allowed"
        raise _Unusable("too_many_bytes", many)
    head = file.read_at(0, _HEAD_BYTES)
    survey.format = _format(name, head)
    survey.size = width, height = _size(survey, file, head)
    if width < 1 or height < 1:
        raise _Unusable("unreadable", f"{name} claims a size of {width} x {height} pixels")
    if width * height > limits.max_pixels:
        many = f"{name} claims {width} x {height} pixels, more than the {limits.max_pixels:,} allowed"
        raise _Unusable("too_many_pixels", many)
    tail = head[-TAIL_BYTES:] if file.num_bytes <= len(head) else _tail(file)
    survey.sketch = sketch(head, tail, file.num_bytes)
    if not survey.format.is_complete(head, tail, file.num_bytes):
        _decode(survey, file)


def _tail(file: ByteFile) -> bytes:
    return file.read_at(max(0, file.num_bytes - TAIL_BYTES), TAIL_BYTES)


def _format(name: str, head: bytes) -> Format:
    kind = format_of(head)
    if kind is not None:
        return kind
    foreign = foreign_kind(head)
    if foreign:
        raise _Unusable("unsupported_format", f"{name} is {foreign}, which is not read")
    raise _Unusable("not_an_image", f"{name} begins with {ascii(head[:MARK_BYTES])[1:]}, which is no image")


def _size(survey: _Survey, file: ByteFile, head: bytes) -> tuple[int, int]:
    assert survey.format is not None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                return size_in(survey.format, io.BytesIO(head))
            except Exception:
                # long metadata, or a directory at the end of the file: let Pillow fetch what it needs
                return size_in(survey.format, io.BufferedReader(SeekableFile(file), 64 * 1024))
    except StoreError:
        raise
    except Exception as error:
        complete = survey.format.has_end_mark and survey.format.is_complete(head, _tail(file), file.num_bytes)
        reason = "unreadable" if complete else "truncated"
        raise _Unusable(
            reason, f"{survey.name} begins like a {survey.format.name} but has no readable header"
        ) from error


def _decode(survey: _Survey, file: ByteFile) -> None:
    assert survey.format is not None
    data = file.read_all()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            decode(survey.format, data)
    except MemoryError:
        raise
    except Exception as error:
        detail = f"{survey.name} cannot be decoded as {survey.format.name}: {error}"
        raise _Unusable(_why_broken(survey.format, error), detail) from error


def _why_broken(kind: Format, error: Exception) -> str:
    if "DecompressionBomb" in type(error).__name__:
        return "too_many_pixels"
    return "truncated" if kind.has_end_mark or "truncated" in str(error) else "unreadable"
