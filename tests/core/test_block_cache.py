"""Blocks of remote files: fetched once, by however many processes, within a bound, and never believed when damaged."""

import multiprocessing
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blender.core.block_cache import BLOCK_BYTES, BlockCache, RemoteVersion, block_cache
from blender.core.errors import BlenderError

NUM_BYTES = 3 * BLOCK_BYTES + 1_000
CONTENT = np.random.default_rng(0).bytes(NUM_BYTES)


class Remote:
    """A remote file that notes what is asked for."""

    def __init__(self, content=CONTENT, version="1", address="s3://bucket/x", sends_all=False):
        self.content, self.sends_all = content, sends_all
        self.version = RemoteVersion(address, version, len(content))
        self.spans = []

    def fetch(self, start, stop):
        start, stop = (0, len(self.content)) if self.sends_all else (start, stop)
        self.spans.append((start, stop))
        return self.content[start:stop]

    def read(self, cache, offset=0, num_bytes=None):
        return cache.read(self.version, offset, len(self.content) if num_bytes is None else num_bytes, self.fetch)


@pytest.fixture
def cache(tmp_path):
    return BlockCache(tmp_path / "cache")


@pytest.mark.parametrize("sends_all", [False, True])
@settings(max_examples=30)
@given(data=st.data())
def test_every_byte_is_right_and_fetched_once(tmp_path_factory, sends_all, data):
    cache, remote = BlockCache(tmp_path_factory.mktemp("cache")), Remote(sends_all=sends_all)
    for _ in range(5):
        offset = data.draw(st.integers(0, NUM_BYTES - 1))
        num_bytes = data.draw(st.integers(1, NUM_BYTES - offset))
        assert remote.read(cache, offset, num_bytes) == CONTENT[offset : offset + num_bytes]
    fetched = sorted(remote.spans)
    assert all(stop <= start for (_, stop), (start, _) in pairwise(fetched))
    assert remote.read(BlockCache(cache.folder)) == CONTENT


def test_another_version_of_a_file_is_another_file(cache):
    old, new = Remote(), Remote(CONTENT[::-1], version="2")
    assert [remote.read(cache) for remote in (old, new, old)] == [CONTENT, CONTENT[::-1], CONTENT]


@pytest.mark.parametrize("damage", [b"", b"\0" * 2_000, CONTENT[:BLOCK_BYTES]])
def test_a_damaged_block_is_fetched_again(cache, damage):
    Remote().read(cache)
    for path in cache.folder.glob("??/*"):
        path.write_bytes(damage)
    again = Remote()
    assert again.read(cache) == CONTENT
    assert again.spans


def test_the_folder_stays_within_its_bound_and_keeps_what_was_used_last(tmp_path):
    cache = BlockCache(tmp_path / "cache", max_bytes=10 * BLOCK_BYTES)
    for number in range(20):
        Remote(address=f"s3://bucket/{number}").read(cache)
        assert sum(path.stat().st_size for path in cache.folder.glob("??/*")) <= cache.max_bytes
    last = Remote(address="s3://bucket/19")
    assert last.read(cache) == CONTENT
    assert not last.spans


def test_a_folder_that_cannot_be_written_costs_time_and_nothing_else(tmp_path, caplog):
    (tmp_path / "file").write_bytes(b"")
    cache = BlockCache(tmp_path / "file" / "cache")
    assert Remote().read(cache) == CONTENT
    assert "cannot keep what was fetched" in caplog.text


def test_too_few_bytes_are_refused_and_not_kept(cache):
    with pytest.raises(ValueError, match="10 bytes came where"):
        cache.read(Remote().version, 0, NUM_BYTES, lambda start, stop: CONTENT[:10])
    assert Remote().read(cache) == CONTENT


def _read_noting(folder, notes, barrier):
    def fetch(start, stop):
        with notes.open("a") as file:
            file.write(f"{start}\n")
        return CONTENT[start:stop]

    barrier.wait()
    assert BlockCache(folder).read(Remote().version, 0, NUM_BYTES, fetch) == CONTENT


def test_processes_that_want_the_same_block_fetch_it_once(tmp_path):
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(4)
    arguments = (tmp_path / "cache", tmp_path / "notes", barrier)
    processes = [context.Process(target=_read_noting, args=arguments) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 4
    assert (tmp_path / "notes").read_text() == "0\n"


def test_a_bound_that_is_no_number_is_refused(monkeypatch):
    monkeypatch.setenv("VISUALCHAT_CACHE_BYTES", "plenty")
    with pytest.raises(BlenderError, match="VISUALCHAT_CACHE_BYTES is no number of bytes: 'plenty'"):
        block_cache()


def test_a_folder_that_cannot_be_written_is_warned_of_once(tmp_path, caplog):
    (tmp_path / "file").write_text("in the way")
    cache, remote = BlockCache(tmp_path / "file" / "cache"), Remote()
    for offset in (0, BLOCK_BYTES, 2 * BLOCK_BYTES):
        assert cache.read(remote.version, offset, 10, remote.fetch) == CONTENT[offset : offset + 10]
    assert len(caplog.records) == 1
