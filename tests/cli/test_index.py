"""`visualchat index` as a user types it."""

import json
import shutil

import pytest

from tests import corpora
from tests.cli.test_commands import run


@pytest.fixture(scope="module")
def plain(corpus, tmp_path_factory):
    folder = tmp_path_factory.mktemp("index") / "blend"
    run("blend", corpora.write_recipe(corpus), "--out", folder)
    return folder


@pytest.fixture
def folder(plain, tmp_path):
    return shutil.copytree(plain, tmp_path / "blend")


def test_it_says_what_it_left_and_how_to_go_on(folder):
    before = corpora.contents(folder)
    out, err = run("index", folder, "--for", "energon", "--for", "wids")
    left = corpora.contents(folder)
    assert {path: left[path] for path in before} == before
    shards = [path for path in before if path.endswith(".tar")]
    assert f"an .idx beside each of {len(shards)} shards" in out
    assert f"energon preview {folder}" in out.replace("\n", " ")
    assert "train/wids.json, eval/wids.json" in out
    assert err == ""
    assert "all well" in run("verify", folder)[0]


def test_json_lists_the_files_by_loader(folder):
    before = corpora.contents(folder)
    out, _ = run("index", folder, "--for", "energon", "--for", "wids", "--json")
    told = json.loads(out)
    assert set(told) == {"energon", "wids"}
    assert sorted(told["energon"] + told["wids"]) == sorted(set(corpora.contents(folder)) - set(before))


def test_a_loader_gets_only_what_it_needs(folder):
    run("index", folder, "--for", "wids")
    assert not (folder / ".nv-meta").exists()
    assert not list(folder.rglob("*.idx"))


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("index", "."), 2, "Missing option '--for'"),
        (("index", ".", "--for", "somebody"), 2, "'energon', 'wids'"),
        (("index", "/nowhere", "--for", "wids"), 1, "not a finished blend"),
    ],
)
def test_faults_are_told_in_a_sentence(arguments, code, words):
    assert words in run(*arguments, code=code)[1]
