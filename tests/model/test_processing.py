"""A processor makes of texts and pictures what the model takes, and travels with it."""

import pytest
import torch
from PIL import Image
from transformers import AutoProcessor, CLIPImageProcessor

from blender.core.errors import ModelError
from blender.data.sample import Span
from blender.encoding.encoder import make_text_encoder
from blender.model import VisualChatProcessor, read_config
from tests.model.parts import language_model, vision_tower
from tests.stream.tiny_tokenizers import KINDS, tiny_tokenizer


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("processor")
    vision_tower().save_pretrained(root)
    processor = CLIPImageProcessor(size={"shortest_edge": 20}, crop_size={"height": 16, "width": 16})
    processor.save_pretrained(root)
    return root


def make_processor(folder, tmp_path, kind="llama2", **settings):
    tiny_tokenizer(kind).save_pretrained(tmp_path / "tokenizer")
    config = read_config(language_model(), vision_tower(), **settings)
    return VisualChatProcessor.from_parts(tmp_path / "tokenizer", folder, config, "deepspeed-visualchat"), config


def pictures(count):
    return [Image.new("RGB", (30, 40), (number * 40, 90, 200)) for number in range(count)]


@pytest.mark.parametrize("kind", KINDS)
def test_a_prompt_has_the_ids_that_stand_before_an_answer_in_training(folder, tmp_path, kind):
    processor, _ = make_processor(folder, tmp_path, kind)
    text = "You are.\n\n### Image 1: <image>\n### Image 2: <image>\n### Question: What is it?\n### Answer:"
    wanted = make_text_encoder(processor.tokenizer, 4).encode_prompt([Span(f"{text} ", False)])
    made = processor(text, pictures(2))
    assert made["input_ids"][0].tolist() == wanted.input_ids.tolist()
    assert made["image_index"][0].tolist() == wanted.image_index.tolist()
    assert made["pixels"].shape == (2, 3, 16, 16)


def test_rows_are_padded_on_the_left_and_images_counted_through(folder, tmp_path):
    processor, _ = make_processor(folder, tmp_path)
    made = processor(["one <image>", "a longer text <image> and <image>"], pictures(3))
    assert made["attention_mask"][0, 0] == 0
    assert (made["image_index"][0] == 0).sum() == 4
    assert sorted(set(made["image_index"][1].tolist())) == [-1, 1, 2]
    assert torch.equal(made["attention_mask"][1], torch.ones_like(made["attention_mask"][1]))


def test_more_or_fewer_images_than_places_are_told(folder, tmp_path):
    processor, _ = make_processor(folder, tmp_path)
    with pytest.raises(ModelError, match="the text shows 1 image, not the 2 given"):
        processor("<image>", pictures(2))


def test_a_saved_processor_opens_with_all_its_settings(folder, tmp_path):
    processor, config = make_processor(folder, tmp_path, image_size=32)
    processor.save_pretrained(tmp_path / "saved")
    config.save_pretrained(tmp_path / "saved")
    opened = AutoProcessor.from_pretrained(tmp_path / "saved")
    assert isinstance(opened, VisualChatProcessor)
    assert (opened.template, opened.image_positions) == ("deepspeed-visualchat", 16)
    one, other = (some("a <image> b", pictures(1)) for some in (processor, opened))
    assert one["pixels"].shape[-2:] == (32, 32)
    assert all(torch.equal(one[name], other[name]) for name in one)
    # cropped from pictures as much larger as the tower's own are
    assert opened.image_processor.size["shortest_edge"] == 40


def test_what_is_not_there_is_told(folder, tmp_path):
    config = read_config(language_model(), vision_tower())
    with pytest.raises(ModelError, match="no such folder: .*nothing"):
        VisualChatProcessor.from_parts(tmp_path / "nothing", folder, config, "deepspeed-visualchat")
