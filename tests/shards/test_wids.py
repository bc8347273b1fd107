"""wids reads a blend's samples by number."""

import json

import pytest

from blender import open_blend, verify_blend
from blender.core.errors import FolderError
from blender.shards.wids import write_wids
from tests import corpora


def problems(folder):
    return [problem for verdict in verify_blend(folder, workers=1) for problem in verdict.problems]


def test_the_same_blend_gives_the_same_files(own_blend):
    before = corpora.contents(own_blend)
    assert write_wids(open_blend(own_blend)) == ["train/wids.json", "eval/wids.json"]
    first = corpora.contents(own_blend)
    assert set(first) - set(before) == {"train/wids.json", "eval/wids.json"}
    write_wids(open_blend(own_blend))
    assert corpora.contents(own_blend) == first


def test_verify_knows_the_lists_and_tells_when_they_do_not_fit(own_blend):
    write_wids(open_blend(own_blend))
    assert not problems(own_blend)
    listing = json.loads((own_blend / "train" / "wids.json").read_text())
    listing["shardlist"][0]["nsamples"] -= 1
    (own_blend / "train" / "wids.json").write_text(json.dumps(listing))
    (told,) = problems(own_blend)
    assert told.startswith("train/wids.json does not fit the blend")


def test_a_folder_that_cannot_be_written_is_told(own_blend):
    (own_blend / "train" / "wids.json").mkdir()
    with pytest.raises(FolderError, match="cannot write to"):
        write_wids(open_blend(own_blend))


@pytest.mark.slow
@pytest.mark.parametrize("split", ["train", "eval"])
def test_wids_reads_our_bytes_by_number_and_leaves_nothing(own_blend, split):
    wids = pytest.importorskip("wids", reason="wids is not installed")
    blend = open_blend(own_blend)
    write_wids(blend)
    before = corpora.contents(own_blend)
    samples = wids.ShardListDataset(str(own_blend / split / "wids.json"), localname=str, transformations=[])
    keys = blend.index.filter(split=split)["key"].to_list()
    assert len(samples) == len(keys)
    for number in (len(keys) - 1, 0, *range(len(keys))):
        sample, stored = samples[number], blend[keys[number]]
        assert sample["__key__"] == keys[number]
        assert json.load(sample[".json"])["turns"][0]["question"] == stored.sample.turns[0].question
        shown = [value.read() for name, value in sample.items() if name.startswith(".image")]
        assert tuple(shown) == stored.images
    samples.close()
    assert corpora.contents(own_blend) == before
