"""Which language models and vision towers can be joined, and what images become on the way."""

import pytest
import torch
from transformers import (
    BertConfig,
    BloomConfig,
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    DeepseekV3Config,
    Dinov2Config,
    Gemma2Config,
    GPTJConfig,
    LlamaConfig,
    Mamba2Config,
    ResNetConfig,
    StableLmConfig,
)

from blender.core.errors import ModelError
from blender.model import VisualChatConfig, VisualChatModel, check_vocabulary, read_config, set_trainable
from blender.model.decoder_attention import check_decoder
from tests.model.parts import DECODERS, TOWERS, batch, config_of, joined, language_model, trained_batch, vision_tower
from tests.stream.tiny_tokenizers import tiny_tokenizer

_SMALL = {"vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}


@pytest.mark.parametrize("kind", list(DECODERS))
def test_decoders_that_take_our_attention_are_accepted(kind):
    check_decoder(DECODERS[kind])


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        (BloomConfig(vocab_size=50, hidden_size=16, n_layer=2, n_head=2), "Bloom cannot be a decoder here"),
        (Gemma2Config(**_SMALL, num_key_value_heads=1, head_dim=8), "caps its attention scores"),
        (Mamba2Config(vocab_size=50, hidden_size=16, num_heads=4, head_dim=8, num_hidden_layers=2), "Mamba2 cannot"),
        (CLIPConfig(), "CLIP cannot be a decoder here"),
        (BertConfig(**_SMALL, intermediate_size=16), "Bert cannot be a decoder here: its text looks at what follows"),
        (
            StableLmConfig(**_SMALL, num_key_value_heads=2, intermediate_size=16),
            "StableLm cannot be a decoder here: its forward does not pass keyword arguments on to its layers",
        ),
        (
            DeepseekV3Config(**_SMALL, num_key_value_heads=2, intermediate_size=16, first_k_dense_replace=2),
            "DeepseekV3 cannot be a decoder here: its values are 128 wide and its keys 192",
        ),
        (
            GPTJConfig(vocab_size=50, n_embd=16, n_layer=2, n_head=2, rotary_dim=4),
            "GPTJ cannot be a decoder here: it looks at numbers while it runs",
        ),
    ],
)
def test_decoders_that_ignore_it_or_add_to_it_are_refused(config, sentence):
    with pytest.raises(ModelError, match=sentence):
        check_decoder(config)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kind", ["mixtral", "qwen3_moe"])
def test_decoders_of_experts_are_taken_at_every_precision_and_train(kind, dtype):
    config = type(DECODERS[kind]).from_dict({**DECODERS[kind].to_dict(), "dtype": dtype})
    check_decoder(config)
    model = set_trainable(joined(kind=kind, dtype=dtype), language="full")
    optimizer = torch.optim.AdamW([w for w in model.parameters() if w.requires_grad], lr=1e-3)
    losses = []
    for _ in range(2):
        loss = model(**trained_batch("tItaat", "ttaa")).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert all(weight.grad is not None for name, weight in model.named_parameters() if "experts" in name)
    assert losses[1] < losses[0]


def test_the_check_of_a_decoder_makes_no_weights():
    # 70 billion of them
    check_decoder(LlamaConfig(hidden_size=8192, intermediate_size=28672, num_hidden_layers=80, num_attention_heads=64))


def test_a_language_model_of_a_joined_model_does_not_run_alone():
    with pytest.raises(ValueError, match="part of a VisualChatModel"):
        joined().language(torch.tensor([[5, 6]]))


