"""The commands as a user types them."""

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from blender.cli import main
from tests import corpora

HELP = Path(__file__).parent / "help"
COMMANDS = (
    "",
    "demo",
    "plan",
    "preview",
    "blend",
    "inspect",
    "lint",
    "diff",
    "card",
    "verify",
    "stream",
    "index",
    "train",
    "eval",
    "ablate",
    "chat",
    "serve",
)


def run(*arguments, code=0, **options):
    """Run the program; return what it printed to (stdout, stderr)."""
    command = [sys.executable, "cli.py", *map(str, arguments)]
    environment = {"PATH": "/usr/bin:/bin", "COLUMNS": "100", "TERM": "dumb", "HOME": str(Path.home())}
    done = subprocess.run(command, capture_output=True, text=True, env={**environment, **options}, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout, done.stderr


@pytest.fixture
def call(monkeypatch, capsys):
    """Run the program in this process, which takes no time to start; return what it printed to (stdout, stderr)."""

    def call_here(*arguments, code=0):
        monkeypatch.setattr(sys, "argv", ["cli.py", *map(str, arguments)])
        monkeypatch.setattr(sys.modules["__main__"], "__package__", "")  # so that help names cli.py, not pytest
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        assert (ended.value.code or 0) == code, captured
        return captured.out, captured.err

    return call_here


@pytest.fixture(scope="module")
def recipe(corpus):
    return corpora.write_recipe(corpus)


@pytest.fixture(scope="module")
def blend(recipe, tmp_path_factory):
    folder = tmp_path_factory.mktemp("commands") / "blend"
    run("blend", recipe, "--out", folder)
    return folder


@pytest.mark.parametrize("command", COMMANDS)
def test_help_is_as_it_was(call, monkeypatch, command):
    """When help changes on purpose: python -m tests.cli.test_commands."""
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("TERM", "dumb")
    assert call(*command.split(), "--help")[0] == (HELP / f"{command or 'visualchat'}.txt").read_text()


def test_help_comes_at_once_and_without_heavy_imports():
    heavy = ("torch", "polars", "pyarrow", "numpy", "PIL", "pydantic")
    listed = f"import sys, blender.cli; print(*(name for name in {heavy} if name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", listed], capture_output=True, text=True, check=True).stdout == "\n"
    begun = time.monotonic()
    run("--help")
    assert time.monotonic() - begun < 3, "half a second when the machine is idle"


def test_plan_prints_the_same_counts_as_blend_writes(recipe, blend):
    plan = json.loads(run("plan", recipe, "--json")[0])
    manifest = json.loads((blend / "manifest.json").read_text())
    planned = {
        (row["dataset"], row["split"]): (row["samples"], row["images"], row["turns"]) for row in plan["datasets"]
    }
    written = {
        (row["dataset"], row["split"]): (row["samples"], row["images"], row["turns"]) for row in manifest["counts"]
    }
    assert planned == written
    assert plan["num_bytes"] >= sum(shard["num_bytes"] for shard in manifest["shards"])
    assert plan["dropped"] == manifest["ledger"]["dropped"]


def test_plan_for_people(recipe):
    out, _ = run("plan", recipe)
    for words in ("images per sample", "turns per sample", "how often an image is shown", "to be written", "records"):
        assert words in out


def test_plan_without_images_needs_no_store(recipe, corpus):
    out, err = run("plan", recipe, "--no-images", "--set", "images.coco=/nowhere/at/all")
    assert "not known without images" in out
    assert "/nowhere/at/all" in err


@pytest.fixture
def lossy_recipe(own_corpus):
    """Return a recipe one of whose sources lost most of its pictures."""
    for number in range(3, 40, 3):
        (own_corpus / "coco" / corpora.coco_name(number)).unlink()
    return corpora.write_recipe(own_corpus)


def test_plan_shows_its_whole_report_and_fails_where_too_much_is_lost(call, lossy_recipe):
    out, err = call("plan", lossy_recipe, code=1)
    assert "to be written" in out
    assert re.search(r"llava_dial +image_missing +fault +13 +92.9% +conversation.json/000000000003: ", out)
    assert "\nerror: recipe small: it would lose too much\n  source llava loses" in err
    assert "limits.dropped=100%" in err
    report = json.loads(call("plan", lossy_recipe, "--json", code=1)[0])
    assert report["refusal"] in err
    assert report["losses"][0]["reason"] == "image_missing"


def test_where_the_images_are_instead_is_told_once(call, recipe, corpus):
    _, err = call("plan", recipe, "--set", f"images.coco={corpus}", code=1)
    assert err.count(f"--set images.coco={corpus / 'coco'}") == 1


def test_blend_prints_the_table_of_reasons_and_the_sentence_of_plan(call, lossy_recipe, tmp_path):
    out, err = call("blend", lossy_recipe, "--out", tmp_path / "out", code=1)
    assert re.search(r"llava_dial +image_missing +fault +13 +92.9% +conversation.json/000000000003: ", out)
    sentence = json.loads(call("plan", lossy_recipe, "--json", code=1)[0])["refusal"]
    assert f"error: {sentence}" in err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("command", [("preview",), ("preview", "--look"), ("lint",)])
