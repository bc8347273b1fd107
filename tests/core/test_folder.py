"""Folders that belong to us: one writer, no stranger's file deleted."""

import multiprocessing
import os
import signal
import time
from dataclasses import replace

import pytest

from blender.core.errors import FolderError
from blender.core.folder import MARKER, FolderKind, hold_folder
from tests.corpora import contents

THINGS = FolderKind(
    name="thing",
    noun="a collection of things",
    busy="another collection is being made in",
    own=(r"list\.txt", r"things/thing-\d+", r"more/"),
    is_proven=lambda folder: (folder / "list.txt").is_file() and "ours" in (folder / "list.txt").read_text(),
)


def collect(folder, content="ours"):
    with hold_folder(folder, THINGS):
        (folder / "things").mkdir(exist_ok=True)
        (folder / "more" / "deep").mkdir(parents=True, exist_ok=True)
        for path in ("list.txt", "things/thing-1", "more/deep/x"):
            (folder / path).write_text(content)
    return folder


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_folder_is_made_and_proves_whose_it_is(tmp_path):
    assert names(collect(tmp_path / "a" / "b")) == ["list.txt", "more", "things"]


def test_a_folder_that_does_not_prove_itself_keeps_the_marker_and_is_ours(tmp_path):
    folder = collect(tmp_path / "a", content="cut short")
    assert MARKER in names(folder)
    with hold_folder(folder, THINGS) as owned:
        owned.clear()
    assert not names(tmp_path / "a")


@pytest.mark.parametrize("is_there", [True, False])
def test_a_folder_that_nothing_was_written_into_is_as_it_was(tmp_path, is_there):
    folder = tmp_path / "a"
    if is_there:
        folder.mkdir()
    with hold_folder(folder, THINGS):
        pass
    assert folder.exists() == is_there
    assert not is_there or not names(folder)


@pytest.mark.parametrize("name", ["thesis.tex", "list.txt", "things/thing-1", "more/mine", ".list.txt.77"])
def test_a_strangers_folder_is_refused_whatever_its_names_are(tmp_path, name):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("precious")
    before = contents(tmp_path)
    refused = pytest.raises(FolderError, match="holds something else than a collection of things: ")
    with refused, hold_folder(tmp_path, THINGS):
        raise AssertionError
    assert contents(tmp_path) == before


@pytest.mark.parametrize("name", ["notes", "things/notes", "things/thing-1.bak", "other/thing-1"])
def test_nothing_is_deleted_while_there_is_a_strangers_file(tmp_path, name):
    folder = collect(tmp_path / "a")
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text("precious")
    before = contents(folder)
    with hold_folder(folder, THINGS) as owned, pytest.raises(FolderError, match=f"something else .*: {name}"):
        owned.clear()
    assert contents(folder) == before


def test_a_link_to_another_folder_is_not_followed(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "thing-1").write_text("precious")
    folder = collect(tmp_path / "a")
    (folder / "things" / "thing-1").unlink()
    (folder / "things").rmdir()
    (folder / "things").symlink_to(tmp_path / "elsewhere")
    with hold_folder(folder, THINGS) as owned, pytest.raises(FolderError, match="something else .*: things"):
        owned.clear()
    assert (tmp_path / "elsewhere" / "thing-1").read_text() == "precious"


def test_everything_of_ours_is_deleted_and_a_folder_may_stay(tmp_path):
    folder = collect(tmp_path / "a")
    with hold_folder(folder, THINGS) as owned:
        owned.clear(keep="more/deep")
        assert names(folder) == [MARKER, "more"]
        owned.clear()
        assert names(folder) == [MARKER]


def test_strangers_beside_ours_are_refused_only_where_a_folder_must_be_pure(tmp_path):
    folder = collect(tmp_path / "a")
    (folder / "notes").write_text("")
    (folder / ".git").mkdir()
    with hold_folder(folder, THINGS):
        pass
    with pytest.raises(FolderError, match="things: notes$|things: notes "), hold_folder(folder, THINGS, pure=True):
        pass


