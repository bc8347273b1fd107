"""A store that is a zip archive, such as COCO's ``train2017.zip``, read in place.

The standard library reads the table of contents at the end of the archive. A member contains everything that is needed
to read it without that table: ``train2017/000000442786.jpg@1024+163840:163840:0:9f3c21aa`` is the offset of its local
header and its compressed size, its size, its compression and its CRC. Photographs are usually stored uncompressed, so
their headers are read directly from the archive.

A member is inflated when it is read, not when it is opened, only as far as requested, and never beyond the size that
the archive claims: a caller can check the size first and refuse it.
"""

import stat
import struct
import zipfile
import zlib
from typing import NamedTuple

from blender.core.errors import StoreError
from blender.data.images.files import ByteFile, FileSlice, buffered
from blender.data.images.names import plain_path
from blender.data.images.store import FileStore, is_listable, span_of

_LOCAL_HEADER = struct.Struct("<4s5HLLLHH")
_LOCAL_MARK = b"PK\x03\x04"
_ENCRYPTED = 0x1
#: how much is read from the archive, and inflated, at a time
_PIECE = 64 * 1024


class _MemberSpan(NamedTuple):
    """Where a member lies in the archive, and how."""

    header: int
    compressed_size: int
    size: int
    method: int
    crc: int


class ZipStore(FileStore):
    """A zip archive; its members are stored or deflated."""

    kind = "zip archive"

    def _check(self, file: ByteFile) -> None:
        if not zipfile.is_zipfile(buffered(file)):
            raise self._failed("is not a zip archive, or its end is missing", "download it again")

    def _list(self, file: ByteFile) -> dict[str, str]:
        try:
            with zipfile.ZipFile(buffered(file, 1024 * 1024)) as archive:
                entries = archive.infolist()
        except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
            raise self._failed(f"is not a readable zip archive: {error}", "download it again") from error
        members = {}
        for entry in entries:
            path = plain_path(entry.orig_filename)
            if is_listable(path) and not path.endswith("/") and not stat.S_ISLNK(entry.external_attr >> 16):
                members[path] = _member(path, entry)
        return members

    def _open(self, member: str) -> ByteFile:
        place = _place(self._place(member))
        data = self._raw(place)
        if place.method == zipfile.ZIP_STORED:
            return _StoredMember(data, place)
        if place.method != zipfile.ZIP_DEFLATED:
            raise StoreError(f"it is compressed by method {place.method}; only stored and deflated files are read")
        return _DeflatedMember(data, place)

    def _raw(self, place: _MemberSpan) -> FileSlice:
        header = self._file.read_at(place.header, _LOCAL_HEADER.size)
        if len(header) < _LOCAL_HEADER.size or not header.startswith(_LOCAL_MARK):
            raise StoreError(f"no file begins at byte {place.header}: the archive is damaged, or another one now")
        _, _, flags, *_, name_length, extra_length = _LOCAL_HEADER.unpack(header)
        if flags & _ENCRYPTED:
            raise StoreError("it is encrypted")
        start = place.header + _LOCAL_HEADER.size + name_length + extra_length
        return FileSlice(self._file, start, place.compressed_size)


def _member(path: str, entry: zipfile.ZipInfo) -> str:
    span = f"{entry.header_offset}+{entry.compress_size}"
    return f"{path}@{span}:{entry.file_size}:{entry.compress_type}:{entry.CRC:08x}"


def _place(text: str) -> _MemberSpan:
    try:
        span, size, method, crc = text.split(":")
        return _MemberSpan(*span_of(span), int(size), int(method), int(crc, 16))
    except ValueError as error:
        raise StoreError(f"{text!r} is no place in a zip archive") from error


class _ZipMember(ByteFile):
    """A member; reading all of it checks its checksum."""

    def __init__(self, data: FileSlice, place: _MemberSpan) -> None:
        self.num_bytes = place.size
        self._data = data
        self._crc = place.crc

    def read_all(self) -> bytes:
        """Read the whole file.

        Raises:
            StoreError: Its checksum is wrong.
        """
        content = super().read_all()
        if zlib.crc32(content) != self._crc:
            raise StoreError("its checksum is wrong: the archive is damaged")
        return content


class _StoredMember(_ZipMember):
    """A member that is in the archive as it is."""

    def __init__(self, data: FileSlice, place: _MemberSpan) -> None:
        super().__init__(data, place)
        if data.num_bytes != place.size:
            raise StoreError(f"it is stored in {data.num_bytes:,} bytes and claims {place.size:,}")

    def _read(self, offset: int, num_bytes: int) -> bytes:
        return self._data.read_at(offset, num_bytes)


class _DeflatedMember(_ZipMember):
    """A member that is inflated as far as it is read; what is inflated stays."""

    def __init__(self, data: FileSlice, place: _MemberSpan) -> None:
        super().__init__(data, place)
        self._inflated = bytearray()
        self._inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        self._num_taken = 0

    def _read(self, offset: int, num_bytes: int) -> bytes:
        end = offset + num_bytes
        # the last byte is only trusted when nothing follows it
        self._inflate_to(end if end < self.num_bytes else end + 1)
        if len(self._inflated) < end or (end == self.num_bytes and len(self._inflated) > end):
            raise StoreError(f"it does not decompress to the {self.num_bytes} bytes that the archive promises")
        return bytes(memoryview(self._inflated)[offset:end])

    def _inflate_to(self, end: int) -> None:
        try:
            while len(self._inflated) < end and not self._inflater.eof:
                piece = self._inflater.unconsumed_tail or self._piece()
                inflated = self._inflater.decompress(piece, end - len(self._inflated))
                if not inflated and not piece:
                    return
                self._inflated += inflated
        except zlib.error as error:
            raise StoreError(f"it cannot be decompressed: {error}") from error

    def _piece(self) -> bytes:
        piece = self._data.read_at(self._num_taken, _PIECE)
        self._num_taken += len(piece)
        return piece
