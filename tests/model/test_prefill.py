"""A prompt that is cached in pieces gives what one forward gives, and can be stopped between two of them."""

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from transformers import DynamicCache

from blender.model.kv_cache import positions_in
from blender.model.prefill import prefill
from tests.model.parts import IMAGE, joined
from tests.model.test_generation import prompt

OPTIONS = {"max_new_tokens": 3, "do_sample": False, "eos_token_id": None}
ROWS = st.lists(st.text("tI", min_size=1, max_size=12), min_size=1, max_size=3)


@pytest.fixture(scope="module", name="models")
def with_windows(models):
    return {**models, "windowed": joined("mmca", "mistral", text={"sliding_window": 5})}


def steps(model, inputs, cache=None):
    """Return the tokens that follow and their logits."""
    made = model.generate(**inputs, **OPTIONS, past_key_values=cache, return_dict_in_generate=True, output_logits=True)
    return made.sequences, torch.stack(made.logits)


@pytest.mark.parametrize("kind", ["mmca", "causal", "cross", "windowed"])
@settings(max_examples=15)
@given(rows=ROWS, chunk=st.integers(1, 14), seed=st.integers(0, 9))
@example(rows=["ItItItItIttt", "tttIIttt", "t"], chunk=3, seed=0)
def test_pieces_give_the_tokens_and_logits_of_one_forward(models, kind, rows, chunk, seed):
    inputs = prompt(*(row + "t" for row in rows), seed=seed)
    cache = prefill(models[kind], inputs, chunk=chunk)
    (tokens, logits), (wanted, wanted_logits) = steps(models[kind], inputs, cache), steps(models[kind], inputs)
    assert torch.equal(tokens, wanted)
    torch.testing.assert_close(logits, wanted_logits, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("chunk", [1, 3, 6, 1000])
def test_no_image_is_cut_and_the_last_piece_is_left(models, chunk):
    inputs, asked = prompt("ttIttIIt"), []
    length, shown = inputs["input_ids"].shape[1], inputs["image_index"][0]
    cache = prefill(models["mmca"], inputs, chunk=chunk, should_stop=lambda *done: asked.append(done))
    ends = [end for end, _ in asked]
    assert {total for _, total in asked} <= {length}
    assert all(shown[end] < 0 or shown[end] != shown[end - 1] for end in ends)
    sizes = [end - start for start, end in zip([0, *ends], [*ends, length], strict=False)]
    assert all(0 < size <= max(chunk, IMAGE) for size in sizes)
    assert cache.get_seq_length() == (ends[-1] if ends else 0)
    assert length - cache.get_seq_length() <= max(chunk, IMAGE)


def test_it_stops_between_pieces_and_goes_on_from_there(models):
    inputs = prompt("ttIttIItttt")
    assert prefill(models["mmca"], inputs, (cache := DynamicCache()), chunk=4, should_stop=lambda *_: True) is None
    assert positions_in(cache).length == 2
    assert prefill(models["mmca"], inputs, cache, chunk=4) is cache
    assert torch.equal(steps(models["mmca"], inputs, cache)[0], steps(models["mmca"], inputs)[0])
