"""Decoders with sliding windows: text looks back over the window, images stay in sight, and causal is the library's."""

from functools import cache

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import (
    AutoModelForCausalLM,
    DynamicCache,
    Gemma2Config,
    Gemma3TextConfig,
    GptOssConfig,
    Llama4TextConfig,
    MistralConfig,
    Phi3Config,
    Qwen2Config,
)

from blender.core.errors import ModelError
from blender.model import VisualChatModel, read_config
from blender.model.block_attention import attend_blocks
from blender.model.block_layout import arrange_packed, arrange_rows
from blender.model.mmca_reference import mmca_reference
from blender.model.sliding_windows import layer_windows, limit_window
from tests.model.parts import IMAGE, VOCABULARY, batch, trained_batch, vision_tower
from tests.model.test_block_attention import in_batch, in_columns, patterns, random_heads

WINDOW = 6
#: windows of layers, and layers without one
WINDOWS = st.none() | st.integers(1, 12)
FUSIONS = st.sampled_from(["mmca", "causal"])
_SIZES = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
_HYBRID = ["sliding_attention", "full_attention", "sliding_attention"]
DECODERS = {
    "mistral": MistralConfig(**_SIZES, sliding_window=WINDOW),
    "gemma3": Gemma3TextConfig(**_SIZES, head_dim=8, sliding_window=WINDOW, layer_types=_HYBRID),
    "phi3": Phi3Config(**_SIZES, sliding_window=WINDOW),
    "qwen2": Qwen2Config(**_SIZES, use_sliding_window=True, sliding_window=WINDOW, max_window_layers=1),
}
EVERY = pytest.mark.parametrize("kind", list(DECODERS))


def decoder(kind, **changes):
    torch.manual_seed(0)
    config = type(DECODERS[kind]).from_dict({**DECODERS[kind].to_dict(), **changes})
    return AutoModelForCausalLM.from_config(config, attn_implementation="sdpa").double().eval()


@cache
def joined(kind, attention="mmca", **changes):
    language = decoder(kind, **changes)
    # far from zero, so that attention is seen in what comes out
    for name, weight in language.named_parameters():
        if "norm" not in name:
            torch.nn.init.normal_(weight, std=0.2)
    model = VisualChatModel.from_parts(
        language, vision_tower(), attention=attention, dtype=torch.float64, cross_every=2
    )
    for name, weight in model.named_parameters():
        if name.endswith("_gate"):
            torch.nn.init.constant_(weight, 0.5)
    return model.double().eval()


def count(segments):
    """Position numbers, from 0 in every sample."""
    numbers = torch.zeros_like(segments)
    for segment in segments.unique():
        mine = segments == segment
        numbers += torch.where(mine, mine.cumsum(1) - 1, 0)
    return numbers


def windowed(query, key, value, segments, images, window, attention="mmca", arrange=arrange_packed):
    layout = limit_window(arrange(segments, torch.where(images, 0, -1), attention), count(segments), window)
    output = attend_blocks(*(in_columns(tensor, layout) for tensor in (query, key, value)), layout)
    return in_batch(output, layout, segments.shape) * (segments > 0)[:, None, :, None]


