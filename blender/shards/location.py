"""Where a blend lies: a folder of this machine, or a URL, of which the tables are copied here and the shards are not.

Of a blend behind a URL the manifest is read anew each time; index and ledger are copied once for each manifest and
checked against its hashes. Of the shards only those bytes are fetched that somebody reads, through the block cache.
"""

import hashlib
from pathlib import Path

from blender.blend.tables import SPLITS
from blender.core.block_cache import cache_folder
from blender.core.errors import ShardError, StoreError
from blender.core.files import write_whole
from blender.data.images.files import ByteFile, LocalFile, is_remote, local_path
from blender.data.images.remote import RemoteFile, join_remote, open_file, read_remote, remote_system
from blender.shards.index import INDEX_NAME
from blender.shards.manifest import MANIFEST_NAME, Manifest, decode_manifest, read_manifest

_LEDGER = "ledger.parquet"
_CHECK = "run `visualchat verify`"


def fetch_tables(location: str) -> tuple[Path, Manifest]:
    """Return the folder of a blend's manifest, indexes and ledger on this machine, and the manifest.

    Args:
        location: The blend's folder or URL.

    Raises:
        ShardError: It is not a finished blend, or cannot be read.
    """
    if not is_remote(location):
        return local_path(location), read_manifest(local_path(location))
    try:
        system, root = remote_system(location)
        content = read_remote(system, join_remote(system, root, MANIFEST_NAME))
    except FileNotFoundError as error:
        raise ShardError(
            f"{location} is not a finished blend: it has no {MANIFEST_NAME}", "name a blend's folder"
        ) from error
    except StoreError as error:
        raise ShardError(f"{location} cannot be read: {error.message}", error.hint) from error
    manifest = decode_manifest(content, f"{location}/{MANIFEST_NAME}")
    folder = cache_folder() / "tables" / hashlib.sha256(location.encode() + b"\0" + content).hexdigest()[:32]
    hashes = {table.path: table.sha256 for table in manifest.tables}
    splits = {shard.split for shard in manifest.shards}
    try:
        for path in (_LEDGER, *(f"{split}/{INDEX_NAME}" for split in SPLITS if split in splits)):
            _copy(location, path, folder / path, hashes.get(path))
        write_whole(folder / MANIFEST_NAME, content)
    except OSError as error:
        raise ShardError(
            f"the tables of {location} cannot be copied to {folder}: {error.strerror or error}",
            "name a folder with room that you may write to with VISUALCHAT_CACHE",
        ) from error
    return folder, manifest


def _copy(location: str, path: str, target: Path, sha256: str | None) -> None:
    """Copy a table, unless it is here already."""
    if target.is_file():
        return
    system, root = remote_system(location)
    try:
        content = RemoteFile(system, join_remote(system, root, path)).read_all()
    except (FileNotFoundError, StoreError) as error:
        why = error.message if isinstance(error, StoreError) else "there is no such file"
        raise ShardError(f"{location}/{path} cannot be read: {why}", "copy the blend there again") from error
    if sha256 is not None and hashlib.sha256(content).hexdigest() != sha256:
        raise ShardError(f"{location}/{path} has another checksum than {MANIFEST_NAME} says", "copy the blend again")
    target.parent.mkdir(parents=True, exist_ok=True)
    write_whole(target, content)


def shard_location(location: str, path: str) -> str:
    """Return the path or URL of a file of a blend.

    Args:
        location: The blend's folder or URL.
        path: The file's path in the blend.
    """
    return f"{location.rstrip('/')}/{path}" if is_remote(location) else str(local_path(location) / path)


def open_shard(location: str) -> ByteFile:
    """Open a shard, to read parts of it.

    Args:
        location: What :func:`shard_location` gave.

    Raises:
        ShardError: It is not there, or cannot be read.
    """
    try:
        return open_file(location) if is_remote(location) else LocalFile(location)
    except FileNotFoundError as error:
        raise ShardError(f"shard {location} cannot be read: no such file or directory", _CHECK) from error
    except OSError as error:
        raise ShardError(f"shard {location} cannot be read: {error.strerror or error}", _CHECK) from error
    except StoreError as error:
        raise ShardError(f"shard {location} cannot be read: {error.message}", error.hint or _CHECK) from error


def read_block(file: ByteFile, location: str, offset: int, num_bytes: int) -> bytes:
    """Read bytes of an open shard; fewer where it ends.

    Raises:
        ShardError: They cannot be read.
    """
    try:
        return file.read_at(offset, num_bytes)
    except OSError as error:
        raise ShardError(f"shard {location} cannot be read: {error.strerror or error}", _CHECK) from error
    except StoreError as error:
        raise ShardError(f"shard {location} cannot be read: {error.message}", _CHECK) from error
