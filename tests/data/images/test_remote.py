import os
import pickle
from functools import partial
from pathlib import Path
from urllib.parse import unquote

import fsspec
import pytest

from blender.core.block_cache import BLOCK_BYTES
from blender.core.errors import StoreError
from blender.data.images import ImageLimits, open_store, remote, survey_image
from tests import servers
from tests.data.images.pictures import WRITERS, picture, write_folder

FILES = {f"train2017/{number:012d}.jpg": picture(seed=number, size=(300, 200)) for number in (9, 25, 30)}
NAME = "train2017/000000000025.jpg"
ODD = ["my photo.jpg", "été/naïve.jpg", "写真/猫.jpg", "100% #1?.jpg", "%2e%2e.jpg"]
FILE_KINDS = ["zip", "tar", "parquet", "json"]


#: a web server whose folders can be listed, unless it is told to refuse that
serving = partial(servers.serving, lists=True, refusal=403)


def address(server, path=""):
    return servers.address(server, path)


@pytest.fixture(scope="module")
def s3():
    with servers.bucket("pictures") as client:
        yield client


def upload(s3, prefix: str, root: Path) -> str:
    return servers.upload(s3, prefix, root, "pictures")


@pytest.fixture
def memory():
    system = fsspec.filesystem("memory")
    yield system
    system.rm("/", recursive=True)


def remember(memory, root: Path) -> str:
    for path in sorted(root.rglob("*")) if root.is_dir() else [root]:
        if path.is_file():
            memory.pipe_file(f"/{path.relative_to(root.parent).as_posix()}", path.read_bytes())
    return f"memory://{root.name}"


def expect_everything(store):
    members = {name: store.resolve(name) for name in FILES}
    assert store.resolve("train2017/000000000001.jpg") is None
    assert store.resolve("../x.jpg") is None
    for travelled in (store, pickle.loads(pickle.dumps(store))):
        for name, member in members.items():
            assert travelled.read(member) == FILES[name]
            info = survey_image(travelled, member, ImageLimits())
            assert (info.num_bytes, info.width, info.reason) == (len(FILES[name]), 300, None)
        travelled.close()


@pytest.mark.parametrize("lists", [True, False])
@pytest.mark.parametrize("ranges", [True, False])
def test_a_folder_on_the_web(tmp_path, lists, ranges):
    write_folder(tmp_path, FILES)
    with serving(tmp_path, ranges, lists=lists) as server, open_store("coco", address(server)) as store:
        expect_everything(store)


@pytest.mark.parametrize("kind", ["folder", *FILE_KINDS])
def test_every_kind_of_store_on_the_web(tmp_path, kind):
    path = WRITERS[kind](tmp_path / "store", FILES)
    with serving(tmp_path) as server, open_store("coco", address(server, path.name)) as store:
        expect_everything(store)


@pytest.mark.parametrize("kind", ["folder", *FILE_KINDS])
def test_every_kind_of_store_in_a_bucket(tmp_path, s3, kind):
    location = upload(s3, kind, WRITERS[kind](tmp_path / "store", FILES))
    with open_store("coco", location) as store:
        expect_everything(store)


@pytest.mark.parametrize("kind", ["folder", *FILE_KINDS])
def test_every_kind_of_store_in_memory(tmp_path, memory, kind):
    location = remember(memory, WRITERS[kind](tmp_path / "store", FILES))
    with open_store("coco", location) as store:
        expect_everything(store)


@pytest.mark.parametrize("lists", [True, False])
def test_odd_names_on_the_web(tmp_path, lists):
    write_folder(tmp_path, {name: name.encode() for name in ODD})
    with serving(tmp_path, lists=lists) as server, open_store("odd", address(server)) as store:
        assert [store.read(store.resolve(name)).decode() for name in ODD] == ODD


def test_odd_names_in_a_bucket(tmp_path, s3):
    location = upload(s3, "odd", write_folder(tmp_path, {name: name.encode() for name in ODD}))
    with open_store("odd", location) as store:
        assert [store.read(store.resolve(name)).decode() for name in ODD] == ODD


def test_an_escaped_name_does_not_climb_on_the_server_either(tmp_path):
    write_folder(tmp_path, {"secret.jpg": b"secret", "images/x.jpg": b"x"})
    with serving(tmp_path, lists=False) as server, open_store("coco", address(server, "images")) as store:
        assert store.resolve("%2e%2e/secret.jpg") is None
        assert all(".." not in unquote(path) or "%252e" in path for path in server.paths)


def test_ids_are_found_on_a_server_that_cannot_list(tmp_path):
    write_folder(tmp_path, {"000000000009.jpg": b"9", "1342.png": b"1342"})
    with serving(tmp_path, lists=False) as server, open_store("coco", address(server)) as store:
        assert store.resolve("CGD_IMG_0000000000000009") == "000000000009.jpg"
        assert store.resolve("1342") == "1342.png"


def test_a_listing_that_leads_elsewhere_is_not_followed(tmp_path):
    page = '<a href="http://example.org/x.jpg">x</a> <a href="../up.jpg">y</a> <a href="sub/z.jpg">z</a>'
    write_folder(tmp_path, {"index.html": page.encode(), "sub/z.jpg": b"z"})
    with serving(tmp_path) as server, open_store("coco", address(server)) as store:
        assert [store.resolve(name) for name in ("x.jpg", "up.jpg", "z.jpg")] == [None] * 3
        assert store.read(store.resolve("sub/z.jpg")) == b"z"


