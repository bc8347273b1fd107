"""The folder of a blend: what may be replaced in it, and what changed in it since it was finished."""

import json
import os
import re
import shutil

import msgspec
import polars as pl
import pytest

from blender import load_recipe, open_blend, verify_blend, write_blend
from blender.core.errors import FolderError, ShardError
from blender.core.folder import MARKER
from blender.shards.blend import WriteProgress
from blender.shards.manifest import read_manifest
from blender.stream.index import open_stream_blend
from blender.stream.opening import open_mixture
from tests import corpora


@pytest.fixture(scope="module")
def recipe(corpus):
    return load_recipe(corpora.write_recipe(corpus))


@pytest.fixture(scope="module")
def other(corpus):
    return load_recipe(corpora.write_recipe(corpus), ["seed=8"])


def flip(path, place=-2000):
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def blend_again(recipe, folder, **options):
    """Blend into a folder; return how many shards were written, and what was seen of the finished one."""
    seen = []
    progress = WriteProgress(on_checked=seen.append)
    return write_blend(recipe, folder, workers=1, progress=progress, **options).num_new_shards, seen


def edit(folder, change):
    path = folder / "manifest.json"
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data, indent=2))


UNREADABLE = {
    "cut short": lambda folder: os.truncate(folder / "manifest.json", 300),
    "empty": lambda folder: os.truncate(folder / "manifest.json", 0),
    "of a newer layout": lambda folder: edit(folder, lambda data: data.update(layout=99, shards="elsewhere")),
    "of an older layout": lambda folder: edit(folder, lambda data: [data.update(layout=0), data.pop("ledger")]),
    "without a key": lambda folder: edit(folder, lambda data: data.pop("counts")),
}


@pytest.mark.parametrize("what", UNREADABLE)
def test_a_blend_whose_manifest_cannot_be_read_is_replaced_when_asked(own_blend, recipe, written, what):
    UNREADABLE[what](own_blend)
    before = corpora.contents(own_blend)
    with pytest.raises(ShardError) as caught:
        write_blend(recipe, own_blend, workers=1)
    assert "--overwrite" in caught.value.hint
    assert "\n" not in caught.value.message
    assert corpora.contents(own_blend) == before
    write_blend(recipe, own_blend, workers=1, overwrite=True)
    assert corpora.contents(own_blend) == corpora.contents(written)


def test_layouts_are_named(own_blend):
    UNREADABLE["of a newer layout"](own_blend)
    with pytest.raises(ShardError, match=r"has layout 99, and this program reads layouts 1 and 2"):
        open_blend(own_blend)


def test_a_blend_that_lost_shards_is_replaced_when_asked(own_blend, other):
    for shard in (own_blend / "train").glob("*.tar"):
        shard.unlink()
    write_blend(other, own_blend, workers=1, overwrite=True)
    assert not [problem for verdict in verify_blend(own_blend) for problem in verdict.problems]


@pytest.mark.parametrize("name", ["train/photos/cat.jpg", "train/train-000000.tar.bak", "eval/notes.txt"])
def test_nothing_is_replaced_while_there_is_a_strangers_file(own_blend, other, name):
    (own_blend / name).parent.mkdir(exist_ok=True)
    (own_blend / name).write_text("precious")
    before = corpora.contents(own_blend)
    with pytest.raises(FolderError, match=f"something else than a blend: {name}") as caught:
        write_blend(other, own_blend, workers=1, overwrite=True)
    assert "nothing was deleted" in caught.value.hint
    after = corpora.contents(own_blend)
    assert {path: after[path] for path in before} == before


