"""Take a sample's bytes apart, and trust none of them.

The bytes are a run of tar members; the index says where they begin and end. Every header must be, byte for byte, the
one that the writer puts before a member of this name and size, so that damage in one sample is never read as another
one. What only a checksum can find, a changed pixel or letter, passes: looking for it would double the time of a read.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import msgspec

from blender.core.errors import ShardError
from blender.data.images.formats import format_of
from blender.data.sample import Sample
from blender.shards import tar

_NAME, _SIZE, _CHECKSUM = slice(0, 100), slice(124, 135), slice(148, 156)
_EMPTY = tar.header("", 0)
_BEFORE_SIZE = _EMPTY[_NAME.stop : _SIZE.start]
_AFTER_SIZE = _EMPTY[_SIZE.stop : _CHECKSUM.start]
_AFTER_CHECKSUM = _EMPTY[_CHECKSUM.stop :]
#: a header's checksum without its name and size; the bytes of the checksum itself count as blanks
_BASE = sum(_BEFORE_SIZE + b" " * 8 + _AFTER_SIZE + _AFTER_CHECKSUM)

#: bytes of the first read: usually everything before the first image
_FIRST_READ = 8192

#: bytes that identify an image format; the same in most files, so that the cached answer is mostly there
_MARK_BYTES = 12

#: reads bytes of a sample: called with the first one, counted from the sample's begin, and how many; returns fewer
#: where the shard ends
Read = Callable[[int, int], bytes]

#: decodes a sample's JSON
decode_json = msgspec.json.Decoder(Sample).decode


@dataclass(frozen=True)
class StoredSample:
    """A sample read back, with the bytes of its images in the order shown."""

    sample: Sample
    images: tuple[bytes, ...]
    split: str
    #: path of its shard in the blend's folder
    shard: str


class DamagedSample(ShardError):
    """A sample that cannot be read, while others of its shard may be.

    Args:
        key: The sample.
        shard: Path of its shard in the blend's folder.
        reason: What is wrong, to be read after a colon.
    """

    def __init__(self, key: str, shard: str, reason: str) -> None:
        self.key = key
        self.shard = shard
        self.reason = reason
        super().__init__(f"sample {key} in shard {shard} is damaged: {reason}", "run `visualchat verify` on the blend")

    def __reduce__(self) -> tuple[object, ...]:
        """Keep what is wrong when an error comes back from a worker process."""
        return type(self), (self.key, self.shard, self.reason)


def unpack_sample(read: Read, num_bytes: int, key: str, split: str, shard: str) -> StoredSample:
    """Take a sample's bytes apart.

    Args:
        read: Reads bytes of the sample, headers included. It is called once per image, so that the bytes of an image
            are not copied out of a larger block.
        num_bytes: Bytes of the sample.
        key: Its key.
        split: Its split.
        shard: Path of its shard in the blend's folder.

    Raises:
        DamagedSample: The bytes are not those of this sample.
    """
    try:
        text, *images = _contents(read, num_bytes, key)
        sample = decode_json(text)
        _check(sample, images, key)
    except (ValueError, msgspec.MsgspecError) as error:
        raise DamagedSample(key, shard, str(error)) from error
    return StoredSample(sample, tuple(images), split, shard)


def find_images(read: Read, num_bytes: int, key: str, shard: str) -> list[tuple[int, int]]:
    """Find a sample's images by its headers: the first byte, from the sample's begin, and the size of each.

    Args:
        read: As for :func:`unpack_sample`; only headers are read.
        num_bytes: Bytes of the sample.
        key: Its key.
        shard: Path of its shard in the blend's folder.

    Raises:
        DamagedSample: The headers are not those of this sample.
    """
    found, at = list[tuple[int, int]](), 0
    try:
        while at < num_bytes or not found:
            start = at + tar.BLOCK
            size, at = _measure(read(at, tar.BLOCK), start, num_bytes, key, len(found))
            found.append((start, size))
    except ValueError as error:
        raise DamagedSample(key, shard, str(error)) from error
    return found[1:]


def _contents(read: Read, num_bytes: int, key: str) -> list[bytes]:
    first = read(0, min(_FIRST_READ, num_bytes))
    contents, at, size = list[bytes](), 0, 0
    while at < num_bytes or not contents:
        start = at + tar.BLOCK
        header = first[at:start] if start <= len(first) else read(at, tar.BLOCK)
        size, at = _measure(header, start, num_bytes, key, len(contents))
        end = start + size
        contents.append(first[start:end] if end <= len(first) else read(start, size))
    if len(contents[-1]) < size:
        raise ValueError("its shard ends before it does")
    return contents


def _measure(header: bytes, start: int, num_bytes: int, key: str, number: int) -> tuple[int, int]:
    """Return the size of member `number` (0: the JSON), whose content begins at `start`, and where the next begins."""
    prefix = f"{key}.image{number}." if number else f"{key}.json"
    size = _member_size(header, prefix.encode())
    end = start + size + -size % tar.BLOCK
    if end > num_bytes:
        raise ValueError(f"member {prefix} is longer than its sample")
    return size, end


def _member_size(header: bytes, prefix: bytes) -> int:
    """Return the size in a member's header.

    Compares with what :func:`blender.shards.tar.header` makes, in a third of its time.
    """
    name, digits = header[_NAME], header[_SIZE]
    checksum = b"%06o\0 " % (_BASE + sum(name.rstrip(b"\0")) + sum(digits))
    expected = b"".join((name, _BEFORE_SIZE, digits, _AFTER_SIZE, checksum, _AFTER_CHECKSUM))
    if header != expected or not name.startswith(prefix) or not digits.isdigit():
        raise ValueError(f"no header of member {prefix.decode()} where the index says")
    return int(digits, 8)


def _check(sample: Sample, images: list[bytes], key: str) -> None:
    if sample.key != key:
        raise ValueError(f"it says that it is {sample.key}")
    if len(sample.images) != len(images):
        raise ValueError(f"it has {len(images)} images and tells of {len(sample.images)}")
    for number, image in enumerate(images, 1):
        if not _is_image(image[:_MARK_BYTES]):
            raise ValueError(f"image {number} ({sample.images[number - 1].name}) is no image")


@lru_cache
def _is_image(head: bytes) -> bool:
    return format_of(head) is not None
