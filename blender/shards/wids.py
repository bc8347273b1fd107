"""The list of shards by which ``wids`` reads samples by number, one beside the shards of each split."""

import msgspec

from blender.blend.tables import SPLITS
from blender.core.errors import FolderError
from blender.core.files import write_whole
from blender.shards.manifest import Manifest
from blender.shards.reader import Blend

WIDS = "wids.json"


def write_wids(blend: Blend) -> list[str]:
    """Leave what ``wids`` needs in a blend's folder. The same blend gives the same files.

    Returns:
        The paths of the files written, in the blend's folder.

    Raises:
        FolderError: The folder cannot be written.
    """
    written = []
    try:
        for split in SPLITS:
            if any(shard.split == split for shard in blend.manifest.shards):
                write_whole(blend.path / split / WIDS, _listing(blend.manifest, split))
                written.append(f"{split}/{WIDS}")
    except OSError as error:
        raise FolderError(f"cannot write to {blend.path}: {error.strerror}", f"{WIDS} must lie in there") from error
    return written


def wids_problems(blend: Blend) -> list[str]:
    """Say which lists do not fit the blend; a split without one is fine."""
    return [
        f"{split}/{WIDS} does not fit the blend: run `visualchat index DIR --for wids` again"
        for split in SPLITS
        if (blend.path / split / WIDS).is_file()
        and (blend.path / split / WIDS).read_bytes() != _listing(blend.manifest, split)
    ]


def _listing(manifest: Manifest, split: str) -> bytes:
    """Say the shards of a split as ``wids`` does, their paths relative to the list."""
    shards = [
        {"url": shard.path.removeprefix(f"{split}/"), "nsamples": shard.num_samples, "filesize": shard.num_bytes}
        for shard in manifest.shards
        if shard.split == split
    ]
    listing = {
        "__kind__": "wids-shard-index-v1",
        "wids_version": 1,
        "name": f"{manifest.name}-{split}",
        "shardlist": shards,
    }
    return msgspec.json.format(msgspec.json.encode(listing), indent=2) + b"\n"
