"""How many positions each sample takes once encoded: counted once per tokenizer and template, and stored.

Packing is planned from these lengths. They are stored beside the index of a local blend, or in the cache folder for a
remote one, under a name that is a hash of all they depend on.
"""

import hashlib
import io
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from blender.core.files import write_whole
from blender.core.pool import map_unordered, num_cores
from blender.data.images.files import local_path
from blender.shards.unpack import DamagedSample
from blender.stream.encode import Dropped, Encoder, count_tokens
from blender.stream.index import StreamBlend
from blender.stream.reader import ReaderSettings, ShardReader

Lengths = npt.NDArray[np.int32]

_worker: dict[str, tuple[ShardReader, Encoder, str]] = {}


def sample_lengths(
    blend: StreamBlend,
    split: str,
    encoder: Encoder,
    workers: int | None = None,
    settings: ReaderSettings | None = None,
) -> Lengths:
    """Count the positions of every sample of a split, or read the stored counts.

    Args:
        blend: The blend.
        split: The split.
        encoder: How samples will be encoded.
        workers: Number of processes; all cores by default.
        settings: How shards are read, and where lengths of a remote blend are stored.

    Returns:
        (S,) positions, image positions and end tokens included; 0 for a sample that will be dropped.
    """
    settings = settings or ReaderSettings()
    file = _file(blend, split, encoder, settings)
    if file.is_file():
        stored: Lengths = np.load(file, allow_pickle=False)
        if len(stored) == blend.split(split).num_samples:
            return stored
    lengths = np.zeros(blend.split(split).num_samples, dtype=np.int32)
    shards = blend.split(split).shards
    workers = min(workers or num_cores(), len(shards)) if len(lengths) > 2_000 else 1
    for shard, counted in map_unordered(
        _count_shard, range(len(shards)), workers, _begin, (blend, split, encoder, settings)
    ):
        first = shards[shard].first_row
        lengths[first : first + len(counted)] = counted
    _store(file, lengths)
    return lengths


def _file(blend: StreamBlend, split: str, encoder: Encoder, settings: ReaderSettings) -> Path:
    template = msgspec.json.encode(encoder.template) if encoder.template else b"as written"
    settings_of_text = [encoder.text.__getstate__(), encoder.max_tokens, split]
    digest = hashlib.sha256(repr(settings_of_text).encode() + template + blend.identity.encode()).hexdigest()[:16]
    folder = settings.cache_folder if blend.is_remote else local_path(blend.location) / split
    return folder / f"lengths-{digest}.npy"


def _store(file: Path, lengths: Lengths) -> None:
    """Write lengths to a file, where that is allowed; the folder of a blend may be read-only."""
    content = io.BytesIO()
    np.save(content, lengths, allow_pickle=False)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(file, content.getvalue())
    except OSError:
        return


def _begin(blend: StreamBlend, split: str, encoder: Encoder, settings: ReaderSettings) -> None:
    _worker["own"] = ShardReader(blend, settings), encoder, split


def _count_shard(shard: int) -> tuple[int, Lengths]:
    reader, encoder, split = _worker["own"]
    counts = []
    for row in range(reader.blend.split(split).shards[shard].num_samples):
        stored = reader.try_read(split, shard, row)
        count = 0 if isinstance(stored, DamagedSample) else count_tokens(stored.sample, encoder)
        counts.append(0 if isinstance(count, Dropped) else count)
    return shard, np.array(counts, dtype=np.int32)