@pytest.mark.parametrize("kind", list(TOWERS))
@pytest.mark.parametrize("image_size", [16, 24])
def test_towers_give_one_feature_per_patch_at_any_size(kind, image_size):
    model = joined(tower=kind, image_size=image_size)
    patches = (image_size // 8) ** 2
    assert model.config.image_positions == patches
    features = model.encode_images(torch.zeros((2, 3, image_size, image_size), dtype=torch.uint8))
    assert features.shape == (2, patches, 24)


@pytest.mark.parametrize(("kind", "before"), [("clip", 1), ("siglip", 0), ("dinov2", 1), ("dinov2_registers", 4)])
def test_what_stands_before_the_patches_can_be_kept(kind, before):
    model = joined(tower=kind, keep_class_token=True)
    assert model.config.image_positions == 4 + before
    assert model.encode_images(torch.zeros((1, 3, 16, 16))).shape[1] == 4 + before


def test_patches_are_those_behind_the_class_token():
    kept, dropped = joined(keep_class_token=True), joined()
    pixels = batch("I")["pixels"]
    assert torch.equal(kept.encode_images(pixels)[:, 1:], dropped.encode_images(pixels))


def test_the_layer_of_the_tower_can_be_chosen():
    pixels = batch("I")["pixels"]
    tower = vision_tower()
    hidden = tower((pixels / 255 - 0.5) / 0.5, output_hidden_states=True).hidden_states
    for layer in (-1, -2, 0, 2):
        got = joined(vision_layer=layer).encode_images(pixels)
        torch.testing.assert_close(got, hidden[layer][:, 1:])


def test_the_perceiver_gives_any_number_of_positions():
    model = joined(projector="perceiver", image_positions=7, image_size=24)
    inputs = batch("t")
    inputs = {
        "input_ids": torch.randint(3, 90, (1, 10)),
        "image_index": torch.tensor([[-1] + [0] * 7 + [-1] * 2]),
        "pixels": torch.zeros((1, 3, 24, 24), dtype=torch.uint8),
    }
    assert model(**inputs).logits.shape == (1, 10, 97)
    assert read_config(language_model(), vision_tower(), projector="perceiver").image_positions == 256


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"attention": "full"}, "there is no attention 'full'.*mmca, causal, cross"),
        ({"projector": "mlp"}, "there is no projector 'mlp'.*linear, vit, perceiver"),
        ({"image_positions": 5}, "an image has 4 features with this vision tower and takes 5 positions"),
        ({"image_size": 4}, "has patches of 8 pixels for images of 4"),
        ({"colour": 1}, "a model has no setting 'colour'"),
        ({"attention": "cross", "cross_every": 9}, "every 9 layers, and the language model has 3"),
        ({"vision_layer": 7}, "has no hidden states 7"),
    ],
)
def test_settings_that_fit_nothing_are_refused_before_any_weight_is_loaded(settings, sentence):
    with pytest.raises(ModelError, match=sentence):
        read_config(language_model(), vision_tower(), **settings)


def test_parts_that_are_not_there_are_told(tmp_path):
    with pytest.raises(ModelError, match="no such folder: .*nothing .the language model"):
        read_config(tmp_path / "nothing", vision_tower())
    with pytest.raises(ModelError, match="no such folder: .*nothing .the vision tower"):
        read_config(language_model(), tmp_path / "nothing")


def test_a_tower_without_patches_is_refused():
    with pytest.raises(ModelError, match="cuts images into square patches"):
        VisualChatConfig(text_config=DECODERS["llama"], vision_config=ResNetConfig())


def test_a_tokenizer_with_more_tokens_than_the_embedding_is_refused():
    tokenizer = tiny_tokenizer("qwen")
    with pytest.raises(ModelError, match="tokens, and the language model's embedding 97 rows"):
        check_vocabulary(config_of(), tokenizer)
    check_vocabulary(config_of(), ["token"] * 97)


def test_the_vision_half_of_a_model_with_a_text_tower_is_taken(tmp_path):
    config = CLIPConfig(vision_config=TOWERS["clip"].to_dict(), text_config={**_SMALL, "intermediate_size": 16})
    CLIPModel(config).save_pretrained(tmp_path)
    processor = CLIPImageProcessor(size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16})
    processor.save_pretrained(tmp_path)
    model = VisualChatModel.from_parts(language_model(), tmp_path)
    assert type(model.vision).__name__ == "CLIPVisionModel"
    assert torch.isfinite(model(**trained_batch("tIa")).loss)


def test_a_tower_whose_images_are_cropped_from_larger_ones_is_told_its_size(tmp_path):
    vision_tower("dinov2").save_pretrained(tmp_path)
    CLIPImageProcessor(size={"shortest_edge": 20}, crop_size={"height": 16, "width": 16}).save_pretrained(tmp_path)
    assert read_config(language_model(), tmp_path).image_size == 16
    assert Dinov2Config.from_pretrained(tmp_path).image_size == 16
