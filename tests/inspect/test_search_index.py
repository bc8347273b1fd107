"""Searching the texts of a blend."""

import shutil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blender import open_blend
from blender.core.errors import InspectionError
from blender.inspect import search_index as module
from blender.inspect.search_index import open_search_index
from blender.inspect.views import search_text

words = st.lists(
    st.sampled_from(["the", "IMAGE", "image 1", "99", "question 0", "<script>", ".*", "שלום", "jpg", "qqq"]), max_size=3
)


@pytest.fixture(scope="module")
def index(blend, cache):
    return open_search_index(blend, cache=cache)


@settings(max_examples=25)
@given(words)
def test_a_search_finds_exactly_the_samples_that_hold_every_term(blend, index, terms):
    texts = [search_text(stored.sample) for stored in blend]
    query = " ".join(f'"{term}"' if " " in term else term for term in terms)
    expected = [row for row, text in enumerate(texts) if all(term.lower() in text for term in terms)]
    assert index.search(query).tolist() == expected


def test_images_are_those_of_the_samples(blend, index):
    expected = [
        (row, image.store, image.name, image.width, image.height)
        for row, stored in enumerate(blend)
        for image in stored.sample.images
    ]
    assert sorted(index.images().collect().rows()) == sorted(expected)


def test_it_is_gathered_once_per_content_of_a_blend(blend, cache, index, tmp_path):
    told = []
    again = open_search_index(blend, on_progress=lambda *done: told.append(done), cache=cache)
    assert again == index
    assert told == []
    other = tmp_path / "other"
    shutil.copytree(blend.path, other)
    manifest = other / "manifest.json"
    manifest.write_bytes(manifest.read_bytes() + b"\n")
    third = open_search_index(open_blend(other), on_progress=lambda *done: told.append(done), cache=cache)
    assert third.folder != index.folder
    assert told[-1] == (len(blend), len(blend))


def test_gathering_in_other_processes_gives_the_same(blend, index, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_CHUNK", 8)
    parallel = open_search_index(blend, workers=2, cache=tmp_path / "cache")
    for name in ("texts.parquet", "images.parquet"):
        one, two = (module.pl.read_parquet(found.folder / name).sort("row") for found in (index, parallel))
        assert one.equals(two)


def test_the_least_used_indexes_are_forgotten(blend, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_KEPT", 1)
    old = tmp_path / "cache" / "old-index"
    old.mkdir(parents=True)
    module.os.utime(old, (0, 0))
    kept = open_search_index(blend, cache=tmp_path / "cache")
    assert not old.exists()
    assert kept.folder.is_dir()
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [kept.folder.name]


def test_a_cache_that_cannot_be_written_is_told(blend, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InspectionError, match="cannot write to the cache folder") as caught:
        open_search_index(blend, cache=tmp_path / "file")
    assert "XDG_CACHE_HOME" in str(caught.value.hint)