def test_a_folder_of_another_kind_is_refused(tmp_path):
    (tmp_path / MARKER).write_text('{"kind": "other"}')
    with hold_folder(tmp_path, THINGS):
        pass  # nothing but a marker is nobody's
    (tmp_path / MARKER).write_text('{"kind": "other"}')
    (tmp_path / "list.txt").write_text("ours")
    with pytest.raises(FolderError, match="it is the folder of a other"), hold_folder(tmp_path, THINGS):
        pass


def test_a_strange_marker_is_refused(tmp_path):
    (tmp_path / MARKER).write_text("[settings]")
    (tmp_path / "list.txt").write_text("ours")
    with pytest.raises(FolderError, match="not a marker of this program"), hold_folder(tmp_path, THINGS):
        pass


def test_what_a_kill_left_of_our_files_is_removed_and_nothing_else(tmp_path):
    folder = collect(tmp_path / "a")
    for name in (".list.txt.4711", ".bashrc.4711", "things/.thing-2.4711", "things/.mine.4711"):
        (folder / name).write_text("half")
    with hold_folder(folder, THINGS):
        assert names(folder) == [".bashrc.4711", MARKER, "list.txt", "more", "things"]
        assert names(folder / "things") == [".mine.4711", "thing-1"]


@pytest.mark.parametrize("path", ["s3://bucket/x", "gs://b/c", "hf://datasets/a/b", "https://host/x", "memory://x"])
def test_a_url_is_refused_before_a_folder_is_made(tmp_path, monkeypatch, path):
    from pathlib import Path

    monkeypatch.chdir(tmp_path)
    with pytest.raises(FolderError, match=f"^{path} is a URL"), hold_folder(Path(path), THINGS):
        pass
    assert not names(tmp_path)


def hold_for_long(folder, ready):
    with hold_folder(folder, THINGS):
        ready.set()
        time.sleep(60)


def test_a_second_process_is_refused_until_the_first_is_gone(tmp_path):
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    first = context.Process(target=hold_for_long, args=(tmp_path / "a", ready))
    first.start()
    assert ready.wait(60)
    with pytest.raises(FolderError, match="another collection is being made in .* right now"):
        collect(tmp_path / "a")
    os.kill(first.pid, signal.SIGKILL)
    first.join()
    collect(tmp_path / "a")


def count_up(folder, rounds):
    """Add one to a number, unless somebody else is at it."""
    done = 0
    while done < rounds:
        try:
            with hold_folder(folder, THINGS):
                path = folder / "list.txt"
                number = int(path.read_text().split()[1]) if path.is_file() else 0
                path.write_text(f"ours {number + 1}")
                done += 1
        except FolderError as error:
            assert "right now" in error.message
            time.sleep(0.0005)


def test_two_processes_never_hold_one_folder_at_once(tmp_path):
    """The marker comes and goes with every round: a lock on one that is gone does not count."""
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=count_up, args=(tmp_path / "a", 150)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert (tmp_path / "a" / "list.txt").read_text() == "ours 450"


def test_a_kind_that_joins_others_leaves_them_alone_and_takes_no_file_of_theirs(tmp_path):
    joining = replace(THINGS, joins=True)
    (tmp_path / "notes").write_text("precious")
    with hold_folder(tmp_path, joining) as owned:
        (tmp_path / "list.txt").write_text("ours")
        owned.clear()
    assert contents(tmp_path) == {"notes": b"precious"} | {MARKER: (tmp_path / MARKER).read_bytes()}
    (tmp_path / MARKER).unlink()
    (tmp_path / "list.txt").write_text("theirs")
    refused = pytest.raises(FolderError, match="something else than a collection of things: list.txt ")
    with refused, hold_folder(tmp_path, joining):
        pass
    assert (tmp_path / "list.txt").read_text() == "theirs"


@pytest.mark.parametrize(("kind", "what"), [("file", "a file"), ("link", "a link that leads nowhere")])
def test_what_is_no_folder_is_named(tmp_path, kind, what):
    path = tmp_path / "x"
    if kind == "file":
        path.write_text("mine")
    else:
        path.symlink_to("nowhere")
    with pytest.raises(FolderError, match=f"x is {what}, not a folder"), hold_folder(path, THINGS):
        pass
    assert names(tmp_path) == ["x"]


def test_a_link_to_a_folder_is_a_folder(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    collect(tmp_path / "link")
    assert names(tmp_path / "real") == ["list.txt", "more", "things"]
