import base64

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from blender.core.errors import StoreError
from blender.data.images import ImageLimits, open_store, parquet, survey_image
from tests.data.images.pictures import picture, write_parquet

PICTURES = [picture(seed=number) for number in range(5)]
TEXTS = [base64.b64encode(data).decode() for data in PICTURES]
IDS = [f"SD_IMG_{number:04d}" for number in range(5)]
PATHS = [f"{number:012d}.jpg" for number in range(5)]


def open_table(path, columns, **options):
    pq.write_table(pa.table(columns), path / "x.parquet", **options)
    return open_store("sd", str(path / "x.parquet"))


SHAPES = {
    "mimicit": {"base64": TEXTS, "__index_level_0__": IDS},
    "mimicit named index": {"base64": TEXTS, "index": IDS},
    "bytes beside an id": {"id": IDS, "image": PICTURES},
    "large types": {"id": pa.array(IDS, pa.large_string()), "jpg": pa.array(PICTURES, pa.large_binary())},
    "categories": {"id": pa.array(IDS).dictionary_encode(), "image": PICTURES},
    "a path called image": {"image": IDS, "bytes": PICTURES},
    "an unknown column of bytes": {"id": IDS, "caption": TEXTS, "thing": PICTURES},
    "hugging face with id": {"id": IDS, "image": [{"bytes": data, "path": None} for data in PICTURES]},
    "data urls": {"id": IDS, "image": [f"data:image/jpeg;base64,{text}" for text in TEXTS]},
}


@pytest.mark.parametrize("shape", SHAPES)
def test_the_shapes_met_in_the_wild_are_recognised(tmp_path, shape):
    with open_table(tmp_path, SHAPES[shape], row_group_size=2) as store:
        assert [store.read(store.resolve(name)) for name in IDS] == PICTURES
        assert store.resolve("SD_IMG_9999") is None


def test_hugging_face_pictures_go_by_their_path_and_by_their_id(tmp_path):
    images = [{"bytes": data, "path": path} for data, path in zip(PICTURES, PATHS, strict=True)]
    with open_table(tmp_path, {"image_id": [7, 8, 9, 10, 11], "image": images}) as store:
        assert store.read(store.resolve("000000000003.jpg")) == PICTURES[3]
        assert store.read(store.resolve("CGD_IMG_000000000003")) == PICTURES[3]
        assert store.read(store.resolve("10")) == PICTURES[3]


def test_a_column_name_with_a_dot_is_a_name(tmp_path):
    with open_table(tmp_path, {"id": IDS, "image.bytes": PICTURES}) as store:
        assert store.read(store.resolve(IDS[2])) == PICTURES[2]


def test_a_table_without_pictures_or_names_is_refused_with_its_columns(tmp_path):
    with pytest.raises(StoreError, match=r"caption \(string\)"):
        open_table(tmp_path, {"id": IDS, "caption": TEXTS})
    with pytest.raises(StoreError, match=r"base64 \(string\)"):
        open_table(tmp_path, {"base64": TEXTS})


def test_a_row_without_picture_or_name_is_unusable_by_itself(tmp_path):
    with open_table(tmp_path, {"id": ["a", None, "c", "d"], "image": [None, b"x", PICTURES[0], b""]}) as store:
        assert survey_image(store, store.resolve("a"), ImageLimits()).reason == "unreadable"
        assert survey_image(store, store.resolve("d"), ImageLimits()).reason == "empty"
        assert store.read(store.resolve("c")) == PICTURES[0]


def test_text_that_is_not_base64_is_unusable_by_itself(tmp_path):
    with open_table(tmp_path, {"id": ["a", "b"], "base64": ["not base64!", TEXTS[0]]}) as store:
        assert survey_image(store, store.resolve("a"), ImageLimits()).reason == "unreadable"
        assert store.read(store.resolve("b")) == PICTURES[0]


def test_a_large_row_group_is_walked_in_any_order(tmp_path, monkeypatch):
    monkeypatch.setattr(parquet, "_KEPT_GROUP", 0)
    files = {f"{number}.jpg": bytes([number]) * 9 for number in range(50)}
    with open_store("large", str(write_parquet(tmp_path / "x.parquet", files, 40))) as store:
        for number in (0, 1, 30, 2, 49, 41, 16, 15, 39):
            assert store.read(store.resolve(f"{number}.jpg")) == bytes([number]) * 9


def test_a_member_of_another_table_is_noticed(tmp_path):
    with open_store("x", str(write_parquet(tmp_path / "x.parquet", {"a.jpg": b"a"}))) as store:
        for place in ("0+7", "7+0"):
            with pytest.raises(StoreError, match="another one"):
                store.read(f"a.jpg@{place}")
