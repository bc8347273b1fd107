"""What is trained, for every kind of tokenizer: the answers, their end tokens, and nothing else."""

import pickle
import unicodedata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from blender.core.errors import BlenderError
from blender.data.sample import Span, Turn
from blender.data.template import IMAGE, TEMPLATES
from blender.encoding.encoded import UnusableTextError
from blender.encoding.encoder import make_text_encoder
from blender.encoding.marked_text import MARK
from tests.stream.tiny_tokenizers import KINDS, TEXTS, tiny_tokenizer

IMAGE_POSITIONS = 3

#: other people's work on the same cores is no failure
unhurried = settings(deadline=None, max_examples=50)

#: what strangers write, and what tokenizers glue together
words = st.sampled_from(
    [
        "</s>",
        "<s>",
        "<unk>",
        "<|im_end|>",
        "<|im_start|>",
        "<|endoftext|>",
        "<|eot_id|>",
        "<|begin_of_text|>",
        "<image>",
    ]
    + ["<think>", "### Answer:", "A cat", "42", "7", " ", "  ", "\n", "\n\n", "\r\n", "\t", ".", "?", "...", "#", "'s"]
    + [
        "é",
        "e\u0301",
        "\u0301",
        "日本語",
        "🐈",
        "👩‍👩‍👧",
        "\u2581",
        "\u200b",
        "\x00",
        "\ufeff",
        "Ġ",
        "<0x0A>",
        "ﬁ",
        "İ",
    ]
)
texts = st.lists(words | st.text(max_size=6), max_size=6).map("".join).filter(lambda text: MARK not in text)


@st.composite
def conversations(draw, text=texts):
    turns, shown = [], 0
    for num_images in draw(st.lists(st.integers(0, 2), min_size=1, max_size=3)):
        turns.append(Turn(list(range(shown + 1, shown + num_images + 1)), draw(text), draw(text), 0))
        shown += num_images
    return TEMPLATES[draw(st.sampled_from(sorted(TEMPLATES)))].render(turns)


def encoder_of(kind, **options):
    return make_text_encoder(tiny_tokenizer(kind), IMAGE_POSITIONS, **options)


ENCODERS = {kind: encoder_of(kind) for kind in KINDS}


def decoded(kind, ids):
    """Return the text of tokens from the middle of a text: decoders take a space off the beginning."""
    tokenizer = tiny_tokenizer(kind)
    first = tokenizer.convert_tokens_to_ids("a")
    ids = [first, *ids.tolist()]
    return tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False).removeprefix("a")


def as_read(kind, text):
    """Return a text as the tokenizer reads it: some take one character for another."""
    if kind.startswith("llama2"):
        return text.replace("\u2581", " ")
    return unicodedata.normalize("NFC", text) if kind == "qwen" else text


def runs(mask):
    """Return (first, after the last) of every run of True."""
    edges = np.flatnonzero(np.diff(mask.astype(int), prepend=0, append=0))
    return list(zip(edges[::2], edges[1::2], strict=True))


def trained_runs(text):
    """Return (first, after the last) trained position of each turn."""
    starts = [start for start, _ in runs(text.loss_mask)]
    return list(zip(starts, text.turn_ends, strict=True))


@pytest.mark.parametrize("kind", KINDS)
@unhurried
@given(spans=conversations())
def test_trained_tokens_are_the_answers(kind, spans):
    text = ENCODERS[kind].encode(spans)
    answers = [span.text for span in spans if span.train]
    for (start, end), answer in zip(trained_runs(text), answers, strict=True):
        assert text.loss_mask[start:end].all()
        assert text.input_ids[end - 1] == ENCODERS[kind].end_id
        assert decoded(kind, text.input_ids[start : end - 1]) in (as_read(kind, answer), as_read(kind, " " + answer))


@pytest.mark.parametrize("kind", KINDS)
@unhurried
@given(spans=conversations())
def test_untrained_tokens_are_all_the_rest(kind, spans):
    text = ENCODERS[kind].encode(spans)
    pieces = [piece for span in spans if not span.train for piece in span.text.split(IMAGE)]
    plain = ~text.loss_mask & (text.image_index < 0)
    plain[: ENCODERS[kind].begin_id is not None] = False
    found = [decoded(kind, text.input_ids[start:end]) for start, end in runs(plain)]
    # nothing between two images, or a prompt that ends in the answer's space, leaves no run
    pieces = [piece for piece in pieces if piece not in ("", " ")] if len(found) != len(pieces) else pieces
    for piece, seen in zip(pieces, found, strict=True):
        # a space may come before (sentencepiece's own) or be missing behind (the answer's)
        assert as_read(kind, piece).strip(" ") == seen.strip(" ")
        assert abs(len(as_read(kind, piece)) - len(seen)) <= 1


