"""``visualchat stream`` as a user types it."""

import json

import pytest
from transformers import CLIPImageProcessorPil, CLIPVisionConfig

from tests.cli.test_commands import blend, recipe, run  # noqa: F401
from tests.stream.tiny_tokenizers import tiny_tokenizer


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A tokenizer and the settings of a vision tower, as options."""
    root = tmp_path_factory.mktemp("models")
    tiny_tokenizer("gpt2").save_pretrained(root / "language")
    CLIPVisionConfig(image_size=32, patch_size=8).save_pretrained(root / "vision")
    size = {"height": 32, "width": 32}
    CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size=size).save_pretrained(root / "vision")
    return ["--tokenizer", root / "language", "--vision", root / "vision", "--workers", "0"]


@pytest.mark.slow
def test_what_the_loader_gives_is_told(blend, models):  # noqa: F811
    told = json.loads(run("stream", blend, *models, "--batches", "3", "--batch-size", "4", "--pack", "--json")[0])
    assert told["batches"] == 3
    assert told["samples"] > 12, "packed"
    assert told["shapes"]["pixels"][1:] == [3, 32, 32]
    assert told["samples_per_second"] > 0


@pytest.mark.slow
def test_another_template_than_the_one_written_is_rendered(blend, models):  # noqa: F811
    one = ("--batches", "1", "--batch-size", "2", "--max-tokens", "8000", "--show")
    as_written, _ = run("stream", blend, *models, *one)
    anew, _ = run("stream", blend, *models, *one, "--template", "plain")
    assert "### Answer:" in as_written
    assert "###" not in anew
    assert "[[" in anew, "what is trained is marked"


@pytest.mark.slow
def test_an_unknown_template_is_named(blend, models):  # noqa: F811
    _, said = run("stream", blend, *models, "--template", "poem", code=1)
    assert "there is no template poem" in said
    assert "deepspeed-visualchat" in said
