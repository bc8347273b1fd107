import pytest
from hypothesis import given
from hypothesis import strategies as st

from blender.data.images.names import (
    NameIndex,
    extension_of,
    fault_as_name,
    fault_of_name,
    plain_path,
    shown_name,
    spellings,
)


def index_of(*paths: str) -> NameIndex:
    return NameIndex({path: f"<{path}>" for path in paths})


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("../x.jpg", "climbs"),
        ("a/../../x.jpg", "climbs"),
        ("a/..", "climbs"),
        ("/etc/passwd", "absolute"),
        ("a\\b.jpg", "backslash"),
        ("..\\x.jpg", "backslash"),
        ("C:/x.jpg", "drive"),
        ("c:x.jpg", "drive"),
        ("x\0.jpg", "NUL"),
    ],
)
def test_a_name_that_may_lead_elsewhere_is_told_apart(name, fault):
    assert fault in fault_of_name(name)


@pytest.mark.parametrize(
    "name", ["x.jpg", "a/b.jpg", "a..b.jpg", "...", "été 1.jpg", "写真/猫.png", ".hidden", "ab:c", ""]
)
def test_an_odd_but_harmless_name_is_fine(name):
    assert fault_of_name(name) is None


@given(st.text(alphabet="a./\\:\0", max_size=12))
def test_a_harmless_name_never_climbs_above_where_it_starts(name):
    if fault_of_name(name) is None:
        depth = 0
        assert not name.startswith("/")
        for part in plain_path(name).split("/"):
            depth += -1 if part == ".." else 1
            assert depth >= 0


def test_paths_lose_empty_and_single_dot_components():
    assert plain_path("./a//b/./c.jpg") == "a/b/c.jpg"
    assert plain_path("a/b.c./d") == "a/b.c./d"


def test_only_extensions_of_images_are_extensions():
    assert extension_of("A.JPEG") == "jpeg"
    assert extension_of("photo.v2") is None
    assert extension_of("jpg") is None


def test_an_exact_path_wins_over_everything_else():
    assert index_of("x.jpg", "a/x.jpg").find("a/x.jpg") == "<a/x.jpg>"
    assert index_of("x.jpg", "a/x.jpg").find("x.jpg") == "<x.jpg>"


def test_a_bare_name_finds_the_only_file_of_that_name():
    assert index_of("train2017/000000442786.jpg").find("000000442786.jpg") == "<train2017/000000442786.jpg>"


def test_a_name_that_fits_two_members_finds_none():
    assert index_of("a/x.jpg", "b/x.jpg").find("x.jpg") is None
    assert index_of("x.jpg", "x.png").find("x") is None


def test_two_paths_to_one_member_are_not_two_members():
    assert NameIndex({"a/x.jpg": "member", "b/x.jpg": "member"}).find("x.jpg") == "member"


def test_folders_in_a_name_must_not_contradict_those_of_the_member():
    index = index_of("train2017/1.jpg", "VG_100K/2.jpg", "3.jpg")
    assert index.find("coco/train2017/1.jpg") == "<train2017/1.jpg>"
    assert index.find("gqa/images/2.jpg") is None
    assert index.find("anything/3.jpg") == "<3.jpg>"
    assert index.find("2017/1.jpg") is None


def test_folders_choose_between_files_of_one_name():
    assert index_of("a/x.jpg", "b/x.jpg").find("root/b/x.jpg") == "<b/x.jpg>"


def test_an_id_finds_the_file_with_an_extension_and_the_reverse():
    assert index_of("1342.jpg").find("1342") == "<1342.jpg>"
    assert index_of("SD_IMG_0001").find("SD_IMG_0001.jpg") == "<SD_IMG_0001>"
    assert index_of("x.png").find("x.jpg") is None
    assert index_of("a.b.jpg").find("a.b") == "<a.b.jpg>"


COCO = ["000000426538.jpg", "CGD_IMG_000000426538", "CGD_IMG_0000000000426538", "000000426538"]


@pytest.mark.parametrize("kept", [*COCO, "train2017/000000426538.jpg", "CGD_IMG_000000426538.jpg"])
@pytest.mark.parametrize("asked", COCO)
def test_a_coco_photograph_is_found_under_all_of_its_names(kept, asked):
    assert index_of(kept, "000000000009.jpg", "CGD_IMG_000000000009").find(asked) == f"<{kept}>"


def test_numbers_that_are_not_padded_as_coco_pads_them_are_left_alone():
    assert list(spellings("426538.jpg")) == ["426538.jpg"]
    assert list(spellings("1234000000426538.jpg")) == ["1234000000426538.jpg"]
    assert index_of("000000426538.jpg").find("426538") is None


@given(
    st.dictionaries(st.text("ab/.jpg1", min_size=1, max_size=8), st.just(""), max_size=8),
    st.text("ab/.jpg1", max_size=8),
)
def test_whatever_is_found_has_the_asked_name_but_for_folders_and_extension(paths, name):
    found = index_of(*paths).find(name)
    if found is not None:
        base, asked = found[1:-1].rpartition("/")[2], name.rpartition("/")[2]
        assert base == asked or base.startswith(asked) or asked.startswith(base)


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("data:image/png;base64,iVBORw0KGgo=", "is a picture itself"),
        ("/9j/4AAQSkZJRgABAQAAAQABAAD/" * 4, "is a picture itself"),
        ("QUJD" * 1000, "is a picture itself"),
        ("https://host/a.jpg", "is a URL"),
        ("file:///data/a.jpg", "is a URL"),
    ],
)
def test_pictures_and_urls_in_place_of_names_are_recognised(name, fault):
    assert fault_as_name(name).startswith(fault)


def test_names_are_no_pictures_and_no_urls_and_long_ones_are_cut_for_people():
    for name in (
        "a.jpg",
        "/data/a.jpg",
        "C:\\a.jpg",
        "9j/a",
        "R0lGOD",
        "x" * 60 + "/" + "y" * 200 + ".jpg",
        "data/a.jpg",
    ):
        assert fault_as_name(name) is None
        assert shown_name(name) == name
    assert shown_name("QUJD" * 1000) == "QUJD" * 10 + "… (4,000 characters)"
