import os
import tarfile

import pytest

from blender.core.errors import StoreError
from blender.data.images import open_store
from tests.data.images.pictures import WRITERS, write_tar


def refusal_of(location) -> str:
    with pytest.raises(StoreError) as caught:
        open_store("coco", str(location))
    assert "coco" in caught.value.message
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    "name", ["nowhere", "nowhere.zip", "nowhere.tar", "nowhere.parquet", "nowhere.json", "nowhere.jpg"]
)
def test_a_store_that_is_not_there_is_named(tmp_path, name):
    message = refusal_of(tmp_path / name)
    assert "does not exist" in message
    assert str(tmp_path / name) in message


@pytest.mark.parametrize("suffix", ["zip", "tar", "parquet", "json"])
@pytest.mark.parametrize("content", [b"", b"not what the name says", b"[1, 2, 3]", bytes(100)])
def test_a_file_that_is_not_what_its_name_says_is_refused(tmp_path, suffix, content):
    path = tmp_path / f"store.{suffix}"
    path.write_bytes(content)
    if (suffix, content) == ("tar", bytes(100)):
        pytest.skip("zeros are an empty tar")
    assert " is not " in refusal_of(path)


@pytest.mark.parametrize("suffix", ["zip", "parquet"])
def test_an_archive_without_its_end_is_refused(tmp_path, suffix):
    path = WRITERS[suffix](tmp_path / "store", {"x.jpg": bytes(5000)})
    path.write_bytes(path.read_bytes()[:-100])
    assert "end is missing" in refusal_of(path)


@pytest.mark.parametrize("mode", ["gz", "bz2", "xz"])
def test_a_compressed_tar_is_refused_under_any_name(tmp_path, mode):
    assert "decompress" in refusal_of(write_tar(tmp_path / f"x.tar.{mode}", {"x.jpg": b"x"}, f"w:{mode}"))
    assert "decompress" in refusal_of(write_tar(tmp_path / "x.tar", {"x.jpg": b"x"}, f"w:{mode}"))


def test_a_file_of_no_known_kind_is_refused_with_the_kinds_there_are(tmp_path):
    (tmp_path / "images.rar").write_bytes(b"Rar!")
    assert "base64 .json" in refusal_of(tmp_path / "images.rar")


def test_an_address_of_no_known_kind_is_refused():
    assert "nonsense" in refusal_of("nonsense://bucket/images")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_store_that_may_not_be_read_is_refused(tmp_path):
    path = WRITERS["zip"](tmp_path / "store", {"x.jpg": b"x"})
    path.chmod(0)
    assert "ermission" in refusal_of(path)


def test_file_addresses_and_home_are_local(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    WRITERS["folder"](tmp_path / "images", {"x.jpg": b"x"})
    for location in (f"file://{tmp_path}/images", "~/images"):
        store = open_store("coco", location)
        assert store.read(store.resolve("x.jpg")) == b"x"
        assert store.location == location


def test_a_folder_is_a_folder_even_when_called_like_an_archive(tmp_path):
    store = open_store("coco", str(WRITERS["folder"](tmp_path / "images.zip", {"x.jpg": b"x"})))
    assert store.read(store.resolve("x.jpg")) == b"x"


def test_the_kind_does_not_depend_on_the_case_of_its_extension(tmp_path):
    path = WRITERS["tar"](tmp_path / "store", {"x.jpg": b"x"}).rename(tmp_path / "STORE.TAR")
    assert tarfile.is_tarfile(path)
    with open_store("coco", str(path)) as store:
        assert store.read(store.resolve("x.jpg")) == b"x"
