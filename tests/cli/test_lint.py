"""``visualchat lint``, ``diff`` and ``card``, and what ``inspect`` looks up."""

import json
import shutil
import sys

import pytest

from blender.cli import main
from tests import corpora
from tests.cli.in_process import run


@pytest.fixture(scope="module")
def faulty(tmp_path_factory):
    """A corpus with a fault of each severity."""
    root = corpora.write_corpus(tmp_path_factory.mktemp("faulty"))
    records = [corpora.llava(number) for number in range(20)]
    for number, answer in ((3, "Yes"), (5, "In a cafÃ© with people."), (7, "Image 12 shows a dog, and this does not.")):
        records[number]["conversations"][1]["value"] = answer
    (root / "detail.json").write_text(json.dumps(records))
    (root / "coco" / corpora.coco_name(39)).unlink()
    return root


@pytest.fixture(scope="module")
def recipe(faulty):
    return corpora.write_recipe(faulty, lambda recipe: recipe.update(limits={"dropped": "10%"}))


@pytest.fixture(scope="module")
def blend(recipe, tmp_path_factory):
    folder = tmp_path_factory.mktemp("commands") / "blend"
    run("blend", recipe, "--out", folder)
    return folder


@pytest.fixture
def call(monkeypatch, capsys):
    """Run the program in this process, which takes no time to start; return what it printed to (stdout, stderr)."""

    def call_here(*arguments, code=0):
        monkeypatch.setattr(sys, "argv", ["visualchat", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        assert (ended.value.code or 0) == code, captured
        return captured.out, captured.err

    return call_here


def test_findings_are_told_the_worst_first(call, blend):
    out, err = call("lint", blend)
    assert out.index("error") < out.index("warning  ") < out.index("notice")
    assert "which was é, in the answer “In a cafÃ© with people.”" in out
    assert "‘Image 12’, and 1 image is shown by then" in out
    assert "error, 1 warning" in out.splitlines()[-1]
    assert err == ""


def test_a_recipe_gives_the_same_findings_as_its_blend(call, recipe, blend):
    reports = [json.loads(call("lint", what, "--json")[0]) for what in (recipe, blend)]
    assert reports[0] == reports[1]


def test_strict_fails_on_warnings_but_not_on_notices(call, blend):
    call("lint", blend, "--strict", code=1)
    told = json.loads(call("lint", blend, "--json")[0])["findings"]
    serious = [finding["check"] for finding in told if finding["severity"] != "notice"]
    notices = [finding for finding in told if finding["severity"] == "notice"]
    assert serious
    assert notices
    suppressed = [option for check in serious for option in ("--suppress", check)]
    out, _ = call("lint", blend, "--strict", *suppressed, "--suppress", "image_small:llava")
    assert "mojibake: " in out
    assert "image_small in llava is suppressed, and found nothing" in out


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--suppress", "mojibak"), 2, "unknown check 'mojibak'; did you mean 'mojibake'"),
        (("--set", "seed=1"), 2, "--set changes a recipe"),
        (("--vision", "x"), 2, "--vision needs --tokenizer"),
        (("--tokenizer", "x"), 2, "--vision or --image-tokens"),
        (("--tokenizer", "/nowhere", "--image-tokens", "4"), 1, "no such folder: /nowhere (the tokenizer)"),
    ],
)
def test_faults_of_usage_are_told(call, blend, arguments, code, words):
    _, err = call("lint", blend, *arguments, code=code)
    assert words in " ".join(err.replace("│", " ").split())


def test_what_is_neither_recipe_nor_blend_is_told(call, tmp_path):
    assert "not a finished blend" in call("lint", tmp_path, code=1)[1]
    assert "no shipped blend recipe" in call("lint", "nothing", code=1)[1]


def test_diff_says_same_and_different_with_its_exit_code(call, recipe, blend, tmp_path):
    assert "0 altered, 0 added, 0 gone" in call("diff", blend, blend)[0]
    call("blend", recipe, "--out", tmp_path / "other", "--set", "template=plain", "--set", "blend.cgd.repeat=2")
    out, _ = call("diff", blend, tmp_path / "other", "--show", "1", code=1)
    assert "blend.cgd.repeat" in out
    assert "→" in out
    told = json.loads(call("diff", blend, tmp_path / "other", "--json", code=1)[0])
    assert told["altered"] == told["aspects"]["template"] > 0
    assert [change["path"] for change in told["recipe"]] == ["template", "blend.cgd.repeat"]


def test_a_card_is_written_anew_unless_somebody_wrote_on_it(call, blend, tmp_path):
    folder = tmp_path / "blend"
    shutil.copytree(blend, folder)
    told = json.loads(call("card", folder, "--sample", "2", "--json")[0])
    text = (folder / "README.md").read_text()
    assert f"`{told['example']}`" in text
    (folder / "README.md").write_text(text + "\nMy own words.\n")
    assert "holds more than visualchat wrote" in call("card", folder, code=1)[1]
    call("card", folder, "--out", tmp_path / "card.md")
    call("card", folder, "--overwrite")
    assert (folder / "README.md").read_text() == (tmp_path / "card.md").read_text()
    assert "all well" in call("verify", folder)[0]


def test_statistics_are_shown(call, blend, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    out, _ = call("inspect", blend, "--stats")
    for title in ("images of a sample", "how often an image is shown", "commonest sizes", "where records are used"):
        assert title in out
    told = json.loads(call("inspect", blend, "--stats", "--json")[0])
    manifest = json.loads((blend / "manifest.json").read_text())
    assert sum(row["samples"] for row in told["datasets"]) == sum(row["samples"] for row in manifest["counts"])


def test_the_ledger_is_shown_and_asked(call, blend):
    assert "in samples" in call("inspect", blend, "--ledger")[0]
    told = json.loads(call("inspect", blend, "--ledger", "--json")[0])
    reason = next(row["reason"] for row in told if row["reason"])
    out, _ = call("inspect", blend, "--ledger", reason, "-n", "1")
    assert out.startswith(f"{reason}: ")
    assert "no record was dropped" in call("inspect", blend, "--ledger", "nothing", code=1)[1]


def test_texts_are_found(call, blend, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    out, _ = call("inspect", blend, "--grep", "cafÃ© people")
    assert "answer of turn" in out
    told = json.loads(call("inspect", blend, "--grep", "cafÃ©", "--json")[0])
    assert f"{len(told):,} of" in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--stats", "--ledger"), "--stats and --ledger cannot be given together"),
        (("image_missing",), "needs --ledger"),
        (("--stats", "-n", "3"), "--n needs --html, --grep or --ledger"),
        (("--ledger", "--dataset", "llava"), "--ledger and --dataset cannot be given together"),
        (("--grep", "x", "--sample", "1"), "cannot be given together"),
    ],
)
def test_options_that_mean_nothing_together_are_refused(call, blend, arguments, words):
    assert words in " ".join(call("inspect", blend, *arguments, code=2)[1].replace("│", " ").split())