def test_nothing_is_shown_of_a_blend_that_would_be_refused(call, lossy_recipe, command):
    _, err = call(command[0], lossy_recipe, *command[1:], code=1)
    assert "it would lose too much" in err


def test_blend_prints_plain_lines_where_there_is_no_terminal(recipe, tmp_path):
    out, err = run("blend", recipe, "--out", tmp_path / "blend", "--workers", "2")
    assert "llava_otter_blend" in out
    assert re.search(r"planned [\d,]+ samples", err)
    assert "\x1b[" not in out + err


def test_blend_json_is_the_manifest_and_nothing_else(recipe, blend):
    out, err = run("blend", recipe, "--out", blend, "--json")
    assert json.loads(out) == json.loads((blend / "manifest.json").read_text())
    assert err == ""


def test_inspect_shows_the_table_and_the_ledger(blend):
    out, _ = run("inspect", blend)
    assert "llava_otter_blend" in out
    assert re.search(r"records +[\d,]+ read", out)


def test_inspect_shows_a_sample_with_its_trained_spans(blend):
    out, _ = run("inspect", blend, "--sample", "0", "--dataset", "sparkles")
    assert "### Image 1: <image>" in out
    assert "[[Image 1 is fine.]]" in out
    assert "sparkles/sparkles.json/" in out
    key = json.loads(run("inspect", blend, "--sample", "0", "--dataset", "sparkles", "--json")[0])["sample"]["key"]
    assert run("inspect", blend, "--sample", key)[0] == out


def test_inspect_draws_pictures_where_there_is_colour(blend):
    out, _ = run("inspect", blend, "--sample", "0", FORCE_COLOR="1", TERM="xterm-256color", COLORTERM="truecolor")
    assert "▀" in out
    assert "\x1b[" in out


def test_verify_finds_a_changed_byte(recipe, tmp_path):
    run("blend", recipe, "--out", tmp_path / "blend")
    assert "all well" in run("verify", tmp_path / "blend")[0]
    shard = tmp_path / "blend" / "train" / "train-000000.tar"
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    out, _ = run("verify", tmp_path / "blend", code=1)
    assert "train/train-000000.tar has another checksum" in out
    report = json.loads(run("verify", tmp_path / "blend", "--json", code=1)[0])
    assert not report["ok"]
    shard.unlink()
    assert "train/train-000000.tar is missing" in run("verify", tmp_path / "blend", code=1)[0]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("plan",), 2, "Missing argument"),
        (("blend", "demo"), 2, "--out"),
        (("plan", "demoo"), 1, "did you mean 'demo'"),
        (("plan", "demo", "--set", "limits.imges=3"), 1, "imges"),
        (("plan", "demo", "--set", "data=/nowhere"), 1, "--set data=PATH"),
        (("inspect", "/nowhere"), 1, "not a finished blend"),
        (("verify", "/nowhere"), 1, "not a finished blend"),
        (("demo", "--images", "3"), 2, "--images"),
    ],
)
def test_faults_are_told_in_a_sentence(arguments, code, words):
    _, err = run(*arguments, code=code)
    assert words in err


@pytest.mark.parametrize("given", [["--out", ""], ["-o", " "], ["--out="]])
@pytest.mark.parametrize("command", ["blend", "card", "demo", "train", "ablate", "eval"])
def test_an_empty_output_is_not_the_current_folder(call, command, given):
    assert "it is empty; name a file or folder" in call(command, *given, code=2)[1]


@pytest.mark.parametrize("command", ["inspect", "preview"])
def test_an_empty_page_is_refused(call, command):
    assert "'--html': it is empty" in call(command, "demo", "--html", "", code=2)[1]


@pytest.mark.slow
def test_demo_draws_blends_and_shows_a_sample(tmp_path):
    out, _ = run("demo", "--out", tmp_path / "demo", "--images", "40", "--steps", "0")
    assert "llava_otter_blend" in out
    assert "### Question:" in out
    assert "all well" in run("verify", tmp_path / "demo" / "blend")[0]
    again, _ = run("demo", "--out", tmp_path / "demo", "--images", "40", "--steps", "0")
    assert "complete already" in again


@pytest.mark.slow
def test_demo_goes_on_to_train_a_model_and_to_ask_it(tmp_path):
    out, err = run("demo", "--out", tmp_path / "demo", "--images", "30", "--steps", "20", OMP_NUM_THREADS="1")
    losses = [float(loss) for loss in re.findall(r"eval loss ([\d.]+)", err)]
    assert losses[-1] < losses[0] - 1
    for said in ("it says", "to be seen", "right answers by kind", "visualchat chat", "visualchat serve"):
        assert said in out
    assert "WARNING" not in err


if __name__ == "__main__":
    HELP.mkdir(exist_ok=True)
    for name in COMMANDS:
        (HELP / f"{name or 'visualchat'}.txt").write_text(run(*name.split(), "--help")[0])
