"""Files that are there whole or not at all."""

from collections.abc import Iterator

import pytest

from blender.core.files import whole_file, write_whole


def test_pieces_are_written_in_order_and_counted(tmp_path):
    assert write_whole(tmp_path / "a", iter([b"one ", b"two"])) == 7
    assert (tmp_path / "a").read_bytes() == b"one two"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_fault_leaves_what_was_there(tmp_path):
    (tmp_path / "a").write_bytes(b"before")

    def pieces() -> Iterator[bytes]:
        yield b"half"
        raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        write_whole(tmp_path / "a", pieces())
    assert (tmp_path / "a").read_bytes() == b"before"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_nothing_stands_in_the_place_before_the_end(tmp_path):
    with whole_file(tmp_path / "a") as aside:
        aside.write_bytes(b"all of it")
        assert not (tmp_path / "a").exists()
    assert (tmp_path / "a").read_bytes() == b"all of it"


def test_a_folder_that_is_not_there_is_an_error_of_the_system(tmp_path):
    with pytest.raises(FileNotFoundError):
        write_whole(tmp_path / "missing" / "a", b"x")
