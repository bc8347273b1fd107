"""A store that is an uncompressed tar archive, read in place.

A tar has no table of contents, so its headers are read once; members then contain the position of their bytes
(``train2017/000000442786.jpg@1536+163840``). A compressed tar can only be read from its start and is refused.
"""

import tarfile
from collections.abc import Iterator
from posixpath import join, normpath

from blender.data.images.files import ByteFile, FileSlice, buffered
from blender.data.images.names import plain_path
from blender.data.images.store import FileStore, is_listable, span_of

_COMPRESSED = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstd"}
_UNPACK_HINT = "decompress it to a plain .tar, or unpack it into a folder"


class TarStore(FileStore):
    """An uncompressed tar archive."""

    kind = "tar archive"

    def _check(self, file: ByteFile) -> None:
        header = file.read_at(0, tarfile.BLOCKSIZE)
        for mark, how in _COMPRESSED.items():
            if header.startswith(mark):
                raise self._failed(f"is compressed with {how}, so single images cannot be read from it", _UNPACK_HINT)
        if header and not header.strip(b"\0"):
            return
        try:
            tarfile.TarInfo.frombuf(header, tarfile.ENCODING, "surrogateescape")
        except tarfile.HeaderError as error:
            raise self._failed(f"is not a tar archive: {error}") from error

    def _list(self, file: ByteFile) -> dict[str, str]:
        places: dict[str, str] = {}
        links: dict[str, str] = {}
        for entry in self._entries(file):
            path = plain_path(entry.name)
            if not is_listable(path):
                continue
            if entry.isreg() and not entry.issparse():
                places[path] = f"{path}@{entry.offset_data}+{entry.size}"
                links.pop(path, None)
            elif entry.issym() or entry.islnk():
                links[path] = entry.linkname if entry.islnk() else join(path.rpartition("/")[0], entry.linkname)
                places.pop(path, None)
        for path, target in links.items():
            place = _target(places, links, target)
            if place is not None:
                places[path] = f"{path}@{place.rpartition('@')[2]}"
        return places

    def _entries(self, file: ByteFile) -> Iterator[tarfile.TarInfo]:
        name = "its start"
        try:
            with tarfile.open(fileobj=buffered(file, 4096), mode="r:") as archive:
                while (entry := archive.next()) is not None:
                    name = entry.name
                    archive.members.clear()  # type: ignore[attr-defined]  # they would be kept, a kilobyte each
                    yield entry
                end = archive.offset
        except tarfile.TarError as error:
            raise self._failed(f"is damaged or cut short after {name}: {error}", "download it again") from error
        # the standard library takes a damaged header for the end
        if file.read_at(end, tarfile.BLOCKSIZE).strip(b"\0"):
            raise self._failed(f"is damaged or cut short at byte {end}", "download it again")

    def _open(self, member: str) -> ByteFile:
        return FileSlice(self._file, *span_of(self._place(member)))


def _target(places: dict[str, str], links: dict[str, str], target: str) -> str | None:
    """Follow links inside the archive to the place of a file; None when they lead out of it or in a circle."""
    for _ in range(8):
        path = normpath(target)
        if path in places:
            return places[path]
        if path not in links:
            return None
        target = links[path]
    return None
