"""Folders of models open to what was saved, or not at all."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForImageTextToText, CLIPImageProcessor

from blender.core.errors import ModelError
from blender.model import VisualChatModel, merge_adapters, set_trainable
from tests.model.parts import batch, joined, language_model, trained_batch, vision_tower


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Folders of a language model and a vision tower."""
    root = tmp_path_factory.mktemp("parts")
    language_model().save_pretrained(root / "language")
    vision_tower().save_pretrained(root / "vision")
    settings = {"size": {"shortest_edge": 16}, "crop_size": {"height": 16, "width": 16}}
    CLIPImageProcessor(**settings).save_pretrained(root / "vision")
    return root


def trained_model(folders, attention="mmca", **how):
    model = VisualChatModel.from_parts(folders / "language", folders / "vision", attention=attention, cross_every=2)
    set_trainable(model, **how)
    optimizer = torch.optim.AdamW([w for w in model.parameters() if w.requires_grad], lr=0.05)
    model(**trained_batch("tItaa")).loss.backward()
    optimizer.step()
    return model.eval()


def same(one, other):
    states = one.state_dict(), other.state_dict()
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    inputs = batch("tItI")
    return torch.equal(one(**inputs).logits, other.eval()(**inputs).logits)


@pytest.mark.parametrize("attention", ["mmca", "causal", "cross"])
@pytest.mark.parametrize("kind", ["full", "small"])
def test_a_saved_model_opens_as_it_was(folders, tmp_path, attention, kind):
    model = trained_model(folders, attention)
    model.save_pretrained(tmp_path) if kind == "full" else model.save_trained(tmp_path)
    for opener in (VisualChatModel, AutoModelForImageTextToText):
        assert same(model, opener.from_pretrained(tmp_path))
    assert AutoConfig.from_pretrained(tmp_path).attention == attention


@pytest.mark.parametrize("how", [{"language": "lora", "lora": {"r": 2}}, {"language": "full"}, {"vision": "full"}])
@pytest.mark.parametrize("kind", ["full", "small"])
def test_adapters_and_parts_trained_in_full_are_saved_too(folders, tmp_path, how, kind):
    model = trained_model(folders, **how)
    model.save_pretrained(tmp_path) if kind == "full" else model.save_trained(tmp_path)
    assert same(model, VisualChatModel.from_pretrained(tmp_path))


def test_a_small_save_holds_trained_weights_only(folders, tmp_path):
    trained_model(folders).save_trained(tmp_path)
    names = set(load_file(tmp_path / "trained.safetensors"))
    assert names == {
        "language.model.embed_tokens.weight",
        *(f"projector.{name}" for name in ("linear.weight", "linear.bias", "norm.weight", "norm.bias")),
    }


def test_what_was_trained_once_is_saved_after_it_is_frozen_again(folders, tmp_path):
    model = trained_model(folders)
    set_trainable(model, embedding=False)
    model.save_trained(tmp_path)
    opened = VisualChatModel.from_pretrained(tmp_path)
    assert same(model, opened)
    opened.save_trained(tmp_path / "again")
    assert same(model, VisualChatModel.from_pretrained(tmp_path / "again"))


def test_merged_adapters_leave_a_plain_model_with_the_same_answers(folders, tmp_path):
    model = trained_model(folders, language="lora", vision="lora")
    inputs = batch("tItt")
    wanted = model(**inputs).logits
    merge_adapters(model)
    assert not any("lora" in name for name in model.state_dict())
    torch.testing.assert_close(model(**inputs).logits, wanted, rtol=1e-4, atol=1e-5)
    model.save_trained(tmp_path)
    assert same(model, VisualChatModel.from_pretrained(tmp_path))


@pytest.mark.parametrize("kind", ["full", "small"])
@pytest.mark.parametrize("fault", ["missing", "unexpected", "mismatched"])
def test_weights_that_are_missing_or_not_expected_are_an_error(folders, tmp_path, kind, fault):
    model = trained_model(folders)
    model.save_pretrained(tmp_path) if kind == "full" else model.save_trained(tmp_path)
    path = tmp_path / ("model.safetensors" if kind == "full" else "trained.safetensors")
    weights = load_file(path)
    if fault == "missing":
        del weights["projector.linear.weight"]
    elif fault == "unexpected":
        weights["projector.linear.extra"] = torch.zeros(1)
    else:
        weights["projector.linear.weight"] = torch.zeros(3, 3)
    save_file(weights, path, metadata={"format": "pt"})
    with pytest.raises((ModelError, RuntimeError), match=f"{fault} weights, such as projector|mismatch"):
        VisualChatModel.from_pretrained(tmp_path)


def test_a_folder_of_another_model_is_refused(folders, tmp_path):
    with pytest.raises(ModelError, match="holds a llama model and no visualchat model"):
        VisualChatModel.from_pretrained(folders / "language")
    with pytest.raises(ModelError, match="is no folder of a model"):
        VisualChatModel.from_pretrained(tmp_path / "nothing")


def test_a_small_save_of_parts_without_a_name_is_refused(tmp_path):
    with pytest.raises(ModelError, match="was not loaded by a name"):
        joined().save_trained(tmp_path)


def test_parts_that_moved_are_named_when_opening(folders, tmp_path):
    model = trained_model(folders)
    model.save_trained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config["parts"]["language"] = "/nowhere/at/all"
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match="no such folder: /nowhere/at/all .the language model"):
        VisualChatModel.from_pretrained(tmp_path)
    assert same(model, VisualChatModel.from_pretrained(tmp_path, language=folders / "language"))


def test_parts_are_taken_as_they_were_stored(folders):
    model = VisualChatModel.from_parts(folders / "language", folders / "vision")
    for part, whole in ((model.language, language_model()), (model.vision, vision_tower())):
        assert all(torch.equal(tensor, part.state_dict()[name]) for name, tensor in whole.state_dict().items())
    again = VisualChatModel.from_parts(folders / "language", folders / "vision", seed=0)
    other = VisualChatModel.from_parts(folders / "language", folders / "vision", seed=1)
    assert torch.equal(model.projector.linear.weight, again.projector.linear.weight)
    assert not torch.equal(model.projector.linear.weight, other.projector.linear.weight)
    assert model.config.image_mean == list(CLIPImageProcessor().image_mean)


def test_weights_can_be_kept_in_half(folders, tmp_path):
    model = VisualChatModel.from_parts(folders / "language", folders / "vision", dtype=torch.bfloat16)
    assert {weight.dtype for weight in model.parameters()} == {torch.bfloat16}
    output = model(**trained_batch("tItaa"))
    output.loss.backward()
    assert torch.isfinite(output.loss)
    model.save_trained(tmp_path)
    assert {weight.dtype for weight in VisualChatModel.from_pretrained(tmp_path).parameters()} == {torch.bfloat16}
