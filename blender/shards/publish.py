"""Put a finished blend behind a URL: uploaded whole, read back, and compared by size and hash.

A blend for a URL is written into a folder of this machine first: shards are hashed and renamed as they are written.
Its files are then uploaded one by one, the manifest last: whoever finds a manifest finds the whole blend behind it. An
interrupted upload goes on with the files that are not there or not right.
"""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from blender.blend.mix import SPLITS
from blender.core.block_cache import cache_folder
from blender.core.checksums import file_hash
from blender.errors import FolderError
from blender.images.files import is_web, join_remote, remote_system
from blender.shards.manifest import MANIFEST_NAME, Manifest

_PIECE = 8 << 20
_TRIES = 3
_LEDGER, _CARD = "ledger.parquet", "README.md"
#: what a blend consists of, at its top
_OWN = (MANIFEST_NAME, _LEDGER, _CARD, *SPLITS)
#: written by other programs, or by hubs; in nobody's way
_IGNORED = (".gitattributes", ".nv-meta")

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
        strangers = sorted(set(self._names()) - {*_OWN, *_IGNORED})
        if strangers:
            named = ", ".join(strangers[:3])
            raise FolderError(f"{self.url} holds something else than a blend: {named}", "choose an empty or a new one")

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
        names = set(self._names())
        manifest = self._manifest() if MANIFEST_NAME in names else None
        if manifest is not None and manifest.fingerprint == fingerprint and self._has_all(manifest, checksum):
            return manifest
        is_other = MANIFEST_NAME in names and (manifest is None or manifest.fingerprint != fingerprint)
        if is_other and not overwrite:
            raise FolderError(
                f"{self.url} holds a blend of another recipe, or of inputs that have changed since",
                "choose another place, or add --overwrite to delete that blend first",
            )
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
            FolderError: A file cannot be uploaded, or what comes back is something else.
        """
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

    def read(self, path: str) -> bytes | None:
        """Read a small file that lies there; None when it does not.

        Raises:
            FolderError: It cannot be read.
        """
        address = self._address(path)
        if self._size(address) is None:
            return None
        content: bytes = self._ask(path, lambda: self._system.cat_file(address))
        return content

    def write(self, path: str, content: bytes) -> None:
        """Write a small file there.

        Raises:
            FolderError: It cannot be written.
        """
        self._ask(path, lambda: self._system.pipe_file(self._address(path), content))

    def _upload(self, local: Path, path: str, sha256: str) -> None:
        address, size = self._address(path), local.stat().st_size
        for _ in range(_TRIES):
            if self._size(address) == size and self._digest(address) == sha256:
                return
            self._ask(path, lambda: self._system.put_file(str(local), address))
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
        for name in (MANIFEST_NAME, _LEDGER, _CARD, *SPLITS):
            self._remove(name)

    def _remove(self, path: str) -> None:
        address = self._address(path)
        if self._system.exists(address):
            self._ask(path, lambda: self._system.rm(address, recursive=True))

    def _has_all(self, manifest: Manifest, checksum: bool) -> bool:
        files = [(shard.path, shard.num_bytes, shard.sha256) for shard in manifest.shards]
        files += [(table.path, table.num_bytes, table.sha256) for table in manifest.tables]
        return all(
            self._size(self._address(path)) == num_bytes
            and (not checksum or self._digest(self._address(path)) == sha256)
            for path, num_bytes, sha256 in files
        )

    def _manifest(self) -> Manifest | None:
        content = self._ask(MANIFEST_NAME, lambda: self._system.cat_file(self._address(MANIFEST_NAME)))
        try:
            return msgspec.json.decode(content, type=Manifest)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return None

    def _names(self, folder: str = "") -> Iterator[str]:
        """List the names directly in a folder; none when it is not there."""
        address = self._address(folder).rstrip("/")
        self._system.invalidate_cache()
        try:
            entries = self._system.ls(address, detail=False)
        except (FileNotFoundError, NotADirectoryError):
            return
        except Exception as error:
            raise FolderError(
                f"{self.url} cannot be listed: {error}", "check the address and your access to it"
            ) from error
        for entry in entries:
            path = str(entry).rstrip("/")
            if path and path != address:
                yield path.rpartition("/")[2]

    def _size(self, address: str) -> int | None:
        try:
            self._system.invalidate_cache()
            size = self._system.info(address).get("size")
        except FileNotFoundError:
            return None
        return None if size is None else int(size)

    def _digest(self, address: str) -> str:
        """Hash a file as it lies there."""
        digest = hashlib.sha256()
        with self._system.open(address, "rb", cache_type="readahead", block_size=_PIECE) as file:
            while piece := file.read(_PIECE):
                digest.update(piece)
        return digest.hexdigest()

    def _address(self, path: str) -> str:
        return join_remote(self._system, self._root, path)

    def _ask(self, path: str, question: Callable[[], Any]) -> Any:
        try:
            return question()
        except Exception as error:
            raise FolderError(
                f"{self.url}/{path} cannot be written: {str(error) or type(error).__name__}",
                "check the address and your access to it; the same command goes on",
            ) from error


def _files_in_order(folder: Path, manifest: Manifest) -> list[str]:
    """List the paths of a blend's files, the manifest last."""
    beside = [f"{split}/{name}" for split in SPLITS for name in _beside_shards(folder / split)]
    return [*(shard.path for shard in manifest.shards), *beside, _LEDGER, _CARD, MANIFEST_NAME]


def _beside_shards(split: Path) -> list[str]:
    return sorted(path.name for path in split.iterdir() if path.suffix != ".tar") if split.is_dir() else []
