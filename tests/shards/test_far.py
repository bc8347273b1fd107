"""A blend behind a URL is looked at like one on this machine, and no byte of it is fetched twice."""

import json
import os
import subprocess
import sys
from collections import Counter

import fsspec
import pytest

from blender import load_recipe, open_blend, verify_blend, write_blend
from blender.core.errors import FolderError, ShardError
from tests import corpora
from tests.servers import address, bucket, serving, upload


@pytest.fixture(scope="module")
def s3():
    with bucket("blends") as client:
        yield client


@pytest.fixture
def server(written):
    with serving(written) as server:
        yield server


def run(*arguments, **environment):
    command = [sys.executable, "cli.py", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment}, check=False)
    return done.returncode, done.stdout, done.stderr


def problems(verdicts):
    return [problem for verdict in verdicts for problem in verdict.problems]


def test_every_sample_is_the_same(written, s3):
    near, far = open_blend(written), open_blend(upload(s3, "same", written))
    assert far.manifest == near.manifest
    assert [stored.images for stored in far] == [stored.images for stored in near]
    assert [stored.sample for stored in far] == [stored.sample for stored in near]
    assert far.ledger.equals(near.ledger)
    images = [[image.read() for row in range(len(each)) for image in each.image_ranges(row)] for each in (near, far)]
    assert images[0] == images[1]


def test_verify_finds_all_well_and_fetches_each_byte_once(written, server):
    assert not problems(verify_blend(address(server)))
    spans = Counter((name, span) for name, span in server.asked if name.endswith(".tar") and span != "bytes=0-0")
    assert len(spans) == len(list(written.rglob("*.tar")))
    assert set(spans.values()) == {1}


@pytest.mark.parametrize("damage", ["cut", "flipped", "gone"])
def test_verify_names_what_is_wrong_there(own_blend, damage):
    shard = sorted(own_blend.glob("train/*.tar"))[1]
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    if damage == "gone":
        shard.unlink()
    else:
        shard.write_bytes(bytes(content[:-1024]) if damage == "cut" else bytes(content))
    with serving(own_blend) as server:
        found = problems(verify_blend(address(server)))
    assert found
    assert all(shard.name in problem for problem in found)


def test_a_table_that_was_changed_there_is_not_believed(own_blend, s3):
    index = own_blend / "train" / "index.parquet"
    index.write_bytes(index.read_bytes()[:-8] + bytes(8))
    with pytest.raises(ShardError, match=r"train/index\.parquet has another checksum"):
        open_blend(upload(s3, "changed", own_blend))


def test_a_place_without_a_blend_is_named(s3, tmp_path):
    (tmp_path / "x").write_bytes(b"x")
    for location in (upload(s3, "none", tmp_path), "s3://nowhere/at/all"):
        with pytest.raises(ShardError, match="is not a finished blend|cannot be read"):
            open_blend(location)


def test_a_blend_written_to_a_url_is_the_one_written_here(corpus, written, s3, tmp_path):
    recipe = load_recipe(corpora.write_recipe(corpus))
    url, staging = "s3://blends/out/one", tmp_path / "staging"
    first = write_blend(recipe, url, staging=staging, workers=1)
    assert first.num_new_shards == len(first.manifest.shards)
    assert not staging.exists()
    system = fsspec.filesystem("s3", **fsspec.config.conf["s3"])
    there = {path.removeprefix("blends/out/one/"): system.cat_file(path) for path in system.find("blends/out/one")}
    assert there == corpora.contents(written)
    assert write_blend(recipe, url, staging=staging, workers=1).num_new_shards == 0
    assert not staging.exists()
    other = load_recipe(corpora.write_recipe(corpus), ["seed=8"])
    with pytest.raises(FolderError, match="s3://blends/out/one holds a blend of another recipe"):
        write_blend(other, url, staging=staging, workers=1)
    assert system.cat_file("blends/out/one/manifest.json") == there["manifest.json"]
    write_blend(other, url, staging=staging, workers=1, overwrite=True)
    assert not problems(verify_blend(url))


@pytest.mark.slow
def test_the_commands_take_urls(written, server, s3, corpus, tmp_path):
    url = address(server)
    code, stdout, _ = run("verify", url, "--json")
    assert (code, json.loads(stdout)["ok"]) == (0, True)
    assert run("inspect", url, "--sample", "0", "--json")[1] == run("inspect", written, "--sample", "0", "--json")[1]
    assert run("inspect", url, "--ledger", "--json")[1] == run("inspect", written, "--ledger", "--json")[1]
    assert run("diff", url, written)[0] == 0
    checks = [json.loads(run("lint", where, "--json")[1])["findings"] for where in (url, written)]
    assert checks[0] == checks[1]
    code, _, stderr = run("card", url)
    assert code == 1
    assert "nothing can be written" in stderr
    options = fsspec.config.conf["s3"]
    environment = {f"FSSPEC_S3_{key.upper()}": value for key, value in options.items()}
    recipe = corpora.write_recipe(corpus)
    code, stdout, stderr = run("blend", recipe, "--out", "s3://blends/by-command", **environment)
    assert code == 0, stderr
    assert "s3://blends/by-command" in stdout
    assert run("verify", "s3://blends/by-command", **environment)[0] == 0
    code, stdout, stderr = run("card", "s3://blends/by-command", **environment)
    assert code == 0, stderr
    assert run("blend", recipe, "--out", tmp_path / "x", "--staging", tmp_path / "y")[0] == 2


def test_a_named_staging_folder_keeps_the_blend_that_is_in_it(corpus, own_blend, s3):
    recipe, before = corpora.write_recipe(corpus), corpora.contents(own_blend)
    written = write_blend(load_recipe(recipe), "s3://blends/staged", staging=own_blend, workers=1)
    assert (written.num_new_shards, written.is_uploaded) == (0, True)
    assert corpora.contents(own_blend) == before
    with pytest.raises(FolderError, match="holds a blend of another recipe"):
        write_blend(load_recipe(recipe, ["seed=8"]), "s3://blends/staged-too", staging=own_blend, workers=1)
    assert corpora.contents(own_blend) == before


def test_a_file_url_is_a_local_folder(corpus, written, tmp_path):
    write_blend(load_recipe(corpora.write_recipe(corpus)), f"file://{tmp_path}/a b", workers=1)
    assert corpora.contents(tmp_path / "a b") == corpora.contents(written)
    for command in ("lint", "verify", "inspect", "card"):
        code, _, stderr = run(command, f"file://{tmp_path}/a b", "--json")
        assert code == 0, stderr


def test_tables_that_cannot_be_kept_are_one_sentence(server, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("VISUALCHAT_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(ShardError, match=r"the tables of http.* cannot be copied to .*file/cache"):
        open_blend(address(server))