@pytest.mark.parametrize("kind", FILE_KINDS)
def test_an_archive_on_a_server_without_ranges_is_refused(tmp_path, kind):
    path = WRITERS[kind](tmp_path / "store", FILES)
    with serving(tmp_path, ranges=False) as server, pytest.raises(StoreError, match=r"coco.*does not send parts"):
        open_store("coco", address(server, path.name))


@pytest.mark.parametrize("kind", ["zip", "json"])
def test_a_remote_archive_that_is_not_there_is_named(tmp_path, s3, memory, kind):
    with serving(tmp_path) as server:
        for location in (address(server, f"x.{kind}"), f"s3://pictures/x.{kind}", f"memory://x.{kind}"):
            with pytest.raises(StoreError, match="coco.*does not exist"):
                open_store("coco", location)


def test_a_remote_folder_that_is_not_there_is_named(s3, memory):
    for location in ("s3://pictures/nowhere", "s3://nowhere/at/all", "memory://nowhere"):
        with pytest.raises(StoreError, match="coco.*does not exist"):
            open_store("coco", location)


def test_a_server_that_is_down_is_not_a_server_without_images(tmp_path, monkeypatch):
    monkeypatch.setattr(remote, "_FIRST_PAUSE", 0.01)
    write_folder(tmp_path, FILES)
    with serving(tmp_path) as server:
        location = address(server)
        store = open_store("coco", location)
        member = store.resolve(NAME)
    with pytest.raises(StoreError):
        open_store("coco", location)
    with pytest.raises(StoreError):
        store.resolve("other/x.jpg")
    with pytest.raises(StoreError, match=f"{NAME} in image store coco"):
        store.read(member)
    with pytest.raises(remote.UnreachableError):
        survey_image(store, member, ImageLimits())


def test_a_bucket_that_may_not_be_read_is_told_in_a_sentence():
    with servers.refusing_bucket():
        with pytest.raises(
            StoreError, match=r"image store coco \(s3://b/coco\) may not be read: Access Denied"
        ) as caught:
            open_store("coco", "s3://b/coco")
        assert "credentials" in caught.value.hint
        with pytest.raises(StoreError, match=r"b/coco.zip cannot be read: Forbidden"):
            open_store("coco", "s3://b/coco.zip")


def test_a_remote_image_that_vanished_is_missing(tmp_path, s3):
    write_folder(tmp_path, FILES)
    with serving(tmp_path) as server:
        stores = [open_store("coco", address(server)), open_store("coco", upload(s3, "vanishing", tmp_path))]
        members = [store.resolve(NAME) for store in stores]
        (tmp_path / NAME).unlink()
        s3.delete_object(Bucket="pictures", Key=f"vanishing/{NAME}")
        for store, member in zip(stores, members, strict=True):
            assert survey_image(store, member, ImageLimits()).reason == "missing"
            with pytest.raises(StoreError, match="coco.*lost"):
                store.read(member)


def test_a_survey_of_a_large_remote_image_asks_for_its_ends_alone(tmp_path):
    data = picture("PNG", size=(600, 600))
    write_folder(tmp_path, {"x.png": data})
    with serving(tmp_path) as server, open_store("coco", address(server)) as store:
        member = store.resolve("x.png")
        server.paths.clear()
        assert survey_image(store, member, ImageLimits(), "header").width == 600
        assert len(server.paths) == 2


def test_help_for_a_missing_name_is_never_looked_for_outside_of_the_store(memory, tmp_path):
    write_folder(tmp_path / "secret", {"passwords.jpg": picture(), "inside/photo.jpg": picture()})
    remember(memory, tmp_path / "secret")
    # what a file system that follows ".." would list
    memory.pipe_file("/secret/inside/../passwords.jpg", picture())
    store = open_store("photos", "memory://secret/inside")
    assert store.suggest("photos.jpg") == "did you mean photo.jpg?"
    for name in ("../password.jpg", "..\\password.jpg", "/secret/password.jpg", "x/../../password.jpg"):
        assert store.suggest(name) is None


@pytest.mark.parametrize("lists", [True, False])
@pytest.mark.parametrize("ranges", [True, False])
def test_a_picture_is_fetched_once_however_often_it_is_looked_at(tmp_path, lists, ranges):
    write_folder(tmp_path, FILES)
    with serving(tmp_path, ranges, lists=lists) as server:
        for _ in range(2):
            with open_store("coco", address(server)) as store:
                expect_everything(store)
        assert [servers.asked_for(server, Path(name).name) for name in FILES] == [1, 1, 1]


@pytest.mark.parametrize("kind", FILE_KINDS)
def test_no_part_of_an_archive_is_fetched_twice(tmp_path, kind):
    path = WRITERS[kind](tmp_path / "store", FILES)
    with serving(tmp_path) as server:
        for _ in range(2):
            with open_store("coco", address(server, path.name)) as store:
                expect_everything(store)
        spans = [span for name, span in server.asked if name == path.name and span != "bytes=0-0"]
        assert len(spans) == len(set(spans)) == -(-path.stat().st_size // BLOCK_BYTES)


def test_a_picture_that_was_changed_on_the_server_is_fetched_again_in_the_next_run(tmp_path, monkeypatch):
    write_folder(tmp_path, {"x.jpg": b"one"})
    with serving(tmp_path) as server:
        for run, content in enumerate((b"one", b"two", b"longer")):
            monkeypatch.setenv("VISUALCHAT_RUN", str(run))
            (tmp_path / "x.jpg").write_bytes(content)
            os.utime(tmp_path / "x.jpg", (run * 10, run * 10))
            with open_store("coco", address(server)) as store:
                assert store.read(store.resolve("x.jpg")) == content
