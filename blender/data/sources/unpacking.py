"""Unpack compressed annotation files, and stop if a file unpacks to far more than JSON ever does."""

import gzip
import zlib
from collections.abc import Callable, Iterator
from io import BytesIO
from typing import Protocol

from blender.core.errors import SourceError
from blender.data.sources import faults

_GZIP = b"\x1f\x8b"
_ZSTD = b"\x28\xb5\x2f\xfd"
_CHUNK = 16_000_000
#: always unpacked up to so many bytes
_HARMLESS = 128_000_000
#: annotations take a tenth of their size when packed, hardly ever less than a fiftieth
_MOST_TIMES = 200


class _Stream(Protocol):
    def read(self, size: int, /) -> bytes: ...


def unpacked(path: str, data: bytes) -> bytes:
    """Return what a gzip or zstd file holds, recognised by its first bytes; any other file as it is.

    Raises:
        SourceError: It is damaged, cut short, or holds next to nothing at a huge size.
    """
    if data.startswith(_GZIP):
        packed = BytesIO(data)
        return _unpacked(path, data, gzip.GzipFile(fileobj=packed), packed.tell, "gzip")
    if data.startswith(_ZSTD):
        import pyarrow as pa  # takes a while, and such files are few

        source = pa.BufferReader(data)
        return _unpacked(path, data, pa.CompressedInputStream(source, "zstd"), source.tell, "zstd")
    return data


def _unpacked(path: str, data: bytes, stream: _Stream, position: Callable[[], int], kind: str) -> bytes:
    try:
        return b"".join(_bounded(path, stream, position))
    except EOFError:
        raise SourceError(
            f"{path} ends early: its {kind} data breaks off at byte {len(data):,}", faults.AGAIN
        ) from None
    except (OSError, ValueError, zlib.error) as error:  # pyarrow's are among the first two
        if "truncated" in str(error).lower():
            broken = f"{path} ends early: its {kind} data breaks off at byte {len(data):,}"
            raise SourceError(broken, faults.AGAIN) from None
        raise SourceError(f"{path} holds damaged {kind} data: {error}", faults.AGAIN) from None


def _bounded(path: str, stream: _Stream, position: Callable[[], int]) -> Iterator[bytes]:
    size = 0
    while chunk := stream.read(_CHUNK):
        size += len(chunk)
        if size > _HARMLESS and size > _MOST_TIMES * position():
            raise SourceError(
                f"{path} holds hardly any data: its first {position():,} bytes unpack to {size:,} and more",
                "look at what it holds; annotations never shrink so far",
            )
        yield chunk
