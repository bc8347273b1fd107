"""A store that is a folder, on disk or behind a URL.

A folder may hold a million files in many sub-folders. Only the folders that names mention are listed, once each, which
makes 120,000 lookups a matter of milliseconds; asking the file system for each name would take far longer. Web servers
often cannot list: there, a name that is in no listing is requested by itself.

Symbolic links may lead anywhere inside the root (which may itself be a link), never out of it.
"""

import os
import unicodedata
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote

from blender.core.block_cache import RemoteVersion
from blender.core.errors import StoreError
from blender.data.images.files import ByteFile, LocalFile, local_path, path_of
from blender.data.images.misplaced import find_misplaced
from blender.data.images.names import NameIndex, extension_of, fault_of_name, plain_path, spellings
from blender.data.images.remote import (
    RemoteFile,
    ask_version,
    is_web,
    join_remote,
    remembered_version,
    remote_system,
    version_in,
)
from blender.data.images.store import ImageStore
from blender.data.images.suggestions import Suggestions

#: what to try on a server that cannot list when an id has no extension
_LIKELY_EXTENSIONS = ("jpg", "jpeg", "png", "webp")
_CREDENTIALS = "check the credentials, and what they may read"


@dataclass(frozen=True)
class Listing:
    """The files directly in one folder."""

    index: NameIndex
    #: those that are symbolic links
    links: frozenset[str] = frozenset()
    #: what remote files hold, where listing tells it
    versions: dict[str, RemoteVersion] | None = None
    #: whether the folder itself lies outside the store, by a link
    outside: bool = False


_NOTHING = Listing(NameIndex({}))


class FolderStore(ImageStore):
    """What local and remote folders have in common; a member is a path relative to the root."""

    kind = "folder"

    def __init__(self, name: str, location: str) -> None:
        super().__init__(name, location)
        self._listings: dict[str, Listing] = {}
        self._meanings: dict[str, list[str]] = {}
        self._names_in: dict[str, Suggestions] = {}

    def name_of(self, member: str) -> str:
        """Give the member: it is nothing but its path."""
        return member

    def _find(self, name: str) -> str | None:
        folder, _, base = name.rpartition("/")
        for inside in self._readings(folder):
            found = self._listing(inside).index.find(base)
            if found is not None:
                member = f"{inside}/{found}" if inside else found
                return None if self._leads_out(inside, found) else member
        return None

    def _fault_of_link(self, name: str) -> str | None:
        folder, _, base = name.rpartition("/")
        for inside in self._readings(folder):
            listing = self._listing(inside)
            found = listing.index.find(base)
            if listing.outside or (found is not None and self._leads_out(inside, found)):
                return "leads out of the store by a symbolic link"
        return None

    def _readings(self, folder: str) -> list[str]:
        """Return the folders that the folder of a name may mean.

        ``coco/train2017`` means ``train2017`` in a store at ``/data/coco`` and the root of one at
        ``/data/coco/train2017``: leading folders that repeat the end of the location may be dropped.
        """
        readings = self._meanings.get(folder)
        if readings is None:
            readings = self._meanings[folder] = self._work_out_readings(folder)
        return readings

    def _work_out_readings(self, folder: str) -> list[str]:
        parts = folder.split("/") if folder else []
        repeated = (num for num in range(1, len(parts) + 1) if self._last_folders[-num:] == parts[:num])
        readings = [folder, *("/".join(parts[num:]) for num in repeated)]
        if folder.isascii():
            return readings
        forms: tuple[Literal["NFC"], Literal["NFD"]] = ("NFC", "NFD")
        return list(
            dict.fromkeys([*readings, *(unicodedata.normalize(form, name) for name in readings for form in forms)])
        )

    def _suggestions(self, name: str) -> Suggestions | None:
        """Return the names in the folder that a name means, or in the root if there is no such folder."""
        folder = "" if fault_of_name(name) else name.rpartition("/")[0]
        known = (inside for inside in (*self._readings(folder), "") if self._listing(inside).index.members)
        inside = next(known, None)
        if inside is None:
            return None
        if inside not in self._names_in:
            prefix = f"{inside}/" if inside else ""
            members = self._listing(inside).index.members
            self._names_in[inside] = Suggestions(prefix + base for base in members)
        return self._names_in[inside]

    @cached_property
    def _last_folders(self) -> list[str]:
        return [part for part in path_of(self.location).split("/") if part]

    def _listing(self, folder: str) -> Listing:
        listing = self._listings.get(folder)
        if listing is None:
            listing = self._listings[folder] = self._list(folder)
        return listing

    @abstractmethod
    def _list(self, folder: str) -> Listing:
        """List the files directly in a folder; nothing when there is no such folder."""

    def _leads_out(self, folder: str, base: str) -> bool:
        return False