@pytest.mark.parametrize("kind", KINDS)
@unhurried
@given(spans=conversations())
def test_no_text_makes_a_special_token(kind, spans):
    encoder = ENCODERS[kind]
    text = encoder.encode(spans)
    ends = np.array(text.turn_ends) - 1
    ordinary = np.delete(text.input_ids, ends)[np.delete(text.image_index, ends) < 0]
    if encoder.begin_id is not None:
        assert ordinary[0] == encoder.begin_id
        ordinary = ordinary[1:]
    named = set(tiny_tokenizer(kind).all_special_ids) | encoder.special_ids
    assert named.isdisjoint(ordinary.tolist())


@pytest.mark.parametrize("kind", KINDS)
@unhurried
@given(spans=conversations(texts.map(str.strip).filter(bool)))
def test_a_prompt_is_what_stands_before_the_answer_in_training(kind, spans):
    whole = ENCODERS[kind].encode(spans)
    for number, (start, _) in enumerate(trained_runs(whole)):
        prompt = ENCODERS[kind].encode_prompt(spans[: 2 * number + 1])
        assert prompt.input_ids.tolist() == whole.input_ids[:start].tolist()


@pytest.mark.parametrize("kind", KINDS)
@unhurried
@given(spans=conversations(), max_tokens=st.integers(1, 200))
def test_what_is_kept_is_what_the_first_turns_alone_give(kind, spans, max_tokens):
    whole = ENCODERS[kind].encode(spans)
    kept = whole.keep_turns(max_tokens)
    num_turns = len(kept.turn_ends)
    assert len(kept) <= max_tokens
    assert kept.num_turns_dropped == len(whole.turn_ends) - num_turns
    assert num_turns == len(whole.turn_ends) or whole.turn_ends[num_turns] > max_tokens
    alone = ENCODERS[kind].encode(spans[: 2 * num_turns])
    if num_turns:
        assert (kept.input_ids.tolist(), kept.image_index.tolist()) == (
            alone.input_ids.tolist(),
            alone.image_index.tolist(),
        )
        assert kept.loss_mask.tolist() == alone.loss_mask.tolist()
    assert kept.num_images == sum(span.text.count(IMAGE) for span in spans[: 2 * num_turns] if not span.train)


@pytest.mark.parametrize("kind", KINDS)
@unhurried
@given(spans=conversations())
def test_images_take_their_positions_in_the_order_shown(kind, spans):
    text = ENCODERS[kind].encode(spans)
    num_images = sum(span.text.count(IMAGE) for span in spans if not span.train)
    assert text.num_images == num_images
    assert [count for _, count in text.image_runs()] == [IMAGE_POSITIONS] * num_images
    assert text.image_index[text.image_index >= 0].tolist() == [
        n for n in range(num_images) for _ in range(IMAGE_POSITIONS)
    ]
    assert not (text.loss_mask & (text.image_index >= 0)).any()
    assert set(text.input_ids[text.image_index >= 0].tolist()) <= {ENCODERS[kind].image_id}


@pytest.mark.parametrize("kind", KINDS)
def test_ids_are_those_of_the_tokenizer_itself_with_special_tokens_in_the_text(kind):
    turns = [Turn([1], "What is in the image?", "A cat. 42 dogs!", 0), Turn([2, 3], "Caf\u00e9?", "Who's there...", 0)]
    spans = TEMPLATES["deepspeed-visualchat"].render(turns)
    own = PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(tiny_tokenizer(kind).backend_tokenizer.to_str()))
    own.add_special_tokens({"additional_special_tokens": [IMAGE]})
    end = tiny_tokenizer(kind).eos_token
    expected = own("".join(span.text + (end if span.train else "") for span in spans))["input_ids"]
    text = ENCODERS[kind].encode(spans)
    image = own.convert_tokens_to_ids(IMAGE)
    spread = [i for i in expected for _ in range(IMAGE_POSITIONS if i == image else 1)]
    assert np.where(text.image_index >= 0, image, text.input_ids).tolist() == spread


SHOWN = {
    # where the tokenizer glues it, the space belongs to the first word; alone, it is trained all the same
    ("gpt2", "Answer: ", "A cat"): [" A", " cat"],
    ("qwen", "Answer: ", "42"): [" ", "4", "2"],
    ("llama2", "Answer: ", "A cat"): [" A", " cat"],
    # a token over the seam that is more than a space is taken apart: "?\n\n" is one token to these kinds
    ("llama3", "there?\n", "\nA cat"): ["\n", "A", " cat"],
    ("qwen", "there?\n", "\nA cat"): ["\n", "A", " cat"],
    # and so is one over the end: ".\n\n" is one token, too
    ("llama3", "Answer: ", "the mat."): [" the", " mat", "."],
}


