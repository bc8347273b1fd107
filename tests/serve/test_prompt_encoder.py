"""Prompts that fit: which rounds go, and what it costs to find out."""

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blender.core.errors import SessionError
from blender.data.sample import Turn
from blender.data.template import TEMPLATES
from blender.encoding.chat import make_chat_template
from blender.encoding.encoder import TextEncoder, make_text_encoder
from blender.serve.prompt_encoder import PromptEncoder, TooLongError
from tests.stream.chat_templates import chatting
from tests.stream.tiny_tokenizers import tiny_tokenizer

IMAGE_POSITIONS = 16


class CountingEncoder(TextEncoder):
    """Tokenises as ever, and counts calls and tokens."""

    def encode(self, spans):
        made = super().encode(spans)
        self.counts[0] += 1
        self.counts[1] += len(made)
        return made


def prompt_encoder(limit, overflow="drop", kind="llama2", template="deepspeed-visualchat"):
    chats = template == "chat"
    tokenizer = chatting(kind) if chats else tiny_tokenizer(kind)
    plain = make_text_encoder(tokenizer, IMAGE_POSITIONS)
    encoder = CountingEncoder(**{field.name: getattr(plain, field.name) for field in dataclasses.fields(plain)})
    object.__setattr__(encoder, "counts", [0, 0])
    rendered = make_chat_template(tokenizer) if chats else TEMPLATES[template]
    return PromptEncoder(encoder, rendered, limit, overflow)


def turns_of(texts):
    """Make turns of questions, answers and numbers of images."""
    turns, shown = [], 0
    for question, answer, num_images in texts:
        turns.append(Turn(list(range(shown + 1, shown + num_images + 1)), question, answer, 0))
        shown += num_images
    return turns


ASKED = Turn([], "And now?", "", 0)


@pytest.mark.parametrize("num_turns", [250, 1_000, 4_000])
def test_the_work_does_not_grow_with_the_rounds_that_are_left_out(num_turns):
    encoder = prompt_encoder(2_048)
    text = encoder.encode([*turns_of([("What is in it? " * 3, "A cat and a dog. " * 3, 0)] * num_turns), ASKED], 100)
    calls, tokens = encoder.text.counts
    kept = num_turns - text.num_turns_dropped
    assert 2_048 - 100 - 120 < len(text) <= 2_048 - 100
    assert calls <= kept + 8
    assert tokens < 4 * 2_048


def test_a_conversation_that_fits_is_tokenised_once():
    encoder = prompt_encoder(2_048)
    assert encoder.encode([*turns_of([("What is it?", "A cat.", 1)] * 20), ASKED], 100).num_turns_dropped == 0
    assert encoder.text.counts[0] == 1


def one_by_one(encoder, turns, asked, num_new_tokens):
    """Leave out one round after the other, as long as there is no room: what encoder must come to."""
    room = min(num_new_tokens, max(1, encoder.max_tokens // 4))
    for first in range(len(turns) + 1):
        text = encoder.encode_whole([*turns[first:], asked])
        if len(text) + room <= encoder.max_tokens:
            break
    return first, text


TEXTS = st.lists(
    st.tuples(
        st.text(" ab.\n#é", min_size=1, max_size=60).map("q{}".format),
        st.text(" xy,\n", max_size=60),
        st.integers(0, 2),
    ),
    max_size=14,
)


@settings(deadline=None, max_examples=60)
@given(
    TEXTS,
    st.integers(150, 500),
    st.sampled_from(
        [("llama2", "deepspeed-visualchat"), ("gpt2", "plain"), ("llama3", "chat"), ("llama2-chat", "chat")]
    ),
)
def test_exactly_those_go_that_leave_no_room(texts, limit, kinds):
    encoder, turns = prompt_encoder(limit, "drop", *kinds), turns_of(texts)
    first, text = one_by_one(encoder, turns, ASKED, 40)
    encoded = encoder.encode([*turns, ASKED], 40)
    assert encoded.num_turns_dropped == first
    assert encoded.input_ids.tolist() == text.input_ids.tolist()
    assert encoded.image_index.tolist() == text.image_index.tolist()


def too_long(encoder, asked, turns=()):
    with pytest.raises(TooLongError) as caught:
        encoder.encode([*turns, asked], 40)
    return caught.value


@pytest.mark.parametrize("overflow", ["refuse", "drop"])
def test_the_advice_is_to_make_less_of_what_takes_the_room(overflow):
    encoder = prompt_encoder(200, overflow)
    assert too_long(encoder, Turn([], "word " * 500, "", 0)).hint == "ask with a shorter text"
    assert too_long(encoder, Turn(list(range(1, 20)), "What?", "", 0)).hint == "ask with fewer images"
    both = too_long(encoder, Turn([1, 2], "word " * 500, "", 0))
    assert both.hint == "ask with a shorter text, or with fewer images"
    assert "32 of them for 2 images" in both.message


def test_a_conversation_that_is_too_long_is_refused_with_all_of_its_length():
    error = too_long(prompt_encoder(200, "refuse"), ASKED, turns_of([("What?", "word " * 300, 0)]))
    assert "the conversation with this question takes" in error.message
    assert "old rounds be dropped" in error.hint


def test_an_image_is_a_question_and_nothing_is_none():
    encoder = prompt_encoder(200, "refuse")
    assert encoder.encode([Turn([1], "", "", 0)], 40).num_images == 1
    for nothing in ("", " \n"):
        with pytest.raises(SessionError, match="the question is empty"):
            encoder.encode([Turn([], nothing, "", 0)], 40)
