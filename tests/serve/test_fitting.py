"""Prompts that fit: which rounds go, and what it costs to find out."""

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blender.core.errors import SessionError
from blender.data.template import TEMPLATES
from blender.encoding.chat import make_chat_template
from blender.encoding.encoder import TextEncoder, make_text_encoder
from blender.serve.fitting import Fitter, Round, TooLongError
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


def fitter(limit, overflow="drop", kind="llama2", template="deepspeed-visualchat"):
    chats = template == "chat"
    tokenizer = chatting(kind) if chats else tiny_tokenizer(kind)
    plain = make_text_encoder(tokenizer, IMAGE_POSITIONS)
    encoder = CountingEncoder(**{field.name: getattr(plain, field.name) for field in dataclasses.fields(plain)})
    object.__setattr__(encoder, "counts", [0, 0])
    rendered = make_chat_template(tokenizer) if chats else TEMPLATES[template]
    return Fitter(encoder, rendered, limit, overflow)


def rounds_of(texts):
    """Make rounds of questions, answers and numbers of images."""
    rounds, shown = [], 0
    for question, answer, num_images in texts:
        rounds.append(Round(tuple(range(shown + 1, shown + num_images + 1)), question, answer))
        shown += num_images
    return rounds


ASKED = Round((), "And now?", "")


@pytest.mark.parametrize("num_rounds", [250, 1_000, 4_000])
def test_the_work_does_not_grow_with_the_rounds_that_are_left_out(num_rounds):
    fitting = fitter(2_048)
    fitted = fitting.fit(rounds_of([("What is in it? " * 3, "A cat and a dog. " * 3, 0)] * num_rounds), ASKED, 100)
    calls, tokens = fitting.encoder.counts
    kept = num_rounds - fitted.num_rounds_dropped
    assert 2_048 - 100 - 120 < len(fitted.text) <= 2_048 - 100
    assert calls <= kept + 8
    assert tokens < 4 * 2_048


def test_a_conversation_that_fits_is_tokenised_once():
    fitting = fitter(2_048)
    assert fitting.fit(rounds_of([("What is it?", "A cat.", 1)] * 20), ASKED, 100).num_rounds_dropped == 0
    assert fitting.encoder.counts[0] == 1


def one_by_one(fitting, rounds, asked, num_new_tokens):
    """Leave out one round after the other, as long as there is no room: what fitting must come to."""
    room = min(num_new_tokens, max(1, fitting.limit // 4))
    for first in range(len(rounds) + 1):
        text = fitting.encode(rounds[first:], asked)
        if len(text) + room <= fitting.limit:
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
    fitting, rounds = fitter(limit, "drop", *kinds), rounds_of(texts)
    first, text = one_by_one(fitting, rounds, ASKED, 40)
    fitted = fitting.fit(rounds, ASKED, 40)
    assert fitted.num_rounds_dropped == first
    assert fitted.text.input_ids.tolist() == text.input_ids.tolist()
    assert fitted.text.image_index.tolist() == text.image_index.tolist()


def too_long(fitting, asked, rounds=()):
    with pytest.raises(TooLongError) as caught:
        fitting.fit(rounds, asked, 40)
    return caught.value


@pytest.mark.parametrize("overflow", ["refuse", "drop"])
def test_the_advice_is_to_make_less_of_what_takes_the_room(overflow):
    fitting = fitter(200, overflow)
    assert too_long(fitting, Round((), "word " * 500, "")).hint == "ask with a shorter text"
    assert too_long(fitting, Round(tuple(range(1, 20)), "What?", "")).hint == "ask with fewer images"
    both = too_long(fitting, Round((1, 2), "word " * 500, ""))
    assert both.hint == "ask with a shorter text, or with fewer images"
    assert "2 images take 32 of them" in both.message


def test_a_conversation_that_is_too_long_is_refused_with_all_of_its_length():
    error = too_long(fitter(200, "refuse"), ASKED, rounds_of([("What?", "word " * 300, 0)]))
    assert "the conversation with this question takes" in error.message
    assert "old rounds be dropped" in error.hint


def test_an_image_is_a_question_and_nothing_is_none():
    fitting = fitter(200, "refuse")
    assert fitting.fit([], Round((1,), "", ""), 40).text.num_images == 1
    for nothing in ("", " \n"):
        with pytest.raises(SessionError, match="the question is empty"):
            fitting.fit([], Round((), nothing, ""), 40)