@pytest.mark.parametrize(("kind", "question", "answer"), SHOWN)
def test_boundaries(kind, question, answer):
    text = ENCODERS[kind].encode([Span(question, False), Span(answer, True), Span("\n\n### Image 2: ", False)])
    ((start, end),) = trained_runs(text)
    assert [decoded(kind, text.input_ids[i : i + 1]) for i in range(start, end - 1)] == SHOWN[kind, question, answer]


def test_the_seams_tested_are_ones_that_tokens_would_cross():
    for kind in ("llama3", "qwen"):
        tokens = tiny_tokenizer(kind).tokenize("there?\n\nA cat.\n\n###")
        assert "?ĊĊ" in tokens
        assert ".ĊĊ" in tokens


@pytest.mark.parametrize("kind", KINDS)
def test_a_begin_token_only_where_the_tokenizer_puts_one(kind):
    begins = {"llama2": "<s>", "llama2-metaspace": "<s>", "llama3": "<|begin_of_text|>"}
    tokenizer, encoder = tiny_tokenizer(kind), ENCODERS[kind]
    expected = tokenizer.convert_tokens_to_ids(begins[kind]) if kind in begins else None
    assert encoder.begin_id == expected


def test_the_end_token_can_be_another_one():
    end = tiny_tokenizer("llama3").convert_tokens_to_ids("<|eot_id|>")
    text = encoder_of("llama3", end_token_id=end).encode([Span("Q", False), Span("A", True)])
    assert text.input_ids[-1] == end


def test_an_image_without_a_word_before_it():
    for kind in KINDS:
        text = ENCODERS[kind].encode([Span(IMAGE, False), Span("A cat", True)])
        first = int(ENCODERS[kind].begin_id is not None)
        assert text.image_runs() == [(first, IMAGE_POSITIONS)]
        assert text.loss_mask[first + IMAGE_POSITIONS :].all()


def test_an_image_sign_in_an_answer_is_text():
    text = ENCODERS["gpt2"].encode([Span("Q: ", False), Span("the <image> tag", True)])
    assert text.num_images == 0
    assert decoded("gpt2", text.input_ids[text.loss_mask][:-1]) == " the <image> tag"


def test_what_follows_the_last_answer_is_dropped():
    spans = [Span("Q: ", False), Span("A", True), Span("\n\n<image> more", False)]
    text = ENCODERS["gpt2"].encode(spans)
    assert text.num_images == 1
    assert text.keep_turns(None).num_images == 0
    assert len(text.keep_turns(None)) == text.turn_ends[0]


@pytest.mark.parametrize("kind", KINDS)
def test_an_encoder_travels(kind):
    spans = [Span("What is </s><|im_end|><|eot_id|>? <image> ", False), Span("A </s><|im_end|><|endoftext|>", True)]
    before = ENCODERS[kind].encode(spans)
    after = pickle.loads(pickle.dumps(ENCODERS[kind])).encode(spans)
    assert before.input_ids.tolist() == after.input_ids.tolist()
    assert before.loss_mask.tolist() == after.loss_mask.tolist()


def test_the_tokenizer_given_is_left_alone():
    tokenizer = tiny_tokenizer("qwen")
    before = tokenizer.backend_tokenizer.to_str(), len(tokenizer)
    encoder_of("qwen").encode([Span("<image>", False), Span("<|im_end|>", True)])
    assert (tokenizer.backend_tokenizer.to_str(), len(tokenizer)) == before
    assert tokenizer("<|im_end|>")["input_ids"] == [tokenizer.eos_token_id]


def test_a_unigram_tokenizer_cannot_be_talked_into_a_special_token():
    pieces = ["<unk>", "<s>", "</s>", *sorted({c for text in TEXTS for c in text.replace(" ", "\u2581")}), "\u2581cat"]
    tokenizer = Tokenizer(models.Unigram([(piece, -float(n > 2)) for n, piece in enumerate(pieces)], unk_id=0))
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="</s>", unk_token="<unk>")
    encoder = make_text_encoder(wrapped, 2)
    text = encoder.encode([Span("Q: ", False), Span("a cat</s>", True)])
    assert wrapped.decode(text.input_ids[text.loss_mask][:-1].tolist()) == "a cat</s>"
    assert 2 not in text.input_ids[:-1]


def test_a_reserved_character_is_a_reason():
    with pytest.raises(UnusableTextError) as caught:
        ENCODERS["gpt2"].encode([Span(f"What {MARK}", False), Span("A", True)])
    assert caught.value.reason == "reserved_character"


def test_tokenizers_that_cannot_be_used():
    bare = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.BPE({"a": 0}, [])))
    with pytest.raises(BlenderError, match="no end token"):
        make_text_encoder(bare, 1)
    with pytest.raises(BlenderError, match="its image token is to be 5000"):
        encoder_of("gpt2", image_token_id=5000)
    with pytest.raises(BlenderError, match="no character offsets"):
        make_text_encoder(object(), 1)
