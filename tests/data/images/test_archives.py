import io
import pickle
import tarfile
import zipfile
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest

from blender.core.errors import StoreError
from blender.data.images import open_store
from tests.data.images.pictures import WRITERS, picture, write_tar, write_zip

FILES = {f"train2017/{number:012d}.jpg": picture(seed=number) for number in (9, 25, 30, 34, 36)}
UNSAFE = ["../up.jpg", "/absolute.jpg", "a/../../up.jpg", "..\\back.jpg", "C:/drive.jpg"]


@pytest.fixture(params=sorted(WRITERS))
def store(request, tmp_path):
    with open_store("coco", str(WRITERS[request.param](tmp_path / "store", FILES))) as store:
        yield store


def test_every_kind_of_store_gives_the_bytes_that_were_put_in(store):
    for name, data in FILES.items():
        member = store.resolve(name)
        assert store.read(member) == data
        assert store.name_of(member) == name
        with store.open(member) as file:
            assert (file.num_bytes, file.read_at(5, 7)) == (len(data), data[5:12])
            assert file.read_at(len(data) - 3, 100) == data[-3:]
        assert store.head(member, 20) == data[:20]


def test_a_missing_name_is_none(store):
    assert store.resolve("train2017/000000000001.jpg") is None
    assert store.resolve("") is None
    assert store.refusal("train2017/000000000001.jpg") is None


@pytest.mark.parametrize("name", UNSAFE)
def test_unsafe_names_are_refused_everywhere(store, name):
    assert store.resolve(name) is None
    assert "coco" in store.refusal(name)


def test_a_worker_reads_members_without_listing_the_store(store, monkeypatch):
    members = [store.resolve(name) for name in FILES]
    travelled = pickle.loads(pickle.dumps(store))
    monkeypatch.setattr(type(store), "_list", None)
    assert [travelled.read(member) for member in members] == list(FILES.values())
    travelled.close()


def test_a_closed_store_opens_itself_again(store):
    member = store.resolve("train2017/000000000009.jpg")
    store.close()
    store.close()
    assert store.read(member) == FILES["train2017/000000000009.jpg"]


def read_in_worker(store, member):
    return store.read(member)


def test_stores_work_in_spawned_processes(tmp_path):
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        for kind, write in WRITERS.items():
            with open_store("coco", str(write(tmp_path / kind, FILES))) as store:
                member = store.resolve("train2017/000000000025.jpg")
                data = pool.submit(read_in_worker, store, member).result()
            assert data == FILES["train2017/000000000025.jpg"], kind


@pytest.mark.parametrize("kind", ["zip", "tar", "parquet", "json"])
def test_names_with_spaces_and_letters_of_all_scripts(tmp_path, kind):
    names = ["my photo.jpg", "été/naïve #1?.jpg", "写真/猫 100%.jpg", "a@1+2.jpg", 'say "hi".jpg']
    with open_store("odd", str(WRITERS[kind](tmp_path / "odd", {name: name.encode() for name in names}))) as store:
        assert [store.read(store.resolve(name)).decode() for name in names] == names


@pytest.mark.parametrize("kind", ["zip", "tar", "parquet", "json"])
def test_members_with_unsafe_names_are_never_matched(tmp_path, kind):
    files = {name: b"secret" for name in UNSAFE} | {"good.jpg": b"good"}
    with open_store("evil", str(WRITERS[kind](tmp_path / "evil", files))) as store:
        for name in [*UNSAFE, "up.jpg", "up", "absolute.jpg", "drive.jpg", "slash.jpg"]:
            assert store.resolve(name) is None
        assert store.read(store.resolve("good.jpg")) == b"good"


@pytest.mark.parametrize("kind", ["zip", "tar", "parquet", "json"])
def test_of_a_name_that_comes_twice_in_different_folders_neither_is_taken(tmp_path, kind):
    files = {"a/x.jpg": b"a", "b/x.jpg": b"b"}
    with open_store("twins", str(WRITERS[kind](tmp_path / "twins", files))) as store:
        assert store.resolve("x.jpg") is None
        assert store.read(store.resolve("b/x.jpg")) == b"b"


@pytest.mark.parametrize("kind", ["zip", "tar", "parquet", "json"])
def test_an_empty_store_has_no_images_and_no_fault(tmp_path, kind):
    with open_store("empty", str(WRITERS[kind](tmp_path / "empty", {}))) as store:
        assert store.resolve("x.jpg") is None


