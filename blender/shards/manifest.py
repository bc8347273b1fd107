"""``manifest.json``: what a blend is, what it was made of, and what it consists of.

It is written last; a folder with a manifest is a finished blend.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from blender.blend.layout import READABLE_LAYOUTS
from blender.core.errors import ShardError
from blender.data.images import Check

MANIFEST_NAME = "manifest.json"
_AGAIN = "write the blend again with --overwrite"


class _FolderLayout(msgspec.Struct):
    layout: int


class ManifestFile(msgspec.Struct, frozen=True):
    """An annotation file that the blend was made of."""

    source: str
    #: as in the ledger's column ``file``
    file: str
    sha256: str
    num_bytes: int
    num_records: int


class ManifestShard(msgspec.Struct, frozen=True):
    """A shard of the blend."""

    #: path in the blend's folder
    path: str
    split: str
    num_samples: int
    num_images: int
    num_bytes: int
    sha256: str


class ManifestTable(msgspec.Struct, frozen=True):
    """A table beside the shards: an index or the ledger."""

    #: path in the blend's folder
    path: str
    num_bytes: int
    sha256: str


class ManifestCount(msgspec.Struct, frozen=True):
    """What one dataset has in one split."""

    dataset: str
    split: str
    samples: int
    images: int
    turns: int
    #: characters of questions and answers
    characters: int
    #: bytes in the shards
    num_bytes: int


class Manifest(msgspec.Struct, frozen=True):
    """The description of a blend."""

    name: str
    #: version of the layout of folder and samples
    layout: int
    #: version of the program that wrote it
    program: str
    template: str
    #: the recipe, with variables put in and defaults filled in
    recipe: dict[str, Any]
    #: what the shards depend on, as one hash: recipe, annotation files, images
    fingerprint: str
    files: list[ManifestFile]
    counts: list[ManifestCount]
    shards: list[ManifestShard]
    #: read, emitted, dropped by reason, uses, turns_cut, pinned by reason; and references_rewritten
    ledger: dict[str, Any]
    warnings: list[str]
    #: how closely images were looked at: header, auto or decode; None in a blend of a version without such levels
    pixel_check: Check | None = None
    #: the samples as one hash, made of the shards' own; empty in a manifest of an earlier version
    content: str = ""
    #: index and ledger, in a manifest of this version
    tables: list[ManifestTable] = []

    @property
    def identity(self) -> str:
        """What states and caches know the samples by: ``content``, worked out anew."""
        return hash_shards(self.shards)

    @property
    def num_samples(self) -> int:
        """Samples in all splits."""
        return sum(shard.num_samples for shard in self.shards)


def encode_manifest(manifest: Manifest) -> bytes:
    """Return the manifest as indented JSON."""
    return msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n"


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of a blend.

    Raises:
        ShardError: There is none, or it cannot be read.
    """
    path = folder / MANIFEST_NAME
    try:
        return decode_manifest(path.read_bytes(), str(path))
    except (FileNotFoundError, NotADirectoryError) as error:
        unfinished = (folder / ".work").is_dir()
        hint = (
            "the blend is unfinished: run `visualchat blend` again to go on" if unfinished else "name a blend's folder"
        )
        raise ShardError(f"{folder} is not a finished blend: it has no {MANIFEST_NAME}", hint) from error
    except OSError as error:
        raise ShardError(f"{path} cannot be read: {error.strerror or error}", "make it readable") from error


def decode_manifest(content: bytes, name: str) -> Manifest:
    """Decode a manifest.

    Args:
        content: Its bytes.
        name: Its path or URL, for messages.

    Raises:
        ShardError: It is damaged, or of another layout.
    """
    try:
        layout = msgspec.json.decode(content, type=_FolderLayout).layout
        if layout not in READABLE_LAYOUTS:
            known = " and ".join(map(str, READABLE_LAYOUTS))
            raise ShardError(f"{name} has layout {layout}, and this program reads layouts {known}", _AGAIN)
        return msgspec.json.decode(content, type=Manifest)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ShardError(f"{name} cannot be read: {error}", _AGAIN) from error


def hash_shards(shards: Sequence[ManifestShard]) -> str:
    """Hash what a blend's samples are: the hashes of its shards, in order."""
    lines = (f"{shard.path} {shard.sha256}\n" for shard in shards)
    return hashlib.sha256("".join(lines).encode()).hexdigest()
