"""A blend behind a web server that drops connections, lies about lengths, changes bytes, stalls and answers 500.

The stream gives exactly the samples and bytes of the local blend, or ends with one sentence; the cache stays within its
bounds and holds no shard that is not whole.
"""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.campaign.corpus import write_recipe
from benchmarks.campaign.outcome import Outcome, expect, repeat
from blender import load_recipe, write_blend
from blender.core.errors import BlenderError
from blender.stream.loader import LoaderSettings
from blender.stream.opening import open_mixture
from blender.stream.reader import ReaderSettings
from blender.stream.remote import Retries
from blender.stream.stored import StoredBatch, StoredLoader
from tests.servers import address, serving

_FAULTS = (500, 502, 503, 429, 404, 403, "cut", "wrong", "long", "stall")
_SAMPLES_PER_SHARD = 7
_RETRIES = Retries(num_tries=4, first_pause=0.002, longest_pause=0.01, silence=2.0)

Seen = list[tuple[str, str, str]]


def stream_remotely(numbers: Iterable[int], seed: int) -> Outcome:
    """Stream over a bad server, with random faults in each try."""
    with tempfile.TemporaryDirectory(prefix="remote-") as name:
        folder = Path(name)
        recipe = load_recipe(write_recipe(folder / "corpus", num_images=60, samples_per_shard=_SAMPLES_PER_SHARD))
        write_blend(recipe, folder / "blend", workers=1)
        before = os.environ.get("XDG_CACHE_HOME")
        os.environ["XDG_CACHE_HOME"] = str(folder / "home")
        try:
            return repeat("remote", lambda random: _try(folder, random), numbers, seed)
        finally:
            os.environ.pop("XDG_CACHE_HOME")
            if before is not None:
                os.environ["XDG_CACHE_HOME"] = before


def _try(folder: Path, random: np.random.Generator) -> str:
    seed, cache = int(random.integers(1_000)), folder / "cache"
    shutil.rmtree(cache, ignore_errors=True)
    expected = _epoch(str(folder / "blend"), _settings(seed, cache, 1 << 30))
    largest = max(path.stat().st_size for path in (folder / "blend").rglob("*.tar"))
    room = int(largest * random.integers(2, 20))
    with serving(folder / "blend", ranges=bool(random.integers(2))) as server:
        # a stalled half comes at once: the waiting itself is tried with "silent" in the tests of the cache
        server.go_on.set()
        shards = [path.name for path in (folder / "blend").rglob("*.tar")]
        server.faults = {name: _faults(random) for name in shards}
        most = max(len(faults) for faults in server.faults.values())
        try:
            seen = _epoch(address(server), _settings(seed, cache, room))
        except BlenderError as error:
            expect("\n" not in error.message, f"more than a sentence: {error.message}")
            _check(cache, room)
            return f"refused ({type(error).__name__})"
    expect(seen == expected, f"other samples or bytes than the local blend, with up to {most} faults a shard")
    _check(cache, room)
    return "the same samples and bytes"


def _faults(random: np.random.Generator) -> list[Any]:
    return [_FAULTS[random.integers(len(_FAULTS))] for _ in range(random.integers(4))] if random.integers(2) else []


def _settings(seed: int, cache: Path, room: int) -> LoaderSettings:
    reader = ReaderSettings(cache_folder=cache, max_cache_bytes=room, retries=_RETRIES)
    return LoaderSettings(batch_size=8, seed=seed, tail="pad", reader=reader)


def _epoch(location: str, settings: LoaderSettings) -> Seen:
    loader = StoredLoader(open_mixture(location), settings, 0, 1)
    return [row for batch in loader for row in _rows(batch)]


def _rows(batch: StoredBatch) -> Seen:
    return [(stored.sample.key, stored.shard, hashlib.sha256(b"".join(stored.images)).hexdigest()) for stored in batch]


def _check(cache: Path, room: int) -> None:
    kept = list(cache.glob("*.tar"))
    expect(sum(path.stat().st_size for path in kept) <= room, f"the cache takes more than its {room:,} bytes")
    for path in kept:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        expect(digest == path.stem, f"the cache keeps {path.name}, whose bytes are others")
