"""A store that is a parquet table with a column of images and a column of names.

The layouts in use: Hugging Face's ``image`` column of ``{bytes, path}``; a binary column beside an id or file name; and
MIMIC-IT's column ``base64`` beside a former pandas index. Members are ``name@group+row``. Parquet can only be read by
row groups, so the last one is kept in memory. A group that is too large for that is read in small batches, which is
fast in the order of the table and slow in any other (such tables are better rewritten with small row groups).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from blender.core.errors import StoreError
from blender.data.images.base64_text import DATA_URL, decode_base64, open_base64
from blender.data.images.files import ByteFile, FileSlice, MemoryFile, buffered, is_remote, local_path
from blender.data.images.names import plain_path
from blender.data.images.store import FileStore, is_listable, span_of

_MARK = b"PAR1"
#: the largest row group, in bytes of its pictures, that is kept in memory as a whole
_KEPT_GROUP = 256 * 1024 * 1024
_ROWS_PER_BATCH = 16
#: base64 text that is decoded at once
_LONG_TEXT = 64 * 1024 * 1024
#: more than the head of a data URL has
_PREFIX_BYTES = 256
_PICTURE_NAMES = ("image", "base64", "bytes", "image_bytes", "image_base64", "img", "jpg", "jpeg", "png", "data")
_NAME_NAMES = (
    "file_name",
    "filename",
    "name",
    "image_name",
    "id",
    "image_id",
    "img_id",
    "key",
    "__key__",
    "path",
    "image_path",
    "__index_level_0__",
    "index",
    "image",
)


@dataclass(frozen=True)
class PictureColumns:
    """Which columns of a table hold what, as paths such as ``image.bytes``."""

    picture: str
    #: the member's name is the first of these that is not null; all of them lead to it
    names: tuple[str, ...]


def find_columns(schema: pa.Schema) -> PictureColumns | None:
    """Guess from names and types which columns hold pictures and their names; None when none do."""
    structs = [field.name for field in schema if _has_bytes(field.type)]
    binaries = [field.name for field in schema if _is_binary(field.type)]
    texts = [field.name for field in schema if _is_text(field.type) and field.name in _PICTURE_NAMES]
    picture = next((_preferred(group) for group in (structs, binaries, texts) if group), None)
    if picture is None:
        return None
    named = [name for name in _NAME_NAMES if name != picture and name in schema.names]
    names = [name for name in named if _is_name(schema.field(name).type)][:1]
    if picture in structs and schema.field(picture).type.get_field_index("path") >= 0:
        names.append(f"{picture}.path")
    if not names:
        return None
    return PictureColumns(f"{picture}.bytes" if picture in structs else picture, tuple(names))


class ParquetStore(FileStore):
    """A parquet table of pictures."""

    kind = "parquet table"

    def __init__(self, name: str, location: str) -> None:
        super().__init__(name, location)
        self._group: tuple[int, pa.ChunkedArray] | None = None
        self._walk: tuple[int, int, pa.Array, Iterator[pa.Array]] | None = None

    def close(self) -> None:
        """Close the file and forget the row group at hand."""
        self._group = self._walk = None
        table = self.__dict__.pop("_table", None)
        if table is not None:
            table.close()
        super().close()

    def _check(self, file: ByteFile) -> None:
        if file.read_at(0, 4) != _MARK or file.read_at(file.num_bytes - 4, 4) != _MARK:
            raise self._failed("is not a parquet file, or its end is missing", "download it again")
        _ = self._columns

    @cached_property
    def _table(self) -> pq.ParquetFile:
        try:
            return pq.ParquetFile(self._source())
        except pa.ArrowException as error:
            raise self._failed(f"is not a readable parquet file: {error}", "download it again") from error

    def _source(self) -> Any:
        """Let pyarrow read local files by itself: pages may be large, and every layer between holds them once more."""
        if is_remote(self.location):
            return pa.PythonFile(buffered(self._file, 1024 * 1024), mode="r")
        return str(local_path(self.location))

    @cached_property
    def _columns(self) -> PictureColumns:
        schema = self._table.schema_arrow
        columns = find_columns(schema)
        if columns is None:
            shape = ", ".join(f"{field.name} ({field.type})" for field in schema)
            raise self._failed(
                f"has no column of pictures with one of names beside it; its columns are {shape}",
                "name them 'image' (bytes, base64, or a struct of bytes and path) and 'file_name' or 'id'",
            )
        return columns

    def _list(self, file: ByteFile) -> dict[str, str]:
        members: dict[str, str] = {}
        try:
            for group in range(self._table.num_row_groups):
                for row, names in enumerate(self._names(group)):
                    paths = [path for path in map(plain_path, filter(None, names)) if is_listable(path)]
                    members.update(dict.fromkeys(paths, f"{paths[0]}@{group}+{row}" if paths else ""))
        except pa.ArrowException as error:
            raise self._failed(f"is damaged: {error}", "download it again") from error
        return members

    def _names(self, group: int) -> Iterator[tuple[str | None, ...]]:
        table = self._table.read_row_group(group, columns=list(self._columns.names))
        columns = [_dig(table, path).cast(pa.string()).to_pylist() for path in self._columns.names]
        return zip(*columns, strict=True)

    def _open(self, member: str) -> ByteFile:
        """Open a cell where Arrow has it in memory, so that one of a gigabyte is not copied to see its size."""
        try:
            scalar = self._value(*span_of(self._place(member)))
        except (pa.ArrowException, IndexError) as error:
            raise StoreError(f"the table is damaged, or another one now: {error}") from error
        cell = scalar.as_buffer()
        if cell is None:
            raise StoreError("its row holds no picture")
        file = _Cell(cell)
        return _decoded(file) if _is_text(scalar.type) else file

    def _value(self, group: int, row: int) -> Any:
        if not 0 <= group < self._table.num_row_groups:
            raise IndexError(f"there is no row group {group}")
        if _num_picture_bytes(self._table, group, self._columns.picture) > _KEPT_GROUP:
            return self._walk_to(group, row)
        if self._group is None or self._group[0] != group:
            self._group = None
            table = self._table.read_row_group(group, columns=[self._columns.picture])
            self._group = group, _dig(table, self._columns.picture)
        return self._group[1][row]

    def _walk_to(self, group: int, row: int) -> Any:
        """Go on through a large row group to a row; begin anew for a row that lies behind."""
        if self._walk is None or self._walk[0] != group or row < self._walk[1]:
            self._walk = group, 0, pa.array([]), self._batches(group)
        _, start, batch, batches = self._walk
        while row >= start + len(batch):
            start += len(batch)
            batch = next(batches, None)
            if batch is None:
                self._walk = None
                raise IndexError(f"row group {group} has no row {row}")
        self._walk = group, start, batch, batches
        return batch[row - start]

    def _batches(self, group: int) -> Iterator[pa.Array]:
        picture = self._columns.picture
        for batch in self._table.iter_batches(_ROWS_PER_BATCH, row_groups=[group], columns=[picture]):
            yield _dig(batch, picture)


class _Cell(ByteFile):
    """A cell of a table in memory."""

    def __init__(self, buffer: pa.Buffer) -> None:
        self.num_bytes = buffer.size
        self._buffer = memoryview(buffer)

    def _read(self, offset: int, num_bytes: int) -> bytes:
        return bytes(self._buffer[offset : offset + num_bytes])


def _decoded(text: ByteFile) -> ByteFile:
    """Decode base64 at once; what is too long for that, where it is read."""
    if text.num_bytes <= _LONG_TEXT:
        return MemoryFile(decode_base64(text.read_all()))
    prefix = DATA_URL.match(text.read_at(0, _PREFIX_BYTES))
    return open_base64(FileSlice(text, prefix.end(), text.num_bytes - prefix.end()) if prefix else text)


def _dig(table: Any, path: str) -> Any:
    """Give a column, or the part of a struct column that is meant by ``column.part``."""
    if path in table.schema.names:
        return table[path]
    column, _, part = path.rpartition(".")
    return pc.struct_field(table[column], part)


def _num_picture_bytes(table: pq.ParquetFile, group: int, path: str) -> int:
    columns = table.metadata.row_group(group)
    chunks = (columns.column(number) for number in range(columns.num_columns))
    return sum(chunk.total_uncompressed_size for chunk in chunks if chunk.path_in_schema == path)


def _preferred(names: list[str]) -> str | None:
    """Give the best-known of several names; the only one even if unknown."""
    known = [name for name in _PICTURE_NAMES if name in names]
    return known[0] if known else names[0] if len(names) == 1 else None


def _has_bytes(kind: pa.DataType) -> bool:
    return bool(pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0)


def _is_binary(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind))


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _is_name(kind: pa.DataType) -> bool:
    return _is_text(kind.value_type if pa.types.is_dictionary(kind) else kind) or bool(pa.types.is_integer(kind))
