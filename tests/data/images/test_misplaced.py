from pathlib import Path

import pytest

from blender.data.images import open_store
from tests.data.images.pictures import picture, write_folder

NAMES = [f"{number}.jpg" for number in range(6)]


def store_at(root, where, files):
    write_folder(root, dict.fromkeys(files, picture()))
    (root / where).mkdir(parents=True, exist_ok=True)
    return open_store("photos", str(root / where))


def told(folder):
    return f"they are in {folder} (--set images.photos={folder})"


@pytest.mark.parametrize("inner", ["train2017", "a/b"])
def test_images_one_or_two_folders_deeper_are_seen(tmp_path, inner):
    store = store_at(tmp_path, "coco", [f"coco/{inner}/{name}" for name in NAMES])
    assert store.find_misplaced(NAMES) == told(tmp_path / "coco" / inner)


@pytest.mark.parametrize("inner", ["coco/empty", "coco/a/b"])
def test_images_one_or_two_folders_higher_are_seen(tmp_path, inner):
    store = store_at(tmp_path, inner, [f"coco/{name}" for name in NAMES])
    assert store.find_misplaced(NAMES) == told(tmp_path / "coco")


def test_names_with_a_folder_that_the_store_has_not_are_seen(tmp_path):
    store = store_at(tmp_path, "coco", [f"coco/{name}" for name in NAMES])
    sentence = (
        f"{tmp_path / 'coco'} holds them directly, and their names have folders before them, such as gqa/0.jpg: "
        f"make a folder {tmp_path / 'coco/gqa'} of them, or take these folders out of the names"
    )
    assert store.find_misplaced([f"gqa/{name}" for name in NAMES]) == sentence


def test_images_that_are_nowhere_near_are_not_seen(tmp_path):
    assert store_at(tmp_path, "coco", ["coco/x/other.jpg"]).find_misplaced(NAMES) is None
    assert store_at(tmp_path, "coco", ["coco/x/0.jpg"]).find_misplaced(NAMES) is None, "one of six may be chance"


def test_names_that_lead_elsewhere_are_not_tried(tmp_path):
    store = store_at(tmp_path, "coco/empty", ["secret.jpg"])
    assert store.find_misplaced(["../../secret.jpg", str(tmp_path / "secret.jpg"), "..\\..\\secret.jpg"]) is None
    assert Path(tmp_path, "secret.jpg").is_file()
