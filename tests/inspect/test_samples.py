"""Single samples of a blend, read without its whole index."""

from dataclasses import replace

import pytest

from blender.core.errors import ShardError
from blender.inspect.samples import Place, read_table


@pytest.fixture(scope="module")
def table(blend):
    return read_table(blend)


def test_every_sample_and_image_is_the_one_that_the_index_names(blend, table):
    assert len(table) == len(blend)
    for row, stored in enumerate(blend):
        assert table.find(stored.sample.key) == row
        assert table.read(row) == stored.sample
        assert tuple(place.read() for place in table.image_places(row)) == stored.images
        assert table.shard(row) == stored.shard


def test_there_is_no_row_for_a_key_that_is_not_there(table):
    assert table.find("train-999999999") is None


def test_a_shard_that_is_gone_or_cut_is_told(blend, tmp_path):
    with pytest.raises(ShardError, match="cannot be read"):
        Place(str(tmp_path / "gone.tar"), 0, 10).read()
    cut = tmp_path / "cut.tar"
    cut.write_bytes(b"123")
    with pytest.raises(ShardError, match="ends early"):
        Place(str(cut), 0, 10).read()


def test_a_shard_without_headers_is_told(blend, tmp_path):
    for part in ("train", "eval"):
        (tmp_path / part).mkdir()
        (tmp_path / part / "index.parquet").write_bytes((blend.path / part / "index.parquet").read_bytes())
    size = max((blend.path / "train").glob("*.tar"), key=lambda path: path.stat().st_size).stat().st_size
    (tmp_path / "train" / "train-000000.tar").write_bytes(b"x" * size)
    table = read_table(replace(blend, path=tmp_path, location=str(tmp_path)))
    with pytest.raises(ShardError, match="no header at byte 0"):
        table.image_places(0)
    with pytest.raises(ShardError, match="is damaged"):
        table.read(0)