class LocalFolderStore(FolderStore):
    """A folder on this machine."""

    def check(self) -> None:
        """Look whether the folder is there and may be read."""
        if not self._root.is_dir():
            raise self._failed("does not exist", f"check the path of {self.name} under 'images'")
        if not os.access(self._root, os.R_OK | os.X_OK):
            raise self._failed("may not be read: permission denied")

    def find_misplaced(self, names: Sequence[str]) -> str | None:
        """Say in which folder near by images are that are nearly all missing here."""
        return find_misplaced(
            self.name, self._root, [plain_path(name) for name in map(self._inside, names) if not fault_of_name(name)]
        )

    def _inside(self, name: str) -> str:
        """Give the path inside the store that a name means, also for an absolute path that lies in it."""
        inside = super()._inside(name)
        if not inside.startswith("/") or inside.startswith("//"):
            return inside
        path = "/" + plain_path(inside[1:])
        roots = (str(self._root.absolute()), self._true_root)
        return next((path[len(root) + 1 :] for root in roots if path.startswith(f"{root}/")), inside)

    @cached_property
    def _root(self) -> Path:
        return local_path(self.location)

    @cached_property
    def _true_root(self) -> str:
        return os.path.realpath(self._root)

    @cached_property
    def _prefix(self) -> str:
        return str(self._root).rstrip("/") + "/"

    def _open(self, member: str) -> ByteFile:
        return LocalFile(self._prefix + _harmless(member))

    def _list(self, folder: str) -> Listing:
        path = self._prefix + folder
        try:
            true_path = os.path.realpath(path)
            if not self._contains(true_path):
                return Listing(NameIndex({}), outside=True)
            with os.scandir(true_path) as entries:
                links = {entry.name: entry.is_symlink() for entry in entries if _is_plain(entry)}
        except PermissionError as error:
            raise self._failed(f"has a folder that may not be listed: {folder or '.'}") from error
        except (OSError, ValueError):
            return _NOTHING
        index = NameIndex({name: name for name in links})
        return Listing(index, frozenset(name for name, linked in links.items() if linked))

    def _leads_out(self, folder: str, base: str) -> bool:
        if base not in self._listing(folder).links:
            return False
        return not self._contains(os.path.realpath(f"{self._prefix}{folder}/{base}"))

    def _contains(self, true_path: str) -> bool:
        root = self._true_root.rstrip("/")
        return true_path == self._true_root or true_path.startswith(root + "/")


def _harmless(member: str) -> str:
    """Return a member; refuse one that was made up to read outside of the store."""
    fault = fault_of_name(member)
    if fault:
        raise StoreError(f"it {fault}")
    return member


def _is_plain(entry: "os.DirEntry[str]") -> bool:
    """Tell whether an entry is a file or a link to one; reading a pipe or device could block forever."""
    return entry.is_file() and fault_of_name(entry.name) is None


class RemoteFolderStore(FolderStore):
    """A folder behind a URL."""

    def check(self) -> None:
        """Look whether the folder is there. A web address may name no page by itself; there, any answer will do."""
        try:
            there = self._answers() if is_web(self._system) else self._system.isdir(self._root)
        except PermissionError as error:
            raise self._failed(f"may not be read: {error}", _CREDENTIALS) from error
        except Exception as error:
            raise self._failed(f"cannot be reached: {error}") from error
        if not there:
            raise self._failed("does not exist", f"check the address of {self.name} under 'images'")

    def _answers(self) -> bool:
        try:
            ask_version(self._system, self._root)
        except FileNotFoundError:
            return True
        except StoreError as error:
            if getattr(error.__cause__, "status", None) is None:
                raise
        return True

    @cached_property
    def _opened(self) -> tuple[Any, str]:
        return remote_system(self.location)

    @property
    def _system(self) -> Any:
        return self._opened[0]

    @property
    def _root(self) -> str:
        return self._opened[1]

    def _address(self, path: str) -> str:
        return join_remote(self._system, self._root, path)

    def _open(self, member: str) -> ByteFile:
        _harmless(member)
        folder, _, base = member.rpartition("/")
        listing = self._listings.get(folder, _NOTHING)
        address = self._address(member)
        version = (listing.versions or {}).get(base) or remembered_version(self._system, address)
        return RemoteFile(self._system, address, version)

    def _find(self, name: str) -> str | None:
        return super()._find(name) or (self._ask_for(name) if is_web(self._system) else None)

    def _ask_for(self, name: str) -> str | None:
        folder, _, base = name.rpartition("/")
        extensions = [""] if extension_of(base) else ["", *(f".{extension}" for extension in _LIKELY_EXTENSIONS)]
        for inside in self._readings(folder):
            asked = [base + extension for extension in extensions] + list(islice(spellings(base), 1, 2))
            for spelling in dict.fromkeys(asked):
                member = f"{inside}/{spelling}" if inside else spelling
                if self._is_there(member):
                    return member
        return None

    def _is_there(self, member: str) -> bool:
        try:
            remembered_version(self._system, self._address(member))
        except FileNotFoundError:
            return False
        return True

    def _list(self, folder: str) -> Listing:
        address = self._address(folder)
        try:
            entries = self._system.ls(address, detail=True)
        except (FileNotFoundError, NotADirectoryError):
            return _NOTHING
        except Exception as error:
            if is_web(self._system):
                return _NOTHING
            hint = _CREDENTIALS if isinstance(error, PermissionError) else None
            raise self._failed(f"cannot be listed: {error}", hint) from error
        named = {_base_of(entry["name"], address, is_web(self._system)): entry for entry in entries}
        files = {name: entry for name, entry in named.items() if name and entry["type"] == "file"}
        versions = {
            name: version_in(self._address(f"{folder}/{name}" if folder else name), entry)
            for name, entry in files.items()
        }
        return Listing(
            NameIndex({name: name for name in files}),
            versions={name: version for name, version in versions.items() if version},
        )


def _base_of(path: str, folder: str, web: bool) -> str:
    """Give the name of an entry directly in a folder; empty for what is deeper, elsewhere or not a harmless name."""
    base = path.removesuffix("/").rpartition("/")[2] if not web else unquote(_below(path, folder))
    return "" if "/" in base or fault_of_name(base) else base


def _below(url: str, folder: str) -> str:
    prefix = folder.rstrip("/") + "/"
    page = url.partition("?")[0].partition("#")[0]
    return page.removeprefix(prefix) if page.startswith(prefix) else ""
