"""A stored sample becomes tensors, or a reason."""

import pickle
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from blender.data.sample import Span
from blender.data.template import TEMPLATES
from blender.stream.encode import Dropped, EncodedSample, count_tokens, encode_sample
from tests.stream.samples import IMAGE_POSITIONS, SPEC, number_painted, stored_sample, tiny_encoder
from tests.stream.tiny_tokenizers import KINDS, tiny_tokenizer

TURNS = [(1, "What is it?", "A cat."), (2, "And these?", "42 dogs."), (0, "Sure?", "Yes.")]


def decoded(kind, ids):
    return tiny_tokenizer(kind).decode(ids.tolist(), skip_special_tokens=False)


@pytest.mark.parametrize("kind", KINDS)
def test_a_sample_becomes_tensors(kind):
    encoded = encode_sample(stored_sample(TURNS), tiny_encoder(kind), tags={"blend": "a"})
    assert isinstance(encoded, EncodedSample)
    assert (encoded.key, encoded.dataset, encoded.tags) == ("train-000000000", "llava", {"blend": "a"})
    text = encoded.text
    assert text.input_ids.shape == text.loss_mask.shape == text.image_index.shape == (encoded.num_tokens,)
    assert encoded.pixels.shape == (3, *SPEC.shape)
    assert encoded.pixels.dtype == torch.uint8
    end = tiny_tokenizer(kind).eos_token
    answers = decoded(kind, encoded.text.input_ids[encoded.text.loss_mask]).split(end)
    assert [answer.strip() for answer in answers] == ["A cat.", "42 dogs.", "Yes.", ""]


def test_images_are_where_they_were_painted():
    encoded = encode_sample(stored_sample(TURNS), tiny_encoder())
    assert [number_painted(image) for image in encoded.pixels] == [0, 1, 2]
    shown = encoded.text.image_index[encoded.text.image_index >= 0]
    assert shown.tolist() == [number for number in range(3) for _ in range(IMAGE_POSITIONS)]
    for number in range(3):
        first = int((encoded.text.image_index == number).argmax())
        before = decoded("llama3", encoded.text.input_ids[:first])
        assert before.endswith(f"### Image {number + 1}: ")


def test_a_sample_without_images():
    encoded = encode_sample(stored_sample([(0, "Why?", "Because.")]), tiny_encoder())
    assert encoded.pixels.shape == (0, *SPEC.shape)
    assert (encoded.text.image_index == -1).all()


@settings(deadline=None, max_examples=50)
@given(
    turns=st.lists(st.tuples(st.integers(0, 2), st.text(max_size=20), st.text(max_size=20)), min_size=1, max_size=4),
    max_tokens=st.integers(10, 150),
)
def test_what_does_not_fit_goes_by_whole_turns(turns, max_tokens):
    stored, encoder = stored_sample(turns), tiny_encoder()
    whole = encode_sample(stored, encoder)
    fitted = encode_sample(stored, replace(encoder, max_tokens=max_tokens))
    first = encode_sample(stored_sample(turns[:1]), encoder)
    if isinstance(fitted, Dropped):
        assert fitted.reason == "too_long"
        assert first.num_tokens > max_tokens
        return
    num_turns = len(turns) - fitted.text.num_turns_dropped
    assert fitted.num_tokens <= max_tokens
    assert fitted.text.input_ids.tolist() == whole.text.input_ids[: fitted.num_tokens].tolist()
    assert fitted.text.input_ids[-1] == encoder.text.end_id
    assert len(fitted.pixels) == sum(turn[0] for turn in turns[:num_turns])
    assert [number_painted(image) for image in fitted.pixels] == list(range(len(fitted.pixels)))
    if fitted.text.num_turns_dropped:
        assert encode_sample(stored_sample(turns[: num_turns + 1]), encoder).num_tokens > max_tokens


def test_a_first_turn_that_does_not_fit_is_a_reason():
    dropped = encode_sample(stored_sample(TURNS), tiny_encoder(max_tokens=10))
    assert dropped.reason == "too_long"
    assert dropped.key == "train-000000000"
    assert "and 10 are allowed" in dropped.detail


def test_images_of_turns_that_do_not_fit_are_not_decoded():
    stored = stored_sample(TURNS)
    stored = replace(stored, images=(stored.images[0], b"no image", b"no image"))
    first = encode_sample(stored_sample(TURNS[:1]), tiny_encoder())
    encoded = encode_sample(stored, tiny_encoder(max_tokens=first.num_tokens))
    assert encoded.num_tokens == first.num_tokens
    assert torch.equal(encoded.pixels, first.pixels)


def test_a_damaged_image_is_a_reason():
    stored = stored_sample(TURNS)
    dropped = encode_sample(replace(stored, images=(*stored.images[:2], stored.images[2][:100])), tiny_encoder())
    assert dropped.reason == "damaged_image"
    assert dropped.detail.startswith("image 3: ")


def test_a_missing_image_is_a_reason():
    stored = stored_sample(TURNS)
    dropped = encode_sample(replace(stored, images=stored.images[:2]), tiny_encoder())
    assert (dropped.reason, dropped.detail) == ("image_count", "the text shows 3 images, not the 2 stored")


def with_spans(spans):
    stored = stored_sample([(0, "Why?", "Because.")])
    fields = {name: getattr(stored.sample, name) for name in stored.sample.__struct_fields__}
    return replace(stored, sample=type(stored.sample)(**fields | {"spans": spans}))


def test_nothing_to_train_on_is_a_reason():
    dropped = encode_sample(with_spans([Span("Just text", train=False)]), tiny_encoder())
    assert dropped.reason == "no_answer"


def test_a_reserved_character_is_a_reason():
    dropped = encode_sample(stored_sample([(0, "Why \ufdd0?", "Because.")]), tiny_encoder())
    assert dropped.reason == "reserved_character"


def test_another_template_can_be_chosen():
    plain = encode_sample(stored_sample(TURNS), tiny_encoder(template=TEMPLATES["plain"]))
    written = encode_sample(stored_sample(TURNS, template="plain"), tiny_encoder())
    assert plain.text.input_ids.tolist() == written.text.input_ids.tolist()


@pytest.mark.parametrize("max_tokens", [None, 60, 30, 10])
def test_counting_needs_no_images(max_tokens):
    stored, encoder = stored_sample(TURNS), tiny_encoder(max_tokens=max_tokens)
    encoded, counted = encode_sample(stored, encoder), count_tokens(stored.sample, encoder)
    assert counted == (encoded if isinstance(encoded, Dropped) else encoded.num_tokens)


def test_a_pickled_encoder_gives_the_same():
    encoder, stored = tiny_encoder("qwen", template=TEMPLATES["plain"]), stored_sample(TURNS)
    here = encode_sample(stored, encoder)
    there = encode_sample(stored, pickle.loads(pickle.dumps(encoder)))
    assert there.text.input_ids.tolist() == here.text.input_ids.tolist()
    assert torch.equal(there.pixels, here.pixels)
