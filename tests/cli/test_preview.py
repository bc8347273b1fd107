"""``visualchat preview`` as a user types it."""

import json

import pytest
from transformers import CLIPImageProcessorPil, CLIPVisionConfig

from tests import corpora
from tests.cli.in_process import run
from tests.stream.chat_templates import chatting
from tests.stream.tiny_tokenizers import tiny_tokenizer


@pytest.fixture(scope="module")
def recipe(corpus):
    return corpora.write_recipe(corpus)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Folders of a tokenizer, and of a vision tower with 16 patches."""
    root = tmp_path_factory.mktemp("models")
    tiny_tokenizer("llama3").save_pretrained(root / "language")
    CLIPVisionConfig(image_size=32, patch_size=8).save_pretrained(root / "vision")
    sizes = {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}
    CLIPImageProcessorPil(**sizes).save_pretrained(root / "vision")
    return ("--tokenizer", root / "language", "--vision", root / "vision")


@pytest.fixture(scope="module")
def chat_model(tmp_path_factory):
    """Folder of a tokenizer with a chat template."""
    folder = tmp_path_factory.mktemp("chat")
    chatting("smollm").save_pretrained(folder)
    return folder


def test_it_shows_a_sample_and_writes_nothing(recipe):
    before = corpora.contents(recipe.parent)
    out, _ = run("preview", recipe, "--dataset", "sparkles", "--sample", "0")
    assert "will be in train/train-" in out
    assert "### Image 1: <image>" in out
    assert "[[Image 1 is fine.]]" in out
    assert corpora.contents(recipe.parent) == before


def test_json_is_the_samples_and_nothing_else(recipe):
    out, err = run("preview", recipe, "-n", "3", "--json")
    shown = json.loads(out)
    assert len({one["sample"]["key"] for one in shown}) == 3
    assert all(one["shard"].startswith(one["split"]) for one in shown)
    assert err == ""


def test_it_writes_a_page(recipe, tmp_path):
    out, _ = run("preview", recipe, "--html", tmp_path / "page.html", "-n", "5")
    assert "5 of" in out
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert text.count('"key":') == 5


def test_exact_tokens_are_counted_and_what_is_cut_off_is_told(recipe, models):
    options = (recipe, "--dataset", "sparkles", "--sample", "0", *models)
    (shown,) = json.loads(run("preview", *options, "--json")[0])
    assert shown["tokens"]["image_positions"] == 3 * 16
    limit = shown["tokens"]["positions"] - 1
    out, _ = run("preview", *options, "--max-tokens", limit)
    assert f"{limit + 1} positions: 48 of images" in out
    assert "<image 3 x 16>" in out
    assert f"<|end_of_text|>]]\n--- {limit} tokens allowed: the rest is cut off ---" in out
    assert f"cut off at {limit}" in out


def test_tokens_of_a_chat_template_and_positions_without_a_tower(recipe, chat_model):
    options = (recipe, "--dataset", "sparkles", "--sample", "0", "--tokenizer", chat_model, "--image-tokens", "5")
    (shown,) = json.loads(run("preview", *options, "--template", "chat", "--json")[0])
    assert shown["tokens"]["image_positions"] == 3 * 5
    text = "".join(text for text, *_ in shown["tokens"]["pieces"])
    assert text.count("<|im_start|>assistant") == len(shown["sample"]["turns"])
    _, err = run("preview", *options, "--template", "chatty", code=1)
    assert "there is no template chatty" in err


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--tokenizer", "x"), 2, "--tokenizer needs --vision or --image-tokens"),
        (("--template", "chat"), 2, "--template needs --tokenizer"),
        (("--dataset", "cats"), 1, "there is no dataset cats"),
        (("--sample", "train-7"), 1, "keys look like train-0"),
        (("--sample", "99999"), 1, "numbers go from 0 to"),
        (("--html", "/nowhere/at/all.html"), 1, "cannot write"),
        (("--tokenizer", "/nowhere", "--vision", "/nowhere"), 1, "no such folder: /nowhere (the tokenizer)"),
        (("--set", "images.coco=/nowhere", "--look"), 1, "/nowhere"),
    ],
)
def test_faults_are_told_in_a_sentence(recipe, arguments, code, words):
    _, err = run("preview", recipe, *arguments, code=code)
    assert words in " ".join(err.replace("│", " ").split())
