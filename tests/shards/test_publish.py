"""A blend behind a URL is there whole or not at all, and is what was written."""

import fsspec
import msgspec
import pytest

from blender import open_blend
from blender.core.errors import FolderError
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
    assert set(far(memory)) == {".visualchat"}
    publish(written)
    assert far(memory) == corpora.contents(written)


def test_leftovers_among_the_shards_are_removed(written, memory):
    memory.pipe_file("/somewhere/blend/.visualchat", b'{"kind":"blend"}\n')
    memory.pipe_file("/somewhere/blend/train/train-999999.tar", b"of an interrupted upload")
    publish(written)
    assert far(memory) == corpora.contents(written)


def test_strangers_are_refused(written, memory):
    memory.pipe_file("/somewhere/blend/thesis.tex", b"years of work")
    with pytest.raises(FolderError, match=r"something else than a blend: thesis\.tex"):
        publish(written)
    assert far(memory) == {"thesis.tex": b"years of work"}


PHOTOGRAPHS = {"train/train-000000.tar": b"of somebody else", "README.md": b"# Mine", "eval/cat.jpg": b"a cat"}


@pytest.mark.parametrize("kept", [{"README.md"}, {"train/train-000000.tar"}, {"eval/cat.jpg"}, set(PHOTOGRAPHS)])
def test_files_of_somebody_else_are_kept_whatever_their_names_are(written, memory, kept):
    for path in kept:
        memory.pipe_file(f"/somewhere/blend/{path}", PHOTOGRAPHS[path])
    with pytest.raises(FolderError, match="something else than a blend: (README|train|eval)"):
        publish(written)
    assert far(memory) == {path: PHOTOGRAPHS[path] for path in kept}


@pytest.mark.parametrize("path", ["notes.txt", "train/notes.txt", "train/deep/photo.jpg", "eval/train.csv"])
def test_nothing_is_deleted_while_a_strangers_file_is_among_ours(written, memory, path):
    publish(written)
    memory.pipe_file(f"/somewhere/blend/{path}", b"mine")
    with pytest.raises(FolderError, match=f"something else than a blend: {'train/deep' if 'deep' in path else path}"):
        RemoteTarget(URL)
    assert far(memory) == {**corpora.contents(written), path: b"mine"}


def test_overwriting_deletes_what_a_blend_consists_of_and_leaves_what_its_user_says_of_reading_it(written, memory):
    target = publish(written)
    for name in (".info.json", "dataset.yaml"):
        memory.pipe_file(f"/somewhere/blend/.nv-meta/{name}", b"{}")
    assert target.claim("another fingerprint", overwrite=True) is None
    assert set(far(memory)) == {".visualchat", ".nv-meta/dataset.yaml"}
    publish(written)


@pytest.mark.parametrize("left", [0, 10, 400])
def test_a_manifest_cut_short_is_of_a_blend_that_can_be_overwritten(written, memory, left):
    target = publish(written)
    memory.pipe_file("/somewhere/blend/manifest.json", memory.cat_file("/somewhere/blend/manifest.json")[:left])
    with pytest.raises(FolderError, match="holds a blend whose manifest is damaged"):
        target.claim("any", overwrite=False)
    assert RemoteTarget(URL).claim("any", overwrite=True) is None
    publish(written)
    assert far(memory) == corpora.contents(written)


def test_two_blends_for_one_place_do_not_mix(written, memory):
    first, second = RemoteTarget(URL), RemoteTarget(URL)
    assert first.claim(read_manifest(written).fingerprint, overwrite=False) is None
    assert second.claim("another fingerprint", overwrite=False) is None
    first.upload(written, read_manifest(written))
    other = msgspec.structs.replace(read_manifest(written), fingerprint="another fingerprint")
    with pytest.raises(FolderError, match="holds a blend of another recipe"):
        second.upload(written, other)
    assert far(memory) == corpora.contents(written)


@pytest.mark.parametrize("method", ["info", "open", "ls", "pipe_file", "put_file", "rm_file"])
def test_whatever_a_server_refuses_is_one_sentence_with_the_url(written, memory, method):
    def refusing(system, *arguments, **options):
        raise PermissionError("Forbidden")

    with pytest.MonkeyPatch.context() as patch, pytest.raises(FolderError, match=rf"{URL}.* cannot be .*: Forbidden"):
        patch.setattr(type(memory), method, refusing)
        publish(written)
    publish(written)


def test_no_bucket_is_told_before_a_shard_is_written(written, s3):
    target = RemoteTarget("s3://no-such-bucket/blend")
    with pytest.raises(FolderError, match="no-such-bucket/blend/.* cannot be written: .*does not exist"):
        target.claim("any", overwrite=False)


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
