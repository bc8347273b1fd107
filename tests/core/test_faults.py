"""What the system says, as sentences."""

import errno
from pathlib import Path

import pytest

from blender.core.errors import FolderError, ShardError
from blender.core.faults import demand_local, folder_fault, full_disk_told, is_disk_full


class _OfALibrary(Exception):
    """As libraries have them."""


FULL = [
    OSError(errno.ENOSPC, "No space left on device"),
    OSError(errno.EDQUOT, "Disk quota exceeded"),
    OSError("IO error: No space left on device (os error 28)"),
    _OfALibrary("failed: No space left on device (os error 28)"),
    _OfALibrary("[Errno 28] Error writing bytes to file. Detail: [errno 28] No space left on device"),
    _OfALibrary("database or disk is full"),
]


@pytest.mark.parametrize("error", FULL, ids=str)
def test_a_full_disk_is_told_whoever_says_it(tmp_path, error):
    assert is_disk_full(error)
    with pytest.raises(FolderError, match=f"^no space left in {tmp_path}") as caught, full_disk_told(tmp_path):
        raise error
    assert "it continues" in caught.value.hint


def test_a_full_disk_behind_another_error_is_told(tmp_path):
    def work():
        try:
            raise FULL[0]
        except OSError as error:
            raise RuntimeError("could not write") from error

    with pytest.raises(FolderError, match="no space left"), full_disk_told(tmp_path):
        work()


@pytest.mark.parametrize("error", [OSError(errno.EACCES, "x"), ValueError("28"), ShardError("no os error 280")])
def test_other_errors_pass(tmp_path, error):
    with pytest.raises(type(error)) as caught, full_disk_told(tmp_path):
        raise error
    assert caught.value is error


def test_a_full_disk_elsewhere_is_named(tmp_path):
    with pytest.raises(FolderError, match=r"\(for /tmp/elsewhere\)"), full_disk_told(tmp_path):
        raise OSError(errno.ENOSPC, "No space left on device", "/tmp/elsewhere")


def test_other_faults_of_a_folder_keep_their_words(tmp_path):
    assert folder_fault(OSError(errno.EFBIG, "File too large"), tmp_path).message.endswith("File too large")


@pytest.mark.parametrize("path", ["a", "a/b", "/a:/b", "./s3:x", "C:/data", "a b://c", "..", "a.b/c:/d"])
def test_paths_are_no_urls(path):
    demand_local(Path(path))
    demand_local(path)


@pytest.mark.parametrize("path", ["s3://a/b", "file:///a", "hf://a", "S3A://b", "git+ssh://x"])
def test_urls_are_refused_also_where_they_were_made_paths(path):
    for given in (path, Path(path)):
        with pytest.raises(FolderError, match="is a URL"):
            demand_local(given)
