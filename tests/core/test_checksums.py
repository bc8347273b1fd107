"""Checksums beside a folder's files."""

import pytest

from blender.core.checksums import CHECKSUMS, find_damage, write_checksums


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "a").write_bytes(b"abc" * 1000)
    (tmp_path / "deep" / "b").write_bytes(b"")
    write_checksums(tmp_path)
    return tmp_path


def test_what_was_written_is_right_and_further_files_do_not_matter(folder):
    (folder / "notes").write_text("mine")
    assert find_damage(folder) is None


def test_every_single_flipped_bit_is_noticed(folder):
    for place in range(0, 3000, 311):
        content = bytearray(b"abc" * 1000)
        content[place] ^= 1 << place % 8
        (folder / "a").write_bytes(content)
        assert find_damage(folder) == f"{folder / 'a'} is damaged: its bytes are not those that were written"
    assert find_damage(folder, lambda name: name != "a") is None


def test_cut_and_missing_files_are_named(folder):
    (folder / "a").write_bytes(b"abc")
    assert find_damage(folder) == f"{folder / 'a'} has 3 bytes, and had 3,000 when it was written"
    (folder / "a").unlink()
    assert find_damage(folder) == f"{folder / 'a'} is missing"


@pytest.mark.parametrize("content", ["", "[]", '{"a": 1}', "\udcff"])
def test_a_damaged_list_is_damage(folder, content):
    (folder / CHECKSUMS).write_bytes(content.encode(errors="surrogateescape"))
    assert "checksums.json is damaged" in find_damage(folder)


def test_without_a_list_nothing_is_known(folder):
    (folder / CHECKSUMS).unlink()
    (folder / "a").write_bytes(b"x")
    assert find_damage(folder) is None
