"""The interface of all image stores.

A *name* is what an annotation calls an image; a *member* is what the store calls it. :meth:`ImageStore.resolve` turns a
name into a member, and is the only step that may need the store's table of contents. A member contains the position of
its bytes (``train2017/000000442786.jpg@1024+163840`` in a tar), so a worker process that receives members reads from a
store of gigabytes without listing it. For the same reason a pickled store is only its name and location: it is opened
again, on first use, in the process that unpickles it.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from types import TracebackType
from typing import Self

from blender.core.errors import StoreError
from blender.data.images.damage import DamagedImage
from blender.data.images.files import ByteFile
from blender.data.images.names import NameIndex, fault_of_name, plain_path, shown_name
from blender.data.images.remote import UnreachableError, open_file
from blender.data.images.suggestions import Suggestions


class VanishedError(StoreError):
    """An image, or a whole store, that was there when it was looked up and is not there now."""


class ImageStore(ABC):
    """Images by name.

    Args:
        name: The store's name in the recipe.
        location: The path or URL that it was given there.
    """

    #: what it is, as in "is not a zip archive"
    kind: str

    def __init__(self, name: str, location: str) -> None:
        self.name = name
        self.location = location

    def __reduce__(self) -> tuple[object, ...]:
        """Travel as name and location alone, to be opened again on first use."""
        return type(self), (self.name, self.location)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def resolve(self, name: str) -> str | None:
        """Return the member for the name that an annotation uses; None if none fits, or more than one."""
        inside = self._inside(name)
        return None if fault_of_name(inside) else self._find(plain_path(inside))

    def refusal(self, name: str) -> str | None:
        """Return why a name may not be looked up here, as a sentence; None if it may (it may still be missing)."""
        inside = self._inside(name)
        fault = fault_of_name(inside) or self._fault_of_link(plain_path(inside))
        return (
            f"image name {shown_name(name)!r} {fault}, so it is not looked up in image store {self.name}"
            if fault
            else None
        )

    def suggest(self, name: str) -> str | None:
        """Return what a missing name may have meant, as the end of a sentence; None if no name is similar."""
        suggestions = self._suggestions(plain_path(self._inside(name)))
        return suggestions.suggest(name) if suggestions else None

    def find_misplaced(self, names: Sequence[str]) -> str | None:
        """Return a sentence that says where images are that are nearly all missing here; None if they are not near."""
        return None

    def read(self, member: str) -> bytes:
        """Read a whole image file, as it is.

        Raises:
            VanishedError: The member is not there any more.
            UnreachableError: A server does not answer.
            StoreError: It cannot be read, or its checksum is wrong.
        """
        with self.explaining(member):
            return self._read(member)

    def head(self, member: str, num_bytes: int) -> bytes:
        """Read the first bytes of an image file.

        Raises:
            StoreError: As for :meth:`read`.
        """
        with self.open(member) as file, self.explaining(member):
            return file.read_at(0, num_bytes)

    def open(self, member: str) -> ByteFile:
        """Open an image file, to read parts of it.

        Raises:
            StoreError: As for :meth:`read`.
        """
        with self.explaining(member):
            return self._open(member)

    @contextmanager
    def explaining(self, member: str) -> Iterator[None]:
        """Turn errors while a member is read into a StoreError that names the store and the image.

        Raises:
            VanishedError: The member is not there any more.
            StoreError: It cannot be read.
            DamagedImage: As it is, where its content is at fault and not the store.
        """
        try:
            yield
        except DamagedImage:
            raise
        except (FileNotFoundError, NotADirectoryError) as error:
            raise VanishedError(f"image store {self.name} ({self.location}) lost {self.name_of(member)}") from error
        except OSError as error:
            raise self._unreadable(member, error.strerror or str(error)) from error
        except VanishedError:
            raise
        except UnreachableError as error:
            raise UnreachableError(self._unreadable(member, error.message).message, error.hint) from error
        except StoreError as error:
            raise self._unreadable(member, error.message) from error

    @abstractmethod
    def name_of(self, member: str) -> str:
        """Give a member's name without the place of its bytes, for people to read."""

    @abstractmethod
    def check(self) -> None:
        """Check that this is a store of this kind, without reading its table of contents.

        Raises:
            StoreError: It is not there, may not be read, or is something else.
        """

    def close(self) -> None:  # noqa: B027 (a folder holds nothing open)
        """Give back open files; using the store again opens them again."""

    @abstractmethod
    def _find(self, name: str) -> str | None:
        """Give the member for a harmless name."""

    @abstractmethod
    def _open(self, member: str) -> ByteFile:
        """Open a member; FileNotFoundError when it is gone."""

    def _read(self, member: str) -> bytes:
        with self._open(member) as file:
            return file.read_all()

    def _fault_of_link(self, name: str) -> str | None:
        return None

    def _inside(self, name: str) -> str:
        """Give the path inside the store that a name means: Windows' backslashes are slashes."""
        return name.replace("\\", "/") if "\\" in name else name

    def _suggestions(self, name: str) -> Suggestions | None:
        """Give the names that a missing one may be compared with."""
        return None

    def _unreadable(self, member: str, why: str) -> StoreError:
        return StoreError(f"{self.name_of(member)} in image store {self.name} ({self.location}) cannot be read: {why}")

    def _failed(self, what: str, hint: str | None = None) -> StoreError:
        return StoreError(f"image store {self.name} ({self.location}) {what}", hint)


