"""A blend behind a URL is there whole or not at all, and is what was written."""

import fsspec
import pytest

from blender import open_blend
from blender.errors import FolderError
from blender.shards.manifest import read_manifest
from blender.shards.publish import RemoteTarget
from tests import corpora
from tests.servers import address, bucket, serving

URL = "memory://somewhere/blend"


@pytest.fixture
def memory():
    system = fsspec.filesystem("memory")
    yield system
    system.rm("/", recursive=True)


@pytest.fixture(scope="module")
def s3():
    with bucket("blends") as client:
        yield client


def publish(folder, url=URL, **changes):
    target, manifest = RemoteTarget(url), read_manifest(folder)
    if target.claim(manifest.fingerprint, overwrite=False, **changes) is None:
        target.upload(folder, manifest)
    return target


def far(system, root="/somewhere/blend"):
    return {path.removeprefix(f"{root}/"): system.cat_file(path) for path in system.find(root)}


def test_every_file_is_there_with_its_bytes(written, memory):
    publish(written)
    assert far(memory) == corpora.contents(written)


def test_a_bucket_gets_the_same(written, s3):
    publish(written, "s3://blends/some/prefix")
    system = fsspec.filesystem("s3", **fsspec.config.conf["s3"])
    assert far(system, "blends/some/prefix") == corpora.contents(written)


def test_a_finished_blend_is_known_again_and_nothing_is_uploaded(written, memory):
    target = publish(written)
    assert target.claim(read_manifest(written).fingerprint, overwrite=False) == read_manifest(written)


def test_the_manifest_comes_last_and_an_interrupted_upload_goes_on_with_what_is_missing(written, memory, monkeypatch):
    put, uploaded = type(memory).put_file, []

    def breaking(system, local, path, **options):
        if len(uploaded) == 3:
            raise OSError("the line is dead")
        uploaded.append(path)
        return put(system, local, path, **options)

    monkeypatch.setattr(type(memory), "put_file", breaking)
    with pytest.raises(FolderError, match="cannot be written: the line is dead"):
        publish(written)
    assert not memory.exists("/somewhere/blend/manifest.json")
    kept = set(uploaded)
    uploaded.append("go on")
    publish(written)
    assert far(memory) == corpora.contents(written)
    assert not kept & set(uploaded[4:])
    assert uploaded[-1].endswith("manifest.json")


def test_a_file_that_comes_back_with_other_bytes_is_uploaded_again(written, memory, monkeypatch):
    put, times = type(memory).put_file, {}

    def flipping(system, local, path, **options):
        put(system, local, path, **options)
        times[path] = times.get(path, 0) + 1
        if times[path] < always or path.endswith("eval/index.parquet") and times[path] == 1:
            content = bytearray(system.cat_file(path))
            content[len(content) // 2] ^= 1
            system.pipe_file(path, bytes(content))

    monkeypatch.setattr(type(memory), "put_file", flipping)
    always = 0
    publish(written)
    assert far(memory) == corpora.contents(written)
    assert sorted(times.values())[-2:] == [1, 2]
    memory.rm("/somewhere", recursive=True)
    always = 99
    with pytest.raises(FolderError, match="comes back with other bytes"):
        publish(written)


def test_another_blend_is_kept_unless_overwriting_was_asked_for(written, memory):
    publish(written)
    target = RemoteTarget(URL)
    with pytest.raises(FolderError, match="blend of another recipe"):
        target.claim("another fingerprint", overwrite=False)
    assert far(memory) == corpora.contents(written)
    memory.pipe_file("/somewhere/blend/train/train-999999.tar", b"of the old one")
    assert target.claim("another fingerprint", overwrite=True) is None
    assert not far(memory)
    publish(written)
    assert far(memory) == corpora.contents(written)


def test_leftovers_among_the_shards_are_removed(written, memory):
    memory.pipe_file("/somewhere/blend/train/train-999999.tar", b"of an interrupted upload")
    publish(written)
    assert far(memory) == corpora.contents(written)


def test_strangers_are_refused(written, memory):
    memory.pipe_file("/somewhere/blend/thesis.tex", b"years of work")
    with pytest.raises(FolderError, match=r"something else than a blend: thesis\.tex"):
        publish(written)
    assert far(memory) == {"thesis.tex": b"years of work"}


def test_a_web_address_is_refused(written, tmp_path):
    with serving(tmp_path) as server, pytest.raises(FolderError, match="nothing can be written"):
        RemoteTarget(address(server, "blend"))


def test_a_shard_cut_short_there_is_uploaded_again(written, memory):
    target = publish(written)
    shard = open_blend(written).manifest.shards[0].path
    memory.pipe_file(f"/somewhere/blend/{shard}", memory.cat_file(f"/somewhere/blend/{shard}")[:-512])
    assert target.claim(read_manifest(written).fingerprint, overwrite=False) is None
    target.upload(written, read_manifest(written))
    assert far(memory) == corpora.contents(written)
