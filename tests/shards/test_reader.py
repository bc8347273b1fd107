"""Single samples of a blend, read without its whole index."""

import pickle
from dataclasses import replace

import pytest

from blender.core.errors import ShardError
from blender.shards.reader import ByteRange, OpenShards, open_blend, read_texts
from blender.shards.unpack import DamagedSample


@pytest.fixture(scope="module")
def blend(written):
    return open_blend(written)


def test_every_sample_and_image_is_the_one_that_the_index_names(blend):
    assert len(blend) == blend.index.height
    for row, members in enumerate(blend.index["members"].to_list()):
        stored, shard = blend[row], (blend.path / blend.shard_of(row)).read_bytes()
        _, *images = (shard[member["offset"] : member["offset"] + member["size"]] for member in members)
        assert stored.images == tuple(images)
        assert blend.find(stored.sample.key) == row
        assert blend.read_text(row) == stored.sample
        assert tuple(image.read() for image in blend.image_ranges(row)) == stored.images
        assert blend.shard_of(row) == stored.shard


def test_texts_are_read_in_a_row_by_whoever_has_their_ranges(blend):
    ranges = pickle.loads(pickle.dumps(blend.text_ranges(3, 5)))
    assert list(read_texts(blend.rows["key"][3:8], ranges)) == [blend.read_text(row) for row in range(3, 8)]


def test_there_is_no_row_for_a_key_that_is_not_there(blend):
    with pytest.raises(ShardError, match="has no sample train-999999999"):
        blend.find("train-999999999")


def test_a_blend_that_is_sent_takes_nothing_along(blend):
    assert len(blend[0].images) == len(blend[0].sample.images)
    assert vars(pickle.loads(pickle.dumps(blend))).keys() == {"path", "manifest", "location"}


def test_a_shard_that_is_gone_or_cut_is_told(tmp_path):
    with pytest.raises(ShardError, match="cannot be read"):
        ByteRange(str(tmp_path / "gone.tar"), 0, 10).read()
    cut = tmp_path / "cut.tar"
    cut.write_bytes(b"123")
    with pytest.raises(ShardError, match="ends early"):
        ByteRange(str(cut), 0, 10).read()


def test_a_shard_without_headers_is_told(blend, tmp_path):
    for part in ("train", "eval"):
        (tmp_path / part).mkdir()
        (tmp_path / part / "index.parquet").write_bytes((blend.path / part / "index.parquet").read_bytes())
    size = max((blend.path / "train").glob("*.tar"), key=lambda path: path.stat().st_size).stat().st_size
    (tmp_path / "train" / "train-000000.tar").write_bytes(b"x" * size)
    broken = replace(blend, path=tmp_path, location=str(tmp_path))
    for read in (broken.image_ranges, broken.__getitem__):
        with pytest.raises(DamagedSample, match="sample train-000000000 in shard .* no header of member"):
            read(0)
    with pytest.raises(ShardError, match="is damaged"):
        broken.read_text(0)


def test_the_shard_that_was_not_used_for_longest_is_opened_again():
    opened = []
    shards = OpenShards(max_open=2)
    for path in "abacab":
        assert shards.get(path, lambda path: opened.append(path) or [path]) == [path]
    assert opened == ["a", "b", "c", "b"]
    assert shards.files() == [["a"], ["b"]]
    shards.close()
    assert shards.files() == []
