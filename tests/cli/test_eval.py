"""``visualchat eval`` as a user types it."""

import json

import pytest

from tests import corpora
from tests.cli.in_process import run
from tests.serve.tiny_models import save_model


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_model(tmp_path_factory.mktemp("eval"))


@pytest.fixture(scope="module")
def talk(tmp_path_factory):
    root = tmp_path_factory.mktemp("talk")
    corpora.draw(root / "photo.jpg", 1)
    rounds = [["What is it?", "photo.jpg"], {"question": "Why?", "answer": "Because."}]
    (root / "talk.json").write_text(json.dumps({"first": rounds, "second": [["Hi."]]}))
    return root / "talk.json"


def test_a_model_is_asked_and_everything_is_written(model, talk, tmp_path):
    out, err = run("eval", model, "--data", talk, "--out", tmp_path / "out", "--max-new-tokens", "4", "--device", "cpu")
    assert "all answers" in out
    assert "table.html" in out
    assert "talk: 2 conversations, 3 questions" in err
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"results.csv", "results.jsonl", "summary.json", "table.html", "run.json"}
    again, _ = run(
        "eval", model, "--data", talk, "--out", tmp_path / "out", "--max-new-tokens", "4", "--device", "cpu", "--json"
    )
    assert json.loads(again) == json.loads((tmp_path / "out" / "summary.json").read_text())


def test_what_could_not_be_asked_is_told_and_fails(model, tmp_path):
    (tmp_path / "talk.json").write_text(json.dumps({"long": [["Well?" * 900]]}))
    out, err = run(
        "eval", model, "--data", tmp_path / "talk.json", "--out", tmp_path / "out", "--device", "cpu", code=1
    )
    assert "the model has room for 512" in err
    assert "not asked" in out


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ([], 2, "Missing"),
        (["MODEL", "--data", "TALK"], 2, "--out"),
        (["/nowhere/at/all", "--data", "TALK", "--out", "OUT"], 1, "there is no folder /nowhere/at/all"),
        (["MODEL", "--data", "/nowhere.json", "--out", "OUT"], 1, "/nowhere.json"),
        (["MODEL", "--data", "TALK", "--out", "OUT", "--teacher-forced"], 1, "a round without an answer"),
        (["MODEL", "--data", "TALK", "--out", "OUT", "--dtype", "float9"], 1, "no dtype 'float9'"),
    ],
)
def test_faults_are_told_in_a_sentence(model, talk, tmp_path, arguments, code, words):
    given = {"MODEL": model, "TALK": talk, "OUT": tmp_path / "out"}
    _, err = run("eval", *(given.get(one, one) for one in arguments), code=code)
    assert words in err
