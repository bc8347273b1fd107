"""Kill it at any moment: nothing half-written is ever seen, and the same command ends with the same bytes."""

import random
import shutil
import signal
import subprocess
import sys
import time

import pytest

from blender import load_recipe, write_blend
from blender.core.errors import FolderError, StoreError
from blender.shards.folder import hold_folder
from tests import corpora


def many_images(root):
    corpora.write_corpus(root, num_images=120)
    return corpora.write_recipe(root, lambda recipe: recipe["shards"].update(max_samples=3))


@pytest.mark.slow
def test_after_kills_at_random_moments_the_bytes_are_the_same(tmp_path):
    recipe = many_images(tmp_path / "corpus")
    write_blend(load_recipe(recipe), tmp_path / "whole", workers=1)
    whole = corpora.contents(tmp_path / "whole")
    out, moments = tmp_path / "out", random.Random(0)
    command = [sys.executable, "cli.py", "blend", str(recipe), "--out", str(out), "--workers", "2"]
    killed_while_writing = 0
    for _ in range(20):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until_written(out, process, moments.randint(0, 3))
        time.sleep(moments.random() * 0.05)
        process.send_signal(signal.SIGKILL)
        process.wait()
        for path, content in corpora.contents(out).items():
            if path.endswith(".tar") and not path.startswith(".work"):
                assert content == whole[path], "a shard under its own name is whole"
        killed_while_writing += (out / ".work").exists()
        if (out / "manifest.json").exists():
            shutil.rmtree(out)
    assert killed_while_writing > 3
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    assert corpora.contents(out) == whole


def wait_until_written(out, process, more):
    """Wait until some more shards are there than now, or the program ends."""
    before = len(list(out.glob("train/*.tar")))
    while process.poll() is None and len(list(out.glob("train/*.tar"))) < before + more:
        time.sleep(0.005)


def test_a_table_that_was_being_written_at_a_kill_is_not_left(corpus, written, tmp_path):
    half = tmp_path / "out" / "train" / ".index.parquet.4711"
    shutil.copytree(written, tmp_path / "out")
    half.write_bytes(b"half")
    write_blend(load_recipe(corpora.write_recipe(corpus)), tmp_path / "out", workers=1)
    assert corpora.contents(tmp_path / "out") == corpora.contents(written)


def test_a_vanished_image_is_named_and_finished_shards_are_kept(tmp_path, monkeypatch):
    recipe = load_recipe(many_images(tmp_path / "corpus"))
    out = tmp_path / "out"
    write_blend(recipe, tmp_path / "whole", workers=1)
    victim = tmp_path / "corpus" / "coco" / corpora.coco_name(50)
    content = victim.read_bytes()
    from blender.shards.blend import WriteProgress

    progress = WriteProgress(on_plan=lambda *_: victim.unlink())
    with pytest.raises(StoreError, match=victim.name) as caught:
        write_blend(recipe, out, workers=1, progress=progress)
    assert "finished and kept" in caught.value.hint
    finished = list(out.glob("*/*.tar"))
    assert finished
    victim.write_bytes(content)
    written = write_blend(recipe, out, workers=1)
    assert written.num_new_shards == len(written.manifest.shards) - len(finished)
    assert corpora.contents(out) == corpora.contents(tmp_path / "whole")


def test_two_blends_never_write_into_one_folder(corpus, tmp_path):
    recipe = load_recipe(corpora.write_recipe(corpus))
    with hold_folder(tmp_path / "out"), pytest.raises(FolderError, match="another blend is being written"):
        write_blend(recipe, tmp_path / "out")
    write_blend(recipe, tmp_path / "out")


@pytest.mark.slow
def test_a_full_disk_is_told_and_the_blend_goes_on_afterwards(tmp_path, full_disk):
    recipe = load_recipe(many_images(tmp_path / "corpus"))
    with pytest.raises(FolderError, match="no space left"):
        write_blend(recipe, full_disk / "out", workers=2)
    kept = [path.name for path in (full_disk / "out").glob("train/*.tar")]
    (full_disk / "ballast").unlink()
    written = write_blend(recipe, full_disk / "out", workers=1)
    assert written.num_new_shards <= len(written.manifest.shards) - len(kept)
    write_blend(recipe, tmp_path / "whole", workers=1)
    assert corpora.contents(full_disk / "out") == corpora.contents(tmp_path / "whole")


@pytest.mark.parametrize("room", [4_000, 40_000, 120_000])
def test_a_disk_that_fills_while_planning_is_told(tmp_path, full_disk, room):
    recipe = load_recipe(many_images(tmp_path / "corpus"))
    (full_disk / "ballast").write_bytes(bytes(3 * 1024 * 1024 - room - 8192))
    with pytest.raises(FolderError, match=f"^no space left in {full_disk / 'out'} "):
        write_blend(recipe, full_disk / "out", workers=1)
    (full_disk / "ballast").unlink()
    written = write_blend(recipe, full_disk / "out", workers=1)
    assert written.num_new_shards == len(written.manifest.shards)


@pytest.fixture
def full_disk(mount_disk):
    """A small file system with little room beside its ballast."""
    disk = mount_disk(3 << 20)
    (disk / "ballast").write_bytes(bytes(2_300_000))
    return disk
