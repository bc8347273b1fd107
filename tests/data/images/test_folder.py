import os
import pickle
import unicodedata

import pytest

from blender.core.errors import StoreError
from blender.data.images import VanishedError, open_store
from tests.data.images.pictures import picture, write_folder

DATA = picture()


@pytest.fixture
def root(tmp_path):
    return write_folder(tmp_path / "coco", {"000000000009.jpg": DATA, "train2017/000000000025.jpg": DATA + b"25"})


@pytest.fixture
def store(root):
    return open_store("coco", str(root))


def test_a_name_is_a_path_below_the_root(store):
    assert store.resolve("000000000009.jpg") == "000000000009.jpg"
    assert store.resolve("train2017/000000000025.jpg") == "train2017/000000000025.jpg"
    assert store.resolve("./train2017//000000000025.jpg") == "train2017/000000000025.jpg"
    assert store.resolve("000000000025.jpg") is None
    assert store.resolve("nowhere/000000000009.jpg") is None
    assert store.resolve("train2017") is None
    assert store.resolve("") is None


def test_folders_of_a_name_may_repeat_the_end_of_the_location(store, root):
    assert store.resolve("coco/train2017/000000000025.jpg") == "train2017/000000000025.jpg"
    inner = open_store("coco", f"{root}/train2017/")
    assert inner.resolve("coco/train2017/000000000025.jpg") == "000000000025.jpg"
    assert inner.resolve("vg/train2017/000000000025.jpg") is None


def test_mimicit_ids_find_coco_files(store):
    assert store.resolve("CGD_IMG_0000000000000009") == "000000000009.jpg"
    assert store.resolve("CGD_IMG_000000000009") == "000000000009.jpg"


def test_backslashes_are_slashes_and_never_lead_out(store):
    assert store.resolve("train2017\\000000000025.jpg") == "train2017/000000000025.jpg"
    assert store.resolve(".\\000000000009.jpg") == "000000000009.jpg"
    for name in ("..\\x.jpg", "a\\..\\..\\x.jpg", "\\x.jpg", "\\\\host\\share\\x.jpg", "C:\\x.jpg", "\\\\?\\C:\\x.jpg"):
        assert store.resolve(name) is None
        assert "is not looked up" in store.refusal(name)


def test_an_absolute_path_is_taken_where_it_lies_in_the_store(store, root, tmp_path):
    assert store.resolve(f"{root}/train2017/000000000025.jpg") == "train2017/000000000025.jpg"
    assert store.resolve(f"{root}//./000000000009.jpg") == "000000000009.jpg"
    write_folder(tmp_path, {"secret.jpg": DATA, "coco2/x.jpg": DATA})
    for name in (
        f"{root}/../secret.jpg",
        f"{tmp_path}/secret.jpg",
        f"{tmp_path}/coco2/x.jpg",
        f"{root}2/x.jpg",
        f"{root}",
    ):
        assert store.resolve(name) is None
        assert "is not looked up" in store.refusal(name)
    assert store.resolve(f"/{root}/000000000009.jpg") is None, "the folder of another machine"


def test_an_absolute_path_through_a_link_to_the_store_is_taken(root, tmp_path):
    (tmp_path / "link").symlink_to(root)
    store = open_store("coco", str(tmp_path / "link"))
    assert store.resolve(f"{tmp_path}/link/000000000009.jpg") == "000000000009.jpg"
    assert store.resolve(f"{root}/000000000009.jpg") == "000000000009.jpg"


@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize("other", ["NFC", "NFD"])
def test_letters_may_be_composed_or_decomposed(tmp_path, form, other):
    kept, asked = (unicodedata.normalize(each, "été/Žluťoučký kůň.jpg") for each in (form, other))
    store = open_store("odd", str(write_folder(tmp_path, {kept: DATA})))
    assert store.read(store.resolve(asked)) == DATA


def test_blanks_around_a_name_do_not_matter(tmp_path):
    store = open_store(
        "odd", str(write_folder(tmp_path, {"a.jpg": DATA, "sub/b .jpg": DATA, "c.jpg ": DATA, "7.jpg": DATA}))
    )
    assert store.resolve("a.jpg ") == "a.jpg"
    assert store.resolve(" a.jpg\t") == "a.jpg"
    assert store.resolve("sub/b .jpg ") == "sub/b .jpg"
    assert store.resolve("c.jpg") == "c.jpg "
    assert store.resolve("7 ") == "7.jpg"


