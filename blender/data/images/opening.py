"""Open the image store at a path or URL, whatever kind it is of."""

from functools import cache
from pathlib import PurePosixPath

from blender.core.errors import StoreError
from blender.data.images.base64_json import Base64JsonStore
from blender.data.images.files import is_remote, local_path, path_of
from blender.data.images.folder import LocalFolderStore, RemoteFolderStore
from blender.data.images.store import FileStore, ImageStore
from blender.data.images.tar_archive import TarStore
from blender.data.images.zip_archive import ZipStore

_KINDS = "a folder, .zip, .tar, .parquet or base64 .json"
_COMPRESSED_TARS = (".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst")


def open_store(name: str, location: str) -> ImageStore:
    """Open the image store at a path or URL.

    Args:
        name: The store's name in the recipe, for messages.
        location: A folder, or a ``.zip``, ``.tar``, ``.parquet`` or base64 ``.json`` file.

    Raises:
        StoreError: It is not there, may not be read, or is nothing that images can be read from.
    """
    store = _store(name, location)
    try:
        store.check()
    except StoreError as error:
        store.close()
        if error.message.startswith("image store "):
            raise
        raise StoreError(f"image store {name}: {error.message}", error.hint) from error
    return store


@cache
def kept_store(name: str, location: str) -> ImageStore:
    """Open an image store as :func:`open_store` does, once in this process, where it stays open."""
    return open_store(name, location)


def _store(name: str, location: str) -> ImageStore:
    remote = is_remote(location)
    if not remote and local_path(location).is_dir():
        return LocalFolderStore(name, location)
    path = path_of(location).lower()
    if path.endswith(_COMPRESSED_TARS):
        raise StoreError(
            f"image store {name} ({location}) is a compressed tar, from which single images cannot be read",
            "decompress it to a plain .tar, or unpack it into a folder",
        )
    suffix = PurePosixPath(path).suffix if not path.endswith("/") else ""
    kind = _file_store(suffix)
    if kind is not None:
        return kind(name, location)
    if remote:
        return RemoteFolderStore(name, location)
    if not local_path(location).exists():
        raise StoreError(f"image store {name} ({location}) does not exist", f"check the path of {name} under 'images'")
    raise StoreError(f"image store {name} ({location}) is of no known kind", f"a store is {_KINDS}")


def _file_store(suffix: str) -> type[FileStore] | None:
    if suffix == ".parquet":
        from blender.data.images.parquet import ParquetStore  # pyarrow takes a third of a second to import

        return ParquetStore
    return {".zip": ZipStore, ".tar": TarStore, ".json": Base64JsonStore}.get(suffix)
