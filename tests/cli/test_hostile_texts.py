"""Texts, names and ids that would drive a terminal, through every command that prints them."""

import json

import pytest
import yaml
from PIL import Image

from tests.cli.in_process import run
from tests.serve.tiny_models import save_model

EVIL = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202edlrow\u2066[bold]x[/] :smile:"
SHOWN = "\\x1b]0;owned\\x07\\x1b[2J\\x9b31m\\u202edlrow\\u2066[bold]x[/] :smile:"
NAME = "a\x1b[31m\u202eb.jpg"


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hostile")
    (folder / "images").mkdir()
    Image.new("RGB", (64, 64), "red").save(folder / "images" / NAME, "JPEG")

    def record(number, image):
        asked = {"from": "human", "value": f"<image>\nWhat is {EVIL}?"}
        return {"id": f"id{number}{EVIL}", "image": image, "conversations": [asked, {"from": "gpt", "value": EVIL}]}

    records = [*(record(number, NAME) for number in range(4)), record(4, f"missing{NAME}")]
    (folder / "a.json").write_text(json.dumps(records))
    written = {
        "name": "hostile",
        "seed": 1,
        "images": {"store": str(folder / "images")},
        "sources": {"s": {"format": "llava", "files": [str(folder / "a.json")], "images": "store"}},
        "blend": [{"name": "d", "from": "s"}],
        "limits": {"dropped": "100%"},
    }
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(written))
    return path


@pytest.fixture(scope="module")
def blend(recipe):
    folder = recipe.parent / "blend"
    harmless(*run("blend", recipe, "--out", folder))
    return folder


def harmless(*printed):
    """Return what was printed, once it is seen to hold nothing that a terminal obeys."""
    for text in printed:
        assert not {c for c in text if (c < " " and c not in "\n\t") or "\x7f" <= c <= "\x9f" or c in "\u202e\u2066"}
    return "".join(printed)


def test_plans_and_previews_show_it(recipe):
    assert "a\\x1b[31m\\u202eb.jpg" in harmless(*run("plan", recipe))
    shown = harmless(*run("preview", recipe, "-n", 1)).replace("\n", "")
    assert SHOWN in shown


def test_samples_records_and_findings_show_it(blend):
    assert SHOWN in harmless(*run("inspect", blend, "--sample", 0)).replace("\n", "")
    harmless(*run("inspect", blend, "--ledger"))
    assert "dlrow" in harmless(*run("inspect", blend, "--grep", "dlrow"))
    harmless(*run("lint", blend, code=0))
    harmless(*run("verify", blend))


def test_differences_show_it(recipe, blend, tmp_path):
    run("blend", recipe, "--out", tmp_path / "other", "--set", "template=plain")
    printed = harmless(*run("diff", blend, tmp_path / "other", "--show", 2, code=1)).replace("\n", "")
    assert SHOWN in printed


def test_an_evaluation_shows_it(recipe, tmp_path):
    model = save_model(tmp_path / "model")
    questions = {f"talk{EVIL}": [[f"What is {EVIL}?", NAME], ["Well?" * 900]]}
    (tmp_path / "talk.json").write_text(json.dumps(questions))
    images = recipe.parent / "images"
    arguments = ("--data", tmp_path / "talk.json", "--images", images, "--out", tmp_path / "out", "--device", "cpu")
    assert f"talk{SHOWN}" in harmless(*run("eval", model, *arguments, code=1)).replace("\n", "")
    page = harmless((tmp_path / "out" / "table.html").read_text())
    assert f"What is {SHOWN}?" in page


def texts(value):
    """Yield all texts inside a value of JSON."""
    if isinstance(value, str):
        yield value
    for one in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from texts(one)


def test_json_holds_the_texts_as_they_are_in_escapes(blend):
    printed, _ = run("inspect", blend, "--sample", 0, "--json")
    harmless(printed)
    assert any(EVIL in text for text in texts(json.loads(printed)))


def test_a_report_shows_it(blend, tmp_path):
    run("inspect", blend, "--html", tmp_path / "r.html", XDG_CACHE_HOME=str(tmp_path))
    written = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "\u202e" not in written
    assert "\\\\u202edlrow" in written


def test_what_was_typed_is_shown(tmp_path):
    for code, arguments in ((1, ("inspect", f"{tmp_path}/{NAME}")), (2, ("inspect", tmp_path, f"--x{NAME}"))):
        assert "\\x1b[31m" in harmless(*run(*arguments, code=code)).replace("\n", "")