@pytest.mark.parametrize("overwrite", [True, False])
def test_another_program_s_folder_is_no_blend_though_its_names_are_ours(tmp_path, recipe, overwrite):
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "train-000000.tar").write_bytes(b"precious")
    (tmp_path / "manifest.json").write_text('{"name": "app", "short_name": "a", "icons": []}')
    (tmp_path / "README.md").write_text("mine")
    pl.DataFrame({"date": [1]}).write_parquet(tmp_path / "ledger.parquet")
    before = corpora.contents(tmp_path)
    with pytest.raises(FolderError, match="holds something else than a blend"):
        write_blend(recipe, tmp_path, workers=1, overwrite=overwrite)
    assert corpora.contents(tmp_path) == before


def test_replacing_can_be_interrupted_and_asked_for_again(own_blend, other):
    """What a kill in the middle of deleting leaves is the other blend's still."""
    (own_blend / "manifest.json").unlink()
    (own_blend / ".work").mkdir()
    (own_blend / ".work" / "fingerprint").write_text("of the blend that was being deleted")
    with pytest.raises(FolderError, match="another recipe"):
        write_blend(other, own_blend, workers=1)
    write_blend(other, own_blend, workers=1, overwrite=True)
    assert not [problem for verdict in verify_blend(own_blend) for problem in verdict.problems]


def test_what_a_kill_left_of_a_manifest_is_no_strangers_file(own_blend, recipe, written):
    (own_blend / ".manifest.json.4711").write_text("{")
    (own_blend / "train" / ".index.parquet.4711").write_text("")
    assert blend_again(recipe, own_blend)[0] == 0
    assert not (own_blend / ".manifest.json.4711").exists()


def test_a_finished_blend_that_nobody_touched_is_not_read_again(own_blend, recipe):
    # the copy for this test kept the times
    new, (checked,) = blend_again(recipe, own_blend)
    assert (new, checked.num_hashed, checked.changed) == (0, 0, ())
    assert not (own_blend / MARKER).exists()


def every_file(folder):
    manifest = read_manifest(folder)
    return [file.path for file in (*manifest.shards, *manifest.tables)]


