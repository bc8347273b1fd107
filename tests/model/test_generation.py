"""Generation with a cache gives what one long forward gives."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import DynamicCache

from blender.model.kv_cache import positions_in
from tests.model.parts import DECODERS, VOCABULARY, batch, joined, shared, trained_batch

ATTENTIONS = ("mmca", "causal", "cross")


def prompt(*rows, seed=0):
    """Inputs of generate, padded on the left."""
    inputs = batch(*("." * (max(len(row) + 3 * row.count("I") for row in rows) - len(row) - 3 * row.count("I")) + row
                     for row in rows), seed=seed)  # fmt: skip
    inputs["attention_mask"] = inputs.pop("segment_ids")
    return inputs


def forced(model, inputs, extra):
    """Logits of further tokens, fed one at a time with a cache, and fed whole without."""
    cached, cache = [], DynamicCache()
    made = model(**inputs, past_key_values=cache, use_cache=True)
    for column in extra.T:
        cached.append(made.logits[:, -1])
        made = model(column[:, None], past_key_values=cache)
    cached.append(made.logits[:, -1])
    rows, length = extra.shape
    whole = model(
        torch.cat([inputs["input_ids"], extra], dim=1),
        attention_mask=torch.cat([inputs["attention_mask"], torch.ones_like(extra)], dim=1),
        image_index=torch.cat([inputs["image_index"], torch.full_like(extra, -1)], dim=1),
        pixels=inputs["pixels"],
    ).logits[:, -length - 1 :]
    return torch.stack(cached, dim=1), whole


@pytest.mark.parametrize("attention", ATTENTIONS)
@settings(max_examples=15)
@given(rows=st.lists(st.text("tI", min_size=1, max_size=5), min_size=1, max_size=3), seed=st.integers(0, 9))
def test_steps_with_a_cache_give_the_logits_of_one_forward(models, attention, rows, seed):
    rows = [row + "t" for row in rows]
    extra = torch.randint(3, VOCABULARY, (len(rows), 3), generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        cached, whole = forced(models[attention], prompt(*rows, seed=seed), extra)
    torch.testing.assert_close(cached, whole, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", list(DECODERS))
def test_every_decoder_generates_the_same_with_and_without_a_cache(kind):
    model = shared("mmca", kind)
    inputs = prompt("tItt", "t", "IttIt")
    given_options = {"max_new_tokens": 5, "do_sample": False, "eos_token_id": None}
    assert torch.equal(
        model.generate(**inputs, **given_options), model.generate(**inputs, **given_options, use_cache=False)
    )


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_rows_generate_together_what_they_generate_alone(models, attention):
    rows = ["tItt", "t", "IttIt"]
    options = {"max_new_tokens": 4, "do_sample": False, "eos_token_id": None}
    whole = prompt(*rows)
    together = models[attention].generate(**whole, **options)[:, -4:]
    for number in range(len(rows)):
        kept = whole["attention_mask"][number] > 0
        index = whole["image_index"][number][kept]
        shown = sorted(set(index[index >= 0].tolist()))
        renumbered = torch.where(index >= 0, index - (shown[0] if shown else 0), -1)
        alone = models[attention].generate(
            input_ids=whole["input_ids"][number][kept][None],
            image_index=renumbered[None],
            pixels=whole["pixels"][shown],
            **options,
        )[:, -4:]
        assert torch.equal(alone[0], together[number])


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_beams_and_several_answers_share_the_images_of_their_prompt(models, attention):
    inputs = prompt("tItt", "tIIt")
    options = {"max_new_tokens": 4, "eos_token_id": None}
    beams = [
        models[attention].generate(**inputs, **options, num_beams=3, do_sample=False, use_cache=use)
        for use in (False, True)
    ]
    assert torch.equal(*beams)
    torch.manual_seed(0)
    assert models[attention].generate(**inputs, **options, num_return_sequences=2, do_sample=True).shape[0] == 4


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_another_question_with_images_continues_a_cache(models, attention):
    """The second turn brings images of its own; nothing of the first is computed again."""
    model = models[attention]
    first, second = batch("tItt", "ttIt", seed=1), batch("tIt", "Itt", seed=2)
    cache = DynamicCache()
    with torch.no_grad():
        model(**first, past_key_values=cache)
        got = model(**second, past_key_values=cache)
        step = model(torch.tensor([[5], [6]]), past_key_values=cache).logits
        index = torch.where(second["image_index"] >= 0, second["image_index"] + 2, -1)
        tail = torch.tensor([[5], [6]])
        whole = model(
            torch.cat([first["input_ids"], second["input_ids"], tail], dim=1),
            image_index=torch.cat([first["image_index"], index, torch.full_like(tail, -1)], dim=1),
            pixels=torch.cat([first["pixels"], second["pixels"]]),
        ).logits
    torch.testing.assert_close(got.logits, whole[:, first["input_ids"].shape[1] : -1], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(step, whole[:, -1:], rtol=1e-4, atol=1e-5)


def test_generate_goes_on_from_a_cache_with_the_whole_sequence_again(models):
    model = models["mmca"]
    first, whole = batch("tItt"), batch("tIttttIt")
    length = first["input_ids"].shape[1]
    whole["input_ids"][:, :length], whole["pixels"][0] = first["input_ids"], first["pixels"][0]
    inputs = {**whole, "attention_mask": whole.pop("segment_ids")}
    cache = DynamicCache()
    with torch.no_grad():
        model(**first, past_key_values=cache)
    options = {"max_new_tokens": 4, "do_sample": False, "eos_token_id": None}
    assert torch.equal(model.generate(**inputs, **options, past_key_values=cache), model.generate(**inputs, **options))
    assert positions_in(cache).length == inputs["input_ids"].shape[1] + 3


def test_what_is_trained_is_what_generates():
    for tied in (False, True):
        model = joined("mmca", text={"tie_word_embeddings": tied})
        embedding = model.get_input_embeddings().weight
        assert (model.get_output_embeddings().weight is embedding) == tied
        optimizer = torch.optim.AdamW([w for w in model.parameters() if w.requires_grad], lr=0.05)
        inputs = trained_batch("tItaaaa", seed=4)
        for _ in range(30):
            optimizer.zero_grad()
            model(**inputs).loss.backward()
            optimizer.step()
        start = int((inputs["labels"][0] >= 0).nonzero()[0])
        cut = {name: inputs[name][:, :start] for name in ("input_ids", "image_index")}
        made = model.generate(
            **cut, pixels=inputs["pixels"], max_new_tokens=4, do_sample=False, eos_token_id=None, pad_token_id=0
        )
        assert torch.equal(made[0, start:], inputs["input_ids"][0, start:])


def test_packed_samples_are_not_cached(models):
    with pytest.raises(ValueError, match="packed samples cannot be cached"):
        models["mmca"](**batch("tt|tt"), use_cache=True)
