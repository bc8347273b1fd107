"""wids reads a blend's samples by number."""

import json
import shutil

import pytest

from blender import load_recipe, open_blend, verify_blend, write_blend
from blender.errors import FolderError
from blender.shards.wids import write_wids
from tests import corpora


@pytest.fixture(scope="module")
def plain(corpus, tmp_path_factory):
    folder = tmp_path_factory.mktemp("wids") / "blend"
    write_blend(load_recipe(corpora.write_recipe(corpus)), folder, workers=1)
    return folder


@pytest.fixture
def folder(plain, tmp_path):
    return shutil.copytree(plain, tmp_path / "blend")


def problems(folder):
    return [problem for verdict in verify_blend(folder, workers=1) for problem in verdict.problems]


def test_the_same_blend_gives_the_same_files(folder):
    before = corpora.contents(folder)
    assert write_wids(open_blend(folder)) == ["train/wids.json", "eval/wids.json"]
    first = corpora.contents(folder)
    assert set(first) - set(before) == {"train/wids.json", "eval/wids.json"}
    write_wids(open_blend(folder))
    assert corpora.contents(folder) == first


def test_verify_knows_the_lists_and_tells_when_they_do_not_fit(folder):
    write_wids(open_blend(folder))
    assert not problems(folder)
    listing = json.loads((folder / "train" / "wids.json").read_text())
    listing["shardlist"][0]["nsamples"] -= 1
    (folder / "train" / "wids.json").write_text(json.dumps(listing))
    (told,) = problems(folder)
    assert told.startswith("train/wids.json does not fit the blend")


def test_a_folder_that_cannot_be_written_is_told(folder):
    (folder / "train" / "wids.json").mkdir()
    with pytest.raises(FolderError, match="cannot write to"):
        write_wids(open_blend(folder))


@pytest.mark.slow
@pytest.mark.parametrize("split", ["train", "eval"])
def test_wids_reads_our_bytes_by_number_and_leaves_nothing(folder, split):
    wids = pytest.importorskip("wids", reason="wids is not installed")
    blend = open_blend(folder)
    write_wids(blend)
    before = corpora.contents(folder)
    samples = wids.ShardListDataset(str(folder / split / "wids.json"), localname=str, transformations=[])
    keys = blend.index.filter(split=split)["key"].to_list()
    assert len(samples) == len(keys)
    for number in (len(keys) - 1, 0, *range(len(keys))):
        sample, stored = samples[number], blend[keys[number]]
        assert sample["__key__"] == keys[number]
        assert json.load(sample[".json"])["turns"][0]["question"] == stored.sample.turns[0].question
        shown = [value.read() for name, value in sample.items() if name.startswith(".image")]
        assert tuple(shown) == stored.images
    samples.close()
    assert corpora.contents(folder) == before