def test_one_byte_changed_in_any_file_is_noticed(recipe, written, tmp_path):
    assert {"ledger.parquet", "train/index.parquet", "eval/index.parquet"} < set(every_file(written))
    for number, path in enumerate(every_file(written)[::3] + ["ledger.parquet", "train/index.parquet"]):
        folder = shutil.copytree(written, tmp_path / str(number))
        flip(folder / path, place=len((folder / path).read_bytes()) // 2)
        new, (checked,) = blend_again(recipe, folder)
        assert checked.changed == (path,)
        assert new
        assert corpora.contents(folder) == corpora.contents(written)


@pytest.mark.parametrize("moment", [0, 1_600_000_000])
def test_a_changed_byte_is_noticed_also_where_a_time_was_put_back_to_any_other(own_blend, recipe, moment):
    path = own_blend / every_file(own_blend)[0]
    flip(path)
    os.utime(path, (moment, moment))
    assert blend_again(recipe, own_blend)[1][0].changed == (every_file(own_blend)[0],)


def test_a_byte_changed_behind_an_unchanged_time_is_noticed_when_all_is_read(own_blend, recipe, written):
    path = own_blend / every_file(own_blend)[0]
    facts = path.stat()
    flip(path)
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert blend_again(recipe, own_blend)[1][0].changed == ()
    new, (checked,) = blend_again(recipe, own_blend, checksum=True)
    assert checked.was_asked and checked.num_hashed == len(every_file(written))
    assert checked.changed == (every_file(own_blend)[0],)
    assert new and corpora.contents(own_blend) == corpora.contents(written)


def test_a_copy_with_other_times_is_hashed_once_and_no_alarm(written, tmp_path, recipe):
    folder = shutil.copytree(written, tmp_path / "copy", copy_function=shutil.copyfile)
    new, (checked,) = blend_again(recipe, folder)
    assert (new, checked.num_hashed, checked.changed) == (0, len(every_file(written)), ())
    new, (checked,) = blend_again(recipe, folder)
    assert (new, checked.num_hashed) == (0, 0)


def test_what_is_not_as_its_note_says_before_the_blend_is_finished_is_written_again(tmp_path, own_corpus):
    """As a power cut may leave it: another shard, no note, another index. Another time alone is nothing."""
    recipe = load_recipe(corpora.write_recipe(own_corpus, lambda recipe: recipe["shards"].update(max_samples=2)))
    victim = own_corpus / "coco" / corpora.coco_name(20)
    content = victim.read_bytes()
    out = tmp_path / "out"
    with pytest.raises(Exception, match=victim.name):
        write_blend(recipe, out, workers=1, progress=WriteProgress(on_plan=lambda *_: victim.unlink()))
    victim.write_bytes(content)
    finished = sorted(out.glob("*/*.tar"))
    assert len(finished) > 3
    flip(finished[0])
    os.utime(finished[1], (0, 0))
    os.truncate(out / ".work" / "done" / f"{finished[2].stem}.json", 0)
    flip(out / ".work" / "done" / f"{finished[3].stem}.arrow", place=200)
    result = write_blend(recipe, out, workers=1)
    assert result.num_new_shards == len(result.manifest.shards) - len(finished) + 3
    assert not [problem for verdict in verify_blend(out) for problem in verdict.problems]


def test_the_content_covers_every_shard_and_nothing_else(written, own_blend):
    manifest = read_manifest(own_blend)
    assert manifest.content == manifest.identity == read_manifest(written).identity
    edit(own_blend, lambda data: data.update(name="renamed"))
    assert read_manifest(own_blend).identity == manifest.identity
    edit(own_blend, lambda data: data["shards"][0].update(sha256="0" * 64))
    assert read_manifest(own_blend).identity != manifest.identity
    problems = [problem for verdict in verify_blend(own_blend) for problem in verdict.problems]
    assert any("contradicts itself" in problem for problem in problems)


def test_a_manifest_of_before_has_the_same_identity(written, own_blend, recipe):
    edit(own_blend, lambda data: [data.pop("content"), data.pop("tables")])
    assert read_manifest(own_blend).identity == read_manifest(written).identity
    assert not [problem for verdict in verify_blend(own_blend) for problem in verdict.problems]
    assert blend_again(recipe, own_blend)[0] == 0


def test_states_and_lengths_are_of_the_content(own_blend):
    """The same recipe, images and texts, and yet another shard: a state of the one is none of the other."""
    (before,) = open_mixture(str(own_blend)).mixture.components.values()
    edit(own_blend, lambda data: data["shards"][0].update(sha256="0" * 64))
    blend = open_stream_blend(str(own_blend))
    assert blend.manifest.fingerprint == read_manifest(own_blend).fingerprint
    (after,) = open_mixture(str(own_blend)).mixture.components.values()
    assert after.fingerprint == f"train {blend.identity}" != before.fingerprint


def test_verify_names_a_table_that_changed(own_blend):
    path = own_blend / "ledger.parquet"
    frame = pl.read_parquet(path)
    frame.with_columns(pl.lit("x").alias("detail")).write_parquet(path)
    problems = [problem for verdict in verify_blend(own_blend) for problem in verdict.problems]
    assert problems == ["ledger.parquet has another checksum than manifest.json says"]


@pytest.mark.parametrize("path", ["s3://bucket/x", "https://host/x"])
def test_a_url_is_refused_before_anything_is_written(recipe, tmp_path, monkeypatch, path):
    from pathlib import Path

    monkeypatch.chdir(tmp_path)
    with pytest.raises(FolderError, match=f"{re.escape(path)} is a URL"):
        write_blend(recipe, Path(path))
    assert not list(tmp_path.iterdir())


def test_the_manifest_s_schema_knows_content_and_tables(written):
    data = msgspec.json.decode((written / "manifest.json").read_bytes())
    assert len(data["content"]) == 64
    assert [table["path"] for table in data["tables"]] == [
        "train/index.parquet",
        "eval/index.parquet",
        "ledger.parquet",
    ]