def same(pattern, window, heads=(4, 2), attention="mmca", arrange=arrange_packed):
    segments, images = pattern
    given_heads = random_heads(segments.shape, *heads, dtype=torch.float64)
    seen = images if attention == "mmca" else torch.zeros_like(images)
    got = windowed(*given_heads, segments, images, window, attention, arrange)
    wanted = mmca_reference(*given_heads, segments, seen, None, count(segments), window)
    weights = torch.randn(got.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    torch.testing.assert_close(got, wanted)
    for one, other in zip(
        torch.autograd.grad((got * weights).sum(), given_heads),
        torch.autograd.grad((wanted * weights).sum(), given_heads),
        strict=True,
    ):
        torch.testing.assert_close(one, other)


@settings(max_examples=60)
@given(patterns(), WINDOWS, FUSIONS)
def test_blocks_equal_the_plain_formula_forward_and_backward(pattern, window, attention):
    same(pattern, window, attention=attention)


@settings(max_examples=60)
@given(patterns(max_samples=0), WINDOWS, FUSIONS)
def test_rows_arranged_for_a_cache_give_the_same(pattern, window, attention):
    same(pattern, window, attention=attention, arrange=arrange_rows)


@pytest.mark.parametrize("attention", ["mmca", "causal"])
def test_a_sample_of_many_windows_is_cut_into_many_pieces(attention):
    segments = torch.ones((1, 400), dtype=torch.int64)
    images = torch.tensor([[30 <= place < 50 or 200 <= place < 230 for place in range(400)]])
    layout = limit_window(arrange_packed(segments, torch.where(images, 0, -1), attention), count(segments), 20)
    pieces = [block for block in layout.blocks if block.mask is not None]
    assert len(pieces) > 4
    assert all(block.mask.numel() <= 64 * 84 for block in pieces)
    same((segments, images), 20, attention=attention)


def test_a_sample_no_longer_than_the_window_keeps_its_blocks():
    segments = torch.ones((1, 12), dtype=torch.int64)
    layout = arrange_packed(segments, torch.full((1, 12), -1), "mmca")
    assert limit_window(layout, count(segments), 12) == layout
    assert limit_window(layout, count(segments), 11) != layout


@EVERY
def test_windows_are_known_layer_by_layer(kind):
    of_layers = {"gemma3": [WINDOW, None, WINDOW], "qwen2": [None, WINDOW, WINDOW]}
    assert layer_windows(DECODERS[kind]) == of_layers.get(kind, [WINDOW] * 3)


@EVERY
def test_causal_fusion_is_the_library_s_own_model(kind):
    model, inputs = joined(kind, "causal"), batch("ttItttttttttttItt")
    own = decoder(kind)
    own.load_state_dict(model.language.state_dict())
    embeds = own.get_input_embeddings()(inputs["input_ids"])
    features = model.projector(model.encode_images(inputs["pixels"])).flatten(0, 1)
    embeds = embeds.masked_scatter((inputs["image_index"] >= 0)[..., None], features)
    with torch.no_grad():
        torch.testing.assert_close(model(**inputs).logits, own(inputs_embeds=embeds).logits)


@EVERY
@pytest.mark.parametrize("attention", ["mmca", "causal", "cross"])
def test_a_cache_gives_the_logits_of_one_forward_beyond_the_window(kind, attention):
    model, inputs = joined(kind, attention), batch("tttIttttttttttt", "IttttItt", seed=1)
    inputs["attention_mask"] = inputs.pop("segment_ids")
    start = inputs["input_ids"].shape[1] - 5
    kept, pieces = DynamicCache(), []
    first = {name: inputs[name][:, :start] for name in ("input_ids", "image_index", "attention_mask")}
    with torch.no_grad():
        whole = model(**inputs).logits
        pieces.append(model(**first, pixels=inputs["pixels"], past_key_values=kept, use_cache=True).logits)
        for place in range(start, inputs["input_ids"].shape[1]):
            mask = inputs["attention_mask"][:, : place + 1]
            more = model(inputs["input_ids"][:, place : place + 1], attention_mask=mask, past_key_values=kept)
            pieces.append(more.logits)
    is_text = (inputs["attention_mask"] > 0) & (inputs["image_index"] < 0)
    torch.testing.assert_close(torch.cat(pieces, dim=1)[is_text], whole[is_text])


@EVERY
def test_generation_beyond_the_window_is_the_same_with_and_without_a_cache(kind):
    model, inputs = joined(kind), batch("tttIttttttItt", "." * 12 + "tItt")
    inputs["attention_mask"] = inputs.pop("segment_ids")
    options = {"max_new_tokens": 2 * WINDOW, "do_sample": False, "eos_token_id": None}
    assert torch.equal(model.generate(**inputs, **options), model.generate(**inputs, **options, use_cache=False))


@EVERY
@pytest.mark.parametrize("attention", ["mmca", "causal"])
def test_packed_samples_have_the_loss_and_gradients_that_they_have_alone(kind, attention):
    model = joined(kind, attention)
    grads = []
    for rows in (["ttIttttttatta|tttttttttaaaIta|tta"], ["ttIttttttatta", "tttttttttaaaIta", "tta"]):
        inputs = trained_batch("ttIttttttatta|tttttttttaaaIta|tta")
        if len(rows) > 1:
            inputs = alone(inputs)
        loss = model(**inputs).loss
        grads.append((loss, *torch.autograd.grad(loss, list(model.projector.parameters()))))
    for one, other in zip(*grads, strict=True):
        torch.testing.assert_close(one, other)


def alone(inputs):
    """Give every sample of the only row a row of its own."""
    segments = inputs["segment_ids"][0]
    length = int(segments.bincount()[1:].max())
    filled = {"input_ids": 0, "segment_ids": 0, "image_index": -1, "labels": -100}
    rows = {name: torch.full((int(segments.max()), length), fill) for name, fill in filled.items()}
    for number in range(int(segments.max())):
        mine = segments == number + 1
        for name, row in rows.items():
            row[number, : int(mine.sum())] = inputs[name][0][mine]
    rows["segment_ids"] = (rows["segment_ids"] > 0).long()
    return {**rows, "pixels": inputs["pixels"]}


def test_nothing_beyond_the_window_is_read_but_images():
    model, inputs = joined("mistral", num_hidden_layers=1), batch("ItttttttttttttttttttI")
    with torch.no_grad():
        before = model(**inputs).logits[0]
        changed = {**inputs, "input_ids": inputs["input_ids"].clone()}
        changed["input_ids"][0, IMAGE] = 3 + (changed["input_ids"][0, IMAGE] - 2) % (VOCABULARY - 3)
        after = model(**changed).logits[0]
        other = model(**{**inputs, "pixels": 255 - inputs["pixels"]}).logits[0]
    differs = (before != after).any(-1)[:-IMAGE]
    assert differs[IMAGE : IMAGE + WINDOW].all()
    assert not differs[IMAGE + WINDOW :].any()
    assert (before != other).any(-1)[IMAGE:-IMAGE].all(), "the image stays in sight"


def test_a_cache_that_forgets_is_refused():
    model, inputs = joined("mistral"), batch("tIttt")
    with pytest.raises(ValueError, match="forgets what a sliding window has left behind"):
        model(**inputs, past_key_values=DynamicCache(config=model.config.text_config), use_cache=True)
    with pytest.raises(ModelError, match="a cache of the kind 'static' drops images"):
        model.generate(**inputs, cache_implementation="static")


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        (Gemma2Config(**_SIZES, head_dim=8), "the language model Gemma2 caps its attention scores"),
        (GptOssConfig(**_SIZES, num_local_experts=4), "the language model GptOss has attention sinks"),
        (Llama4TextConfig(**_SIZES), "Llama4Text cannot be a decoder here: .* chunked_attention"),
        (
            Gemma3TextConfig(**_SIZES, head_dim=8, use_bidirectional_attention=True),
            "Gemma3Text cannot be a decoder here: its text looks at what follows",
        ),
    ],
)
def test_other_kinds_of_attention_are_refused_before_any_weight_is_loaded(tmp_path, config, sentence):
    config.save_pretrained(tmp_path)
    with pytest.raises(ModelError, match=sentence):
        read_config(tmp_path, vision_tower())
