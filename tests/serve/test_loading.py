"""Opening the folder of a model."""

import json
import shutil
from io import BytesIO

import pytest
import torch
from PIL import Image

from blender.core.errors import ModelError
from blender.serve.loading import open_model
from blender.serve.sampling import Sampling
from blender.serve.session import Session
from tests.serve.tiny_models import save_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_model(tmp_path_factory.mktemp("full"))


def test_a_full_save_and_a_small_one_give_the_same_answers(folder, tmp_path):
    small = save_model(tmp_path, small=True)
    said = [
        Session(open_model(each, device="cpu")).ask("Why?", sampling=Sampling(max_new_tokens=12)).text
        for each in (folder, small)
    ]
    assert said[0] == said[1] != ""


def test_it_says_what_the_model_was_made_for(folder):
    loaded = open_model(folder, device="cpu")
    assert loaded.name == "model"
    assert loaded.max_tokens == 512
    assert loaded.template.name == "deepspeed-visualchat"
    assert loaded.encoder.text.image_positions == 16
    assert loaded.end_ids == [loaded.tokenizer.eos_token_id]
    assert not loaded.model.training


def test_weights_are_as_wide_as_asked(folder):
    assert next(open_model(folder, device="cpu", dtype="bfloat16").model.parameters()).dtype == torch.bfloat16
    assert next(open_model(folder, device="cpu").model.parameters()).dtype == torch.float32


def test_layers_can_be_laid_out_by_themselves(folder):
    plain, laid = open_model(folder, device="cpu"), open_model(folder, device_map="auto")
    said = [Session(each).ask("Why?", sampling=Sampling(max_new_tokens=8)).text for each in (plain, laid)]
    assert said[0] == said[1]


def test_habits_of_a_publisher_change_no_answer(folder, tmp_path):
    changed = tmp_path / "model"
    shutil.copytree(folder, changed)
    habits = {"do_sample": True, "temperature": 9.0, "repetition_penalty": 5.0, "min_new_tokens": 3}
    (changed / "generation_config.json").write_text(json.dumps(habits))
    said = [
        Session(open_model(each, device="cpu")).ask("Why?", sampling=Sampling(max_new_tokens=12)).text
        for each in (folder, changed)
    ]
    assert said[0] == said[1]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({}, "no model: it has no config.json"),
        ({"manifest.json": "{}"}, "a blend and no model"),
        ({"config.json": '{"model_type": "llama"}'}, "holds a llama model and no visualchat model"),
    ],
)
def test_a_folder_of_another_kind_is_refused(tmp_path, content, words):
    for name, text in content.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(ModelError, match=words):
        open_model(tmp_path)


def test_a_folder_without_weights_or_processor_is_refused(folder, tmp_path):
    for name, words in (("model.safetensors", "weights|safetensors|file named"), ("tokenizer.json", "talked to")):
        changed = tmp_path / name
        shutil.copytree(folder, changed)
        (changed / name).unlink()
        with pytest.raises(ModelError, match=words):
            open_model(changed, device="cpu")


@pytest.mark.parametrize(
    ("wishes", "words"),
    [
        ({"dtype": "float8"}, "no dtype 'float8'"),
        ({"device": "toaster"}, "no device 'toaster'"),
        ({"device": "cuda:99"}, "no device cuda:99"),
        ({"device": "cpu", "device_map": "auto"}, "exclude each other"),
        ({"quantize": "2bit"}, "cannot be quantised to '2bit'"),
    ],
)
def test_wishes_that_cannot_be_met_are_refused(folder, wishes, words):
    with pytest.raises(ModelError, match=words):
        open_model(folder, **wishes)


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(ModelError, match="there is no folder"):
        open_model(tmp_path / "nothing")


@pytest.mark.parametrize("small", [False, True])
@pytest.mark.parametrize(("quantize", "kind", "most"), [("8bit", "Linear8bitLt", 0.05), ("4bit", "Linear4bit", 0.4)])
def test_layers_of_the_language_model_alone_take_fewer_bits(tmp_path, quantize, kind, most, small):
    folder = save_model(tmp_path, small=small)
    wide, narrow = open_model(folder, device="cpu"), open_model(folder, device="cpu", quantize=quantize)
    changed = {name for name, part in narrow.model.named_modules() if type(part).__name__ == kind}
    assert changed
    assert all(".layers." in name and not name.startswith(("vision", "projector", "cross")) for name in changed)
    ids = torch.tensor([[5, 9, 17, 30, 2, 8]])
    with torch.inference_mode():
        right, near = (each.model(ids).logits.float() for each in (wide, narrow))
    assert 0 < float((near - right).norm() / right.norm()) < most
    assert Session(narrow).ask("Why?", sampling=Sampling(max_new_tokens=8)).num_new_tokens > 0


@pytest.mark.parametrize("wishes", [{"device_map": "auto"}, {"quantize": "8bit", "device": "cpu"}])
def test_small_parts_are_as_wide_as_a_language_model_that_was_saved_narrow(tmp_path, wishes):
    content = BytesIO()
    Image.new("RGB", (40, 40), "red").save(content, "PNG")
    folder = save_model(tmp_path, small=True, attention="cross", dtype=torch.bfloat16)
    loaded = open_model(folder, **wishes)
    answer = Session(loaded).ask("Why?", [content.getvalue()], sampling=Sampling(max_new_tokens=8))
    assert answer.num_new_tokens > 0
    assert next(loaded.model.cross.parameters()).dtype == torch.bfloat16


def test_fewer_bits_need_a_library(folder, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ModelError, match="need bitsandbytes, which is not installed"):
        open_model(folder, quantize="8bit")
