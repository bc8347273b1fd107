from pathlib import Path

import fsspec
import pytest

from blender.core.errors import SourceError
from tests import servers
from tests.recipe.examples import GOOD, load


@pytest.fixture
def data(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "data"
    (folder / "coco").mkdir(parents=True)
    for name in ("llava.json", "cgd.json", "part-2.json", "part-10.json", "part-1.json", "._part-1.json"):
        (folder / name).write_text("[]")
    return folder


def files(folder: Path, *patterns: str) -> list[str]:
    listed = ", ".join(f"'{pattern}'" for pattern in patterns)
    return load(folder, GOOD, [f"sources.cgd.files=[{listed}]"]).sources["cgd"].resolved_files()


def test_nothing_is_missing_when_everything_is_there(data, tmp_path):
    recipe = load(tmp_path, GOOD)
    assert recipe.missing_files() == recipe.missing_stores() == []


def test_missing_files_are_faults_with_lines_though_the_recipe_loads(data, tmp_path):
    (data / "llava.json").unlink()
    (data / "cgd.json").rename(data / "cgd.json.gz")
    assert [str(fault) for fault in load(tmp_path, GOOD).missing_files()] == [
        "line 6: sources.llava.files: there is no './data/llava.json'",
        "line 9: sources.cgd.files.0: there is no './data/cgd.json'; did you mean 'cgd.json.gz'?",
    ]


def test_a_missing_data_folder_is_named(data, tmp_path):
    faults = load(tmp_path, GOOD, ["data=elsewhere"]).missing_files()
    assert len(faults) == 2
    assert all("there is no folder 'elsewhere'" in fault.message for fault in faults)


def test_a_missing_store_points_to_its_archive(data, tmp_path):
    (data / "coco").rmdir()
    (data / "coco.zip").write_bytes(b"")
    faults = load(tmp_path, GOOD).missing_stores()
    assert [str(fault) for fault in faults] == [
        "line 4: images.coco: there is no './data/coco'; did you mean 'coco.zip'?"
    ]


def test_a_folder_is_no_annotation_file(data, tmp_path):
    recipe = load(tmp_path, GOOD, ["sources.cgd.files=data"])
    assert "is a folder, not a file" in recipe.missing_files()[0].message


def test_patterns_are_expanded_in_sorted_order_without_hidden_files(data, tmp_path):
    assert files(tmp_path, "./data/part-*.json") == ["data/part-1.json", "data/part-10.json", "data/part-2.json"]


def test_absolute_patterns_and_patterns_upwards_are_expanded(data, tmp_path, monkeypatch):
    assert files(tmp_path, f"{data}/part-?.json") == [f"{data}/part-1.json", f"{data}/part-2.json"]
    monkeypatch.chdir(data)
    assert files(tmp_path, "../data/part-1?.json") == ["../data/part-10.json"]


def test_files_keep_the_order_of_the_recipe_and_come_once(data, tmp_path):
    listed = files(tmp_path, "data/part-2.json", "data/part-*.json")
    assert listed == ["data/part-2.json", "data/part-1.json", "data/part-10.json"]


def test_a_name_that_looks_like_a_pattern_is_a_name_when_it_is_there(data, tmp_path):
    (data / "a[1].json").write_text("[]")
    assert files(tmp_path, "data/a[1].json") == ["data/a[1].json"]


def test_brackets_in_the_name_of_a_folder_are_no_pattern(data, tmp_path):
    (data / "mix[1]" / "b").mkdir(parents=True)
    for name in ("mix[1]/part-1.json", "mix[1]/b/part-2.json"):
        (data / name).write_text("[]")
    assert files(tmp_path, "data/mix[1]/part-*.json") == ["data/mix[1]/part-1.json"]
    assert files(tmp_path, f"{data}/mix[1]/*/part-?.json") == [f"{data}/mix[1]/b/part-2.json"]


def test_a_pattern_without_a_match_is_missing(data, tmp_path):
    recipe = load(tmp_path, GOOD, ["sources.cgd.files=data/none-*.json"])
    assert [fault.message for fault in recipe.missing_files()] == [
        "no file matches 'data/none-*.json' (set by an override)"
    ]


@pytest.mark.parametrize("url", ["https://example.org/a.json?x=1", "s3://bucket/a.json", "zip://a.json::data/a.zip"])
def test_remote_files_are_left_alone(data, tmp_path, url):
    recipe = load(tmp_path, GOOD, [f"sources.cgd.files={url}"])
    assert recipe.missing_files() == []
    assert recipe.sources["cgd"].resolved_files() == [url]


def test_remote_patterns_are_listed(data, tmp_path):
    memory = fsspec.filesystem("memory")
    for name in ("b", "a"):
        memory.pipe(f"/recipe-test/{name}.json", b"[]")
    assert files(tmp_path, "memory://recipe-test/*.json") == [
        "memory:///recipe-test/a.json",
        "memory:///recipe-test/b.json",
    ]


def test_file_urls_are_looked_at(data, tmp_path):
    recipe = load(tmp_path, GOOD, [f"sources.cgd.files=file://{data}/none.json"])
    assert "there is no" in recipe.missing_files()[0].message


def test_the_home_folder_may_be_written_short(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", "/home/someone")
    assert load(tmp_path, GOOD, ["data=~/corpus"]).images["coco"] == "/home/someone/corpus/coco"


def test_a_tokenizer_is_looked_for_as_a_file_or_in_its_folder(data, tmp_path):
    overrides = ["limits.tokens=100", "limits.tokenizer=data"]
    assert [fault.path for fault in load(tmp_path, GOOD, overrides).missing_files()] == ["limits.tokenizer"]
    (data / "tokenizer.json").write_text("{}")
    assert load(tmp_path, GOOD, overrides).missing_files() == []
    assert load(tmp_path, GOOD, [*overrides, "limits.tokenizer=data/tokenizer.json"]).missing_files() == []


def test_remote_patterns_that_give_nothing_are_told_in_a_sentence(data, tmp_path):
    with pytest.raises(SourceError, match=r"no file matches memory://nowhere/part-\*.json"):
        files(tmp_path, "memory://nowhere/part-*.json")
    with pytest.raises(SourceError, match=r"the files nosuch://b/\*.json cannot be listed: "):
        files(tmp_path, "nosuch://b/*.json")
    with servers.refusing_bucket(), pytest.raises(SourceError, match="cannot be listed: Access Denied"):
        files(tmp_path, "s3://bucket/part-*.json")
    with servers.bucket(), pytest.raises(SourceError, match=r"no file matches s3://vanished/\*.json"):
        files(tmp_path, "s3://vanished/*.json")