def test_other_capitals_are_another_name_and_a_suggestion(tmp_path):
    store = open_store("odd", str(write_folder(tmp_path, {"sub/A.JPG": DATA, "b.png": DATA})))
    assert store.resolve("sub/a.jpg") is None
    assert store.suggest("sub/a.jpg") == "did you mean sub/A.JPG (other capitals)?"
    assert store.suggest("nowhere/b.jpg") == "did you mean b.png (another extension)?"
    assert store.suggest("quite_other.jpg") is None


def test_two_names_that_look_the_same_fit_none(tmp_path):
    store = open_store("odd", str(write_folder(tmp_path, {"a.jpg ": DATA, "a.jpg\t": DATA})))
    assert store.resolve("a.jpg") is None


def test_bytes_come_back_untouched(store):
    assert store.read("train2017/000000000025.jpg") == DATA + b"25"
    assert store.head("000000000009.jpg", 3) == DATA[:3]


def test_names_with_spaces_and_letters_of_all_scripts(tmp_path):
    names = ["my photo.jpg", "été/naïve #1?.jpg", "写真/猫 100%.jpg", "a@1+2.jpg"]
    store = open_store("odd", str(write_folder(tmp_path, {name: name.encode() for name in names})))
    assert [store.read(store.resolve(name)).decode() for name in names] == names


@pytest.mark.parametrize(
    "name", ["../secret.jpg", "a/../../secret.jpg", "/etc/passwd", "..\\secret.jpg", "C:\\x", "x\0"]
)
def test_a_name_never_leaves_the_store(tmp_path, root, name):
    write_folder(tmp_path, {"secret.jpg": DATA})
    store = open_store("coco", str(root))
    assert store.resolve(name) is None
    assert repr(name) in store.refusal(name)
    with pytest.raises(StoreError):
        store.read(name)


def test_a_harmless_name_is_not_refused_even_when_missing(store):
    assert store.refusal("000000000009.jpg") is None
    assert store.refusal("missing.jpg") is None


def test_a_link_may_lead_around_inside_but_not_out(tmp_path, root):
    write_folder(tmp_path, {"outside/secret.jpg": DATA})
    (root / "inner.jpg").symlink_to("train2017/000000000025.jpg")
    (root / "out.jpg").symlink_to(tmp_path / "outside/secret.jpg")
    (root / "out").symlink_to(tmp_path / "outside")
    (root / "in").symlink_to("train2017")
    (root / "broken.jpg").symlink_to("nothing.jpg")
    store = open_store("coco", str(root))
    assert store.read(store.resolve("inner.jpg")) == DATA + b"25"
    assert store.resolve("in/000000000025.jpg") == "in/000000000025.jpg"
    assert store.refusal("in/000000000025.jpg") is None
    for name in ("out.jpg", "out", "out/secret.jpg", "out/secret"):
        assert store.resolve(name) is None
    for name in ("out.jpg", "out/secret.jpg"):
        assert "symbolic link" in store.refusal(name)
    assert store.resolve("broken.jpg") is None
    assert store.refusal("broken.jpg") is None


def test_a_neighbour_whose_name_begins_like_the_root_is_outside(tmp_path, root):
    write_folder(tmp_path, {"coco2/x.jpg": DATA})
    (root / "x.jpg").symlink_to(tmp_path / "coco2/x.jpg")
    assert open_store("coco", str(root)).resolve("x.jpg") is None


def test_the_root_itself_may_be_a_link(tmp_path, root):
    (tmp_path / "link").symlink_to(root)
    store = open_store("coco", str(tmp_path / "link"))
    assert store.read(store.resolve("train2017/000000000025.jpg")) == DATA + b"25"


def test_a_pipe_is_no_image(root):
    os.mkfifo(root / "pipe.jpg")
    assert open_store("coco", str(root)).resolve("pipe.jpg") is None


def test_only_folders_that_are_named_are_listed(root, monkeypatch):
    listed = []
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: listed.append(path) or scandir(path))
    store = open_store("coco", str(root))
    for _ in range(3):
        store.resolve("000000000009.jpg")
    assert listed == [str(root)]


def test_an_image_that_vanished_is_named_with_its_store(store, root):
    member = store.resolve("000000000009.jpg")
    (root / member).unlink()
    with pytest.raises(VanishedError, match=r"coco .*lost 000000000009\.jpg"):
        store.read(member)


def test_a_pickled_store_is_its_name_and_location(store):
    store.resolve("000000000009.jpg")
    thawed = pickle.loads(pickle.dumps(store))
    assert (thawed.name, thawed.location) == (store.name, store.location)
    assert thawed.read("000000000009.jpg") == DATA
    assert len(pickle.dumps(store)) < 300


def test_no_descriptor_stays_open(store):
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    for _ in range(5):
        store.read(store.resolve("000000000009.jpg"))
        store.head("000000000009.jpg", 3)
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
