"""Files that are there whole or not at all."""

import itertools
import multiprocessing
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from blender.core.errors import FolderError
from blender.core.files import final_name, whole_file, write_whole

ROOT = Path(__file__).parents[2]


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


def test_what_a_kill_left_is_recognised():
    assert final_name(".manifest.json.4711") == "manifest.json"
    assert final_name("manifest.json") == "manifest.json"
    assert final_name(".hidden") == ".hidden"


def test_a_url_is_no_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FolderError, match="s3://bucket/x is a URL"):
        write_whole(Path("s3://bucket/x"), b"x")
    assert not list(tmp_path.iterdir())


def write_for_ever(path):
    for number in itertools.count():
        content = bytes([number % 256]) * 300_000
        # in pieces, so that a reader has many moments to see a part
        write_whole(path, (content[start : start + 10_000] for start in range(0, len(content), 10_000)))


def test_no_reader_ever_sees_a_part_whenever_the_writer_is_killed(tmp_path):
    path, moments = tmp_path / "a", random.Random(0)
    write_whole(path, bytes(300_000))
    num_seen = 0
    for _ in range(4):
        process = multiprocessing.get_context("fork").Process(target=write_for_ever, args=(path,))
        process.start()
        until = time.monotonic() + 0.15 + moments.random() * 0.1
        while time.monotonic() < until:
            seen = path.read_bytes()
            assert len(seen) == 300_000 and len(set(seen)) == 1
            num_seen += 1
        process.kill()
        process.join()
        assert len(path.read_bytes()) == 300_000
    assert num_seen > 10


def test_bytes_are_on_the_disk_before_the_name_and_the_name_before_the_return(tmp_path):
    """Seen in the calls to the system: file synced, renamed, folder synced."""
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("there is no strace on this machine")
    code = "from pathlib import Path; from blender.core.files import write_whole; write_whole(Path('a'), b'x')"
    traced = subprocess.run(
        [strace, "-f", "-e", "trace=fsync,rename,renameat,renameat2", sys.executable, "-c", code],
        cwd=tmp_path, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True,
    )  # fmt: skip
    calls = [line.split("(")[0].split()[-1] for line in traced.stderr.splitlines() if "(" in line and "= 0" in line]
    assert [call[:6] for call in calls] == ["fsync", "rename", "fsync"]


def test_a_file_that_cannot_be_written_whole_is_not_there(tmp_path):
    """A limit of the system stands for a full disk."""
    code = (
        "import resource, sys; from pathlib import Path; from blender.core.files import write_whole\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try: write_whole(Path('a'), bytes(2000))\n"
        "except OSError as error: print(error.strerror)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == "File too large"
    assert not list(tmp_path.iterdir())