class FileStore(ImageStore):
    """A store that is one big file. Its members end in ``@`` and the place of their bytes."""

    def check(self) -> None:
        """Look at the marks of the file's kind."""
        try:
            self._check(self._file)
        except FileNotFoundError as error:
            raise self._failed("does not exist", f"check the path of {self.name} under 'images'") from error
        except OSError as error:
            raise self._failed(f"cannot be read: {error.strerror or error}") from error

    def name_of(self, member: str) -> str:
        """Give a member's name without the place of its bytes."""
        return member.rpartition("@")[0] or member

    def close(self) -> None:
        """Close the file; using the store again opens it again."""
        file = self.__dict__.pop("_file", None)
        if file is not None:
            file.close()

    @abstractmethod
    def _check(self, file: ByteFile) -> None:
        """Raise StoreError when the file is something else."""

    @abstractmethod
    def _list(self, file: ByteFile) -> dict[str, str]:
        """Read the table of contents: path in the store → member."""

    @cached_property
    def _file(self) -> ByteFile:
        return open_file(self.location)

    @cached_property
    def _index(self) -> NameIndex:
        try:
            return NameIndex(self._list(self._file))
        except OSError as error:
            raise self._failed(f"cannot be listed: {error.strerror or error}") from error

    def _find(self, name: str) -> str | None:
        return self._index.find(name)

    def _suggestions(self, name: str) -> Suggestions | None:
        return self._all_names

    @cached_property
    def _all_names(self) -> Suggestions:
        return Suggestions(self._index.members)

    def _place(self, member: str) -> str:
        """Give what follows the last ``@``: the place of a member's bytes."""
        name, at, place = member.rpartition("@")
        if not at:
            raise StoreError(f"{member!r} is a name, not a member; look it up with resolve()")
        return place


def span_of(place: str) -> tuple[int, int]:
    """Read ``offset+length``.

    Raises:
        StoreError: It is not such a place.
    """
    offset, plus, length = place.partition("+")
    if not (plus and offset.isdecimal() and length.isdecimal()):
        raise StoreError(f"{place!r} is no place in a file")
    return int(offset), int(length)


def is_listable(path: str) -> bool:
    """Say whether a path inside an archive may be looked up at all; a name that climbs out of it is never matched."""
    return bool(path) and fault_of_name(path) is None
