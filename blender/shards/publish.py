"""Put a finished blend behind a URL: uploaded whole, read back, and compared by size and hash.

A blend for a URL is written into a folder of this machine first: shards are hashed and renamed as they are written.
Its files are then uploaded one by one, the manifest last: whoever finds a manifest finds the whole blend behind it. An
interrupted upload goes on with the files that are not there or not right.

The rules are those of a folder (:mod:`blender.core.folder`): the place is empty, or ours by a manifest, a ledger or the
marker, which is there while the blend is uploaded. Only files that a blend consists of are deleted, and nothing is as
long as there is any other file among them. Nothing can be locked there.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from blender.blend.tables import SPLITS
from blender.core.block_cache import cache_folder
from blender.core.checksums import file_hash
from blender.core.errors import FolderError
from blender.core.folder import MARKER, marker_text
from blender.data.images.remote import is_web, join_remote, remote_system
from blender.shards.folder import BLEND, ENERGON, LEDGER, begins_like_manifest, is_ledger
from blender.shards.manifest import MANIFEST_NAME, Manifest

_PIECE = 8 << 20
_TRIES = 3
_CARD = "README.md"
_SHOWN = 3
_HINT = "check the address and your access to it"

#: called with (bytes uploaded or there already, bytes in all)
OnUploaded = Callable[[int, int], None]


def staging_folder(url: str) -> Path:
    """Return the folder in which a blend for a URL is written before it is uploaded."""
    return cache_folder() / "staging" / hashlib.sha256(url.rstrip("/").encode()).hexdigest()[:32]


class RemoteTarget:
    """The place behind a URL that a blend is uploaded to.

    Args:
        url: The folder's URL.

    Raises:
        StoreError: No such kind of URL is known.
        FolderError: Nothing can be written there, or it holds something else than a blend.
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self._system, self._root = remote_system(self.url)
        if is_web(self._system):
            raise FolderError(f"{url} is a web address, to which nothing can be written", "name a folder or a bucket")
        self._refuse_others()

    def claim(self, fingerprint: str, *, overwrite: bool, checksum: bool = False) -> Manifest | None:
        """Make the place that of one blend.

        Args:
            fingerprint: The blend's.
            overwrite: Delete another blend that is there.
            checksum: Read every shard to see whether the blend is there; else only their sizes are looked at.

        Returns:
            The manifest, when the whole blend is there already.

        Raises:
            FolderError: It is another blend's, and ``overwrite`` is not set.
        """
        content = self.read(MANIFEST_NAME)
        manifest = None if content is None else _decoded(content)
        if manifest is not None and manifest.fingerprint == fingerprint and self._has_all(manifest, checksum):
            return manifest
        is_other = content is not None and (manifest is None or manifest.fingerprint != fingerprint)
        if is_other and not overwrite:
            what = (
                "of another recipe, or of inputs that have changed since" if manifest else "whose manifest is damaged"
            )
            raise FolderError(
                f"{self.url} holds a blend {what}",
                "choose another place, or add --overwrite to delete that blend first",
            )
        # written early, so that a place where nothing can be written is known before the blend is
        self.write(MARKER, marker_text(BLEND).encode())
        if is_other:
            self._clear()
        return None

    def upload(self, folder: Path, manifest: Manifest, on_uploaded: OnUploaded | None = None) -> None:
        """Upload a finished blend, and read back what was uploaded.

        Args:
            folder: The blend's folder on this machine.
            manifest: Its manifest.
            on_uploaded: Called as files are done.

        Raises:
            FolderError: A file cannot be uploaded, what comes back is something else, or another blend or a stranger's
                file has come there meanwhile.
        """
        self._refuse_others()
        if self.claim(manifest.fingerprint, overwrite=False) is not None:
            return
        self._remove(MANIFEST_NAME)
        hashes = {shard.path: shard.sha256 for shard in manifest.shards}
        files = _files_in_order(folder, manifest)
        self._remove_leftovers(set(files))
        done, total = 0, sum((folder / path).stat().st_size for path in files)
        for path in files:
            local = folder / path
            self._upload(local, path, hashes.get(path) or file_hash(local))
            done += local.stat().st_size
            if on_uploaded:
                on_uploaded(done, total)
        self._remove(MARKER)

    def read(self, path: str) -> bytes | None:
        """Read a small file that lies there; None when it does not.

        Raises:
            FolderError: It cannot be read.
        """
        address = self._address(path)
        if self._size(path) is None:
            return None
        content: bytes = self._ask(path, "read", lambda: self._system.cat_file(address))
        return content

    def write(self, path: str, content: bytes) -> None:
        """Write a small file there.

        Raises:
            FolderError: It cannot be written.
        """
        self._ask(path, "written", lambda: self._system.pipe_file(self._address(path), content))

    def _upload(self, local: Path, path: str, sha256: str) -> None:
        address, size = self._address(path), local.stat().st_size
        for attempt in range(_TRIES + 1):
            if self._size(path) == size and self._digest(path) == sha256:
                return
            if attempt < _TRIES:
                self._ask(path, "written", lambda: self._system.put_file(str(local), address))
        raise FolderError(
            f"{self.url}/{path} comes back with other bytes than were uploaded, {_TRIES} times",
            "run the same command again; what is right there is kept",
        )

    def _remove_leftovers(self, files: set[str]) -> None:
        """Delete what an interrupted upload of another blend left among the shards."""
        for split in SPLITS:
            for name in self._names(split):
                if f"{split}/{name}" not in files:
                    self._remove(f"{split}/{name}")

    def _clear(self) -> None:
        """Delete a blend, its manifest first."""
        energon = [path for path in self._files(ENERGON) if BLEND.rank(path) is not None]
        shards = [path for split in SPLITS for path in self._files(split)]
        for path in (MANIFEST_NAME, LEDGER, _CARD, *energon, *shards):
            self._remove(path)

    def _remove(self, path: str) -> None:
        if self._size(path) is not None:
            self._ask(path, "deleted", lambda: self._system.rm_file(self._address(path)))

    def _has_all(self, manifest: Manifest, checksum: bool) -> bool:
        files = [(shard.path, shard.num_bytes, shard.sha256) for shard in manifest.shards]
        files += [(table.path, table.num_bytes, table.sha256) for table in manifest.tables]
        return all(
            self._size(path) == num_bytes and (not checksum or self._digest(path) == sha256)
            for path, num_bytes, sha256 in files
        )

    def _refuse_others(self) -> None:
        """Refuse a place that is not ours, or where other files are among ours; an empty one is nobody's."""
        present = sorted(name for name in set(self._names()) if not BLEND.is_ignored(name))
        strangers = present
        if present and self._is_proven(present):
            strangers = [name for name in present if not BLEND.has_at_top(name)]
            strangers += [path for split in SPLITS for path in self._files(split) if BLEND.rank(path) is None]
        if strangers:
            raise FolderError(
                f"{self.url} holds something else than a blend: {', '.join(strangers[:_SHOWN])}",
                "choose an empty or a new one",
            )

    def _is_proven(self, names: list[str]) -> bool:
        if MARKER in names and self.read(MARKER) == marker_text(BLEND).encode():
            return True
        if MANIFEST_NAME in names and begins_like_manifest(self.read(MANIFEST_NAME) or b""):
            return True
        return LEDGER in names and bool(self._ask(LEDGER, "read", lambda: self._is_ledger(LEDGER)))

    def _is_ledger(self, path: str) -> bool:
        with self._system.open(self._address(path), "rb") as file:
            return is_ledger(file)

    def _files(self, folder: str) -> list[str]:
        return [f"{folder}/{name}" for name in self._names(folder)]

    def _names(self, folder: str = "") -> Iterator[str]:
        """List the names directly in a folder; none when it is not there."""
        address = self._address(folder).rstrip("/")
        self._system.invalidate_cache()
        try:
            entries = self._system.ls(address, detail=False)
        except (FileNotFoundError, NotADirectoryError):
            return
        except Exception as error:
            raise FolderError(f"{self.url} cannot be listed: {_words(error)}", _HINT) from error
        for entry in entries:
            path = str(entry).rstrip("/")
            if path and path != address:
                yield path.rpartition("/")[2]

    def _size(self, path: str) -> int | None:
        size = self._ask(path, "read", lambda: self._information(path).get("size"))
        return None if size is None else int(size)

    def _information(self, path: str) -> Mapping[str, Any]:
        self._system.invalidate_cache()
        try:
            information: Mapping[str, Any] = self._system.info(self._address(path))
        except FileNotFoundError:
            return {}
        return information if information.get("type") != "directory" else {}

    def _digest(self, path: str) -> str:
        """Hash a file as it lies there."""
        return str(self._ask(path, "read back", lambda: self._hash(path)))

    def _hash(self, path: str) -> str:
        digest = hashlib.sha256()
        with self._system.open(self._address(path), "rb", cache_type="readahead", block_size=_PIECE) as file:
            while piece := file.read(_PIECE):
                digest.update(piece)
        return digest.hexdigest()

    def _address(self, path: str) -> str:
        return join_remote(self._system, self._root, path)

    def _ask(self, path: str, what: str, question: Callable[[], Any]) -> Any:
        try:
            return question()
        except Exception as error:
            raise FolderError(
                f"{self.url}/{path} cannot be {what}: {_words(error)}", f"{_HINT}; the same command goes on"
            ) from error


def _words(error: Exception) -> str:
    return str(error) or type(error).__name__


def _decoded(content: bytes) -> Manifest | None:
    try:
        return msgspec.json.decode(content, type=Manifest)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def _files_in_order(folder: Path, manifest: Manifest) -> list[str]:
    """List the paths of a blend's files, the manifest last."""
    beside = [f"{split}/{name}" for split in SPLITS for name in _beside_shards(folder / split)]
    return [*(shard.path for shard in manifest.shards), *beside, LEDGER, _CARD, MANIFEST_NAME]


def _beside_shards(split: Path) -> list[str]:
    return sorted(path.name for path in split.iterdir() if path.suffix != ".tar") if split.is_dir() else []
