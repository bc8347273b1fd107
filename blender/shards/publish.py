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

#: called with the bytes that were uploaded, or found to be there, since the last call
OnUploaded = Callable[[int], None]


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

    def claim(self, fingerprint: str, *, overwrite: bool) -> Manifest | None:
        """Make the place that of one blend.

        Returns:
            The manifest, when the whole blend is there already.

        Raises:
            FolderError: It is another blend's, and ``overwrite`` is not set.
        """
        names = set(self._names())
        manifest = self._manifest() if MANIFEST_NAME in names else None
        if manifest is not None and manifest.fingerprint == fingerprint and self._has_all(manifest):
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
        for path in files:
            local = folder / path
            self._upload(local, path, hashes.get(path) or _digest_of(local))
            if on_uploaded:
                on_uploaded(local.stat().st_size)

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

    def _has_all(self, manifest: Manifest) -> bool:
        return all(self._size(self._address(shard.path)) == shard.num_bytes for shard in manifest.shards)

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


def _digest_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
