"""Attention over a KV cache is that of one forward, and a cache says which positions it holds."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import DynamicCache

from blender.model import kernels
from blender.model.block_layout import arrange_rows
from blender.model.kv_cache import (
    attend_cache,
    crop_cache,
    extend_positions,
    plan_cache_attention,
    positions_in,
    start_positions,
)
from blender.model.mmca_reference import mmca_reference
from blender.model.piece_attention import attend_piece, plan_piece
from tests.model.parts import IMAGE, batch
from tests.model.test_block_attention import patterns, random_heads
from tests.model.test_sliding_windows import FUSIONS, WINDOWS


@settings(max_examples=80)
@given(patterns(max_samples=0), st.integers(1, 6), WINDOWS, FUSIONS)
def test_attention_over_a_cache_equals_the_plain_formula(pattern, num_new, window, attention):
    segments, images = pattern
    segments, images = segments.clone(), images.clone()
    num_new = min(num_new, segments.shape[1] - 1)
    if not num_new:
        return
    segments[:, -num_new:] = 1
    old = segments.shape[1] - num_new
    query, key, value = random_heads(segments.shape, 4, 2, dtype=torch.float64)
    index, numbers = torch.where(images, 0, -1), ((segments > 0).cumsum(1) - 1).clamp(min=0)
    parts = [(tensor[:, :old], tensor[:, old:]) for tensor in (segments, index, numbers)]
    layout = arrange_rows(*(first for first, _ in parts[:2]), attention)
    order = torch.cat([layout.order % old, torch.arange(old, old + num_new).expand(len(segments), -1)], dim=1)
    positions = extend_positions(start_positions(layout, *(p for p, _ in parts), attention), *(p for _, p in parts))
    cached = [tensor.gather(2, order[:, None, :, None].expand(tensor.shape)) for tensor in (key, value)]
    plan = plan_cache_attention(positions, num_new, "cpu", window)
    got = [attend_cache(query[:, :, old:], *cached, plan)]
    if len(segments) == 1 and window is None:
        with torch.no_grad():
            got.append(attend_piece(query[:, :, old:], *cached, plan_piece(positions, num_new), kernels.CPU_FLASH))
    seen = images if attention == "mmca" else torch.zeros_like(images)
    wanted = mmca_reference(query, key, value, segments, seen, None, numbers, window)[:, :, old:]
    for each in got:
        torch.testing.assert_close(each.transpose(1, 2), wanted)


def test_a_cache_that_the_model_did_not_fill_is_refused(models):
    cache = DynamicCache()
    cache.update(torch.zeros(1, 2, 3, 8), torch.zeros(1, 2, 3, 8), 0)
    with pytest.raises(ValueError, match="does not hold what this model left"):
        models["mmca"](torch.tensor([[5]]), past_key_values=cache)


@pytest.mark.parametrize("attention", ["mmca", "causal", "cross"])
@pytest.mark.parametrize("length", [2, 2 + IMAGE, 3 + IMAGE, 4 + 2 * IMAGE])
def test_a_cropped_cache_goes_on_as_one_that_was_never_longer(models, attention, length):
    model, whole = models[attention], batch("ttItItt")
    index, tail = whole["image_index"][:, :length], torch.tensor([[5, 6]])
    shown = whole["pixels"][: int(index.max()) + 1]
    inputs = {"input_ids": whole["input_ids"][:, :length], "image_index": index, "pixels": shown}
    long, short = DynamicCache(), DynamicCache()
    with torch.no_grad():
        # text first, so that the cache has the positions in the order of the row
        rest = {name: whole[name][:, 2:] for name in ("input_ids", "image_index")}
        model(whole["input_ids"][:, :2], past_key_values=long)
        model(**rest, pixels=whole["pixels"], past_key_values=long)
        model(**inputs, past_key_values=short)
        assert crop_cache(long, length)
        assert positions_in(long).length == length
        got, wanted = (model(tail, past_key_values=cache).logits for cache in (long, short))
    torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-5)


def test_a_cache_that_does_not_begin_with_what_is_kept_is_left_alone(models):
    cache, inputs = DynamicCache(), batch("ttItt")
    with torch.no_grad():
        models["mmca"](**inputs, past_key_values=cache)
    assert not crop_cache(cache, 3)
    assert positions_in(cache).length == inputs["input_ids"].shape[1]