def test_a_damaged_byte_in_a_zip_is_noticed(tmp_path):
    data = picture()
    path = write_zip(tmp_path / "x.zip", {"x.jpg": data})
    raw = bytearray(path.read_bytes())
    raw[raw.index(data) + len(data) // 2] ^= 1
    path.write_bytes(raw)
    with open_store("coco", str(path)) as store, pytest.raises(StoreError, match=r"x\.jpg.*coco.*checksum"):
        store.read(store.resolve("x.jpg"))


def test_a_zip_that_promises_less_than_it_holds_is_not_unpacked_beyond(tmp_path):
    path = write_zip(tmp_path / "x.zip", {"x.jpg": bytes(10_000_000)}, zipfile.ZIP_DEFLATED)
    with open_store("bomb", str(path)) as store:
        member = store.resolve("x.jpg").replace(":10000000:", ":1000:")
        with pytest.raises(StoreError, match="1000 bytes"):
            store.read(member)


def test_an_image_compressed_in_a_rare_way_is_refused_by_itself(tmp_path):
    path = write_zip(tmp_path / "x.zip", {"x.jpg": b"x" * 100}, zipfile.ZIP_LZMA)
    with open_store("rare", str(path)) as store, pytest.raises(StoreError, match="method 14"):
        store.read(store.resolve("x.jpg"))


def test_a_zip_with_something_before_it_is_read(tmp_path):
    path = write_zip(tmp_path / "x.zip", {"x.jpg": b"data"})
    path.write_bytes(b"#!/bin/sh\n" * 9 + path.read_bytes())
    with open_store("sfx", str(path)) as store:
        assert store.read(store.resolve("x.jpg")) == b"data"


def test_a_link_in_a_zip_is_not_followed(tmp_path):
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as archive:
        link = zipfile.ZipInfo("link.jpg")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    with open_store("links", str(path)) as store:
        assert store.resolve("link.jpg") is None


def test_another_archive_under_the_same_name_is_noticed(tmp_path):
    path = write_zip(tmp_path / "x.zip", {"x.jpg": picture(), "y.jpg": picture()})
    with open_store("coco", str(path)) as store:
        member = store.resolve("y.jpg")
    write_zip(path, {"other.txt": bytes(50_000)})
    with pytest.raises(StoreError, match="damaged, or another"), open_store("coco", str(path)) as store:
        store.read(member)


def test_links_in_a_tar_are_followed_inside_it_alone(tmp_path):
    path = tmp_path / "x.tar"
    with tarfile.open(path, "w") as archive:
        entry = tarfile.TarInfo("a/x.jpg")
        entry.size = 4
        archive.addfile(entry, io.BytesIO(b"data"))
        links = {
            "a/soft.jpg": "x.jpg",
            "b/up.jpg": "../a/x.jpg",
            "out.jpg": "../../etc/passwd",
            "abs.jpg": "/etc/passwd",
        }
        for name, target in (links | {"circle.jpg": "circle.jpg", "dangling.jpg": "nothing"}).items():
            link = tarfile.TarInfo(name)
            link.type, link.linkname = tarfile.SYMTYPE, target
            archive.addfile(link)
        hard = tarfile.TarInfo("hard.jpg")
        hard.type, hard.linkname = tarfile.LNKTYPE, "a/x.jpg"
        archive.addfile(hard)
    with open_store("links", str(path)) as store:
        for name in ("a/soft.jpg", "b/up.jpg", "hard.jpg"):
            assert store.read(store.resolve(name)) == b"data"
        for name in ("out.jpg", "abs.jpg", "circle.jpg", "dangling.jpg"):
            assert store.resolve(name) is None


def test_a_tar_made_of_a_folder_and_with_long_names_is_read(tmp_path):
    long = "folder/" * 30 + "x.jpg"
    with open_store("tar", str(write_tar(tmp_path / "x.tar", {"./a/x.jpg": b"a", long: b"long"}))) as store:
        assert store.read(store.resolve("a/x.jpg")) == b"a"
        assert store.read(store.resolve(long)) == b"long"


def test_the_later_of_two_tar_entries_of_one_name_counts(tmp_path):
    path = write_tar(tmp_path / "x.tar", {"x.jpg": b"old"})
    write_tar(path, {"x.jpg": b"new"}, "a")
    with open_store("tar", str(path)) as store:
        assert store.read(store.resolve("x.jpg")) == b"new"


@pytest.mark.parametrize("cut", [700, 1600, 3000])
def test_a_tar_that_is_cut_short_is_not_taken_for_a_whole_one(tmp_path, cut):
    path = write_tar(tmp_path / "x.tar", {name: bytes(range(256)) * 3 for name in FILES})
    path.write_bytes(path.read_bytes()[:cut])
    with open_store("cut", str(path)) as store, pytest.raises(StoreError, match="cut"):
        store.resolve("x.jpg")


def test_a_damaged_header_in_a_tar_is_not_taken_for_its_end(tmp_path):
    path = write_tar(tmp_path / "x.tar", {"a.jpg": b"a", "b.jpg": b"b", "c.jpg": b"c"})
    raw = bytearray(path.read_bytes())
    raw[1024 + 150] ^= 7
    path.write_bytes(raw)
    with open_store("bad", str(path)) as store, pytest.raises(StoreError, match="byte 1024"):
        store.resolve("a.jpg")
