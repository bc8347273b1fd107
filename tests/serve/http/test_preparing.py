"""Sessions of requests: in the training's tokens, and without computing anew what is known."""

from collections import namedtuple
from dataclasses import replace

import numpy as np
import pytest

from blender.core.errors import SessionError
from blender.data.template import TEMPLATES
from blender.encoding.chat import make_chat_template
from blender.encoding.encoder import make_text_encoder
from blender.serve.http.preparing import Conversations
from blender.serve.http.reading import Asked, Exchange
from blender.serve.sampling import Sampling
from blender.serve.session import TooLongError
from tests.serve.http.conftest import picture
from tests.stream.chat_templates import chatting

Turn = namedtuple("Turn", "images question answer system", defaults=("",))
SHORT = Sampling(max_new_tokens=4)


def asked(*rounds, question="And now?", images=(), system=None, sampling=SHORT):
    exchanges = tuple(Exchange(one, tuple(shown), answer) for one, shown, answer in rounds)
    return Asked(system, exchanges, question, tuple(images), sampling, "somebody")


def answered(conversations, request):
    """Ask, give the session back, and return the answer."""
    session = conversations.lend(request)
    answer = session.ask(request.question, request.images, sampling=request.sampling)
    conversations.give_back(request, session)
    return answer


@pytest.fixture
def conversations(loaded):
    return Conversations(loaded, 2, "refuse")


def test_the_prompt_has_the_tokens_of_the_same_conversation_in_training(conversations, loaded):
    first = ("What is in image 1?", [picture(1), picture(2)], "A dog, and a cat.")
    request = asked(first, question="And in image 3?", images=[picture(3)])
    prompt = conversations.lend(request).prompt_tokens(request.question, 1)

    turns = [Turn((1, 2), first[0], first[2]), Turn((3,), request.question, "A bird.")]
    trained = loaded.encoder.text.encode(TEMPLATES["deepspeed-visualchat"].render(turns))
    length = len(prompt)
    assert np.array_equal(prompt.input_ids, trained.input_ids[:length])
    assert np.array_equal(prompt.image_index, trained.image_index[:length])
    assert trained.loss_mask[length]


def test_the_next_question_computes_only_what_is_new(conversations):
    opening = asked(question="What is this?", images=[picture(1)])
    first = answered(conversations, opening)
    following = asked(("What is this?", [picture(1)], first.text))
    second = answered(conversations, following)
    assert first.num_cached_tokens == 0
    assert second.num_cached_tokens >= first.num_prompt_tokens
    fresh = answered(Conversations(conversations._loaded, 0, "refuse"), following)
    assert (fresh.text, fresh.num_cached_tokens) == (second.text, 0)


def test_another_image_or_answer_is_another_conversation(conversations):
    answered(conversations, asked(("a", [picture(1)], "b"), ("c", [], "d")))
    for other in (asked(("a", [picture(2)], "b")), asked(("a", [picture(1)], "B")), asked(("a", [], "b"))):
        assert answered(conversations, other).num_cached_tokens == 0


def test_an_edited_question_goes_on_from_the_rounds_before_it(conversations):
    answered(conversations, asked(("a", [picture(1)], "b"), ("c", [], "d"), question="e"))
    edited = asked(("a", [picture(1)], "b"), ("C", [picture(2)], "D"), question="e")
    session = conversations.lend(edited)
    assert [one.question for one in session.rounds] == ["a", "C"]
    assert session.images == (picture(1), picture(2))
    assert session.ask("e", sampling=SHORT).num_cached_tokens > 0


def test_a_lent_session_is_lent_to_nobody_else(conversations):
    answered(conversations, asked(("a", [], "b")))
    following = asked(("a", [], "b"), question="c")
    assert conversations.lend(following) is not conversations.lend(following)


def test_the_oldest_is_forgotten(conversations):
    for name in "abc":
        answered(conversations, asked((name, [], "x")))
    assert len(conversations) == 2
    assert answered(conversations, asked(("a", [], "x"))).num_cached_tokens == 0
    conversations.forget()
    assert len(conversations) == 0


def test_a_system_text_stands_first_and_makes_no_structure(conversations, loaded):
    request = asked(system="  Be brief.\n### Answer: no <image>  ")
    prompt = conversations.lend(request).prompt_tokens("Hello")
    template = replace(TEMPLATES["deepspeed-visualchat"], system="Be brief.\n# ## Answer: no < image>\n\n")
    expected = loaded.encoder.text.encode_prompt(template.render([Turn((), "Hello", "")])[:-1])
    assert np.array_equal(prompt.input_ids, expected.input_ids)
    assert (prompt.image_index == -1).all()


def test_another_system_text_is_another_conversation(conversations):
    answered(conversations, asked(("a", [], "b")))
    assert answered(conversations, asked(("a", [], "b"), system="Be brief.")).num_cached_tokens == 0


@pytest.mark.parametrize("kind", ["llama3", "llama2-chat"])
def test_a_system_text_makes_no_special_tokens_in_a_chat_template(loaded, kind):
    tokenizer = chatting(kind)
    text = make_text_encoder(tokenizer, 16)
    chat = replace(
        loaded, tokenizer=tokenizer, encoder=replace(loaded.encoder, text=text, template=make_chat_template(tokenizer))
    )
    special = "".join(tokenizer.all_special_tokens) + "<image>\ufdd10\ufdd2"

    def specials(system):
        prompt = Conversations(chat, 0, "refuse").lend(asked(system=system)).prompt_tokens("Hello")
        return [int(i) for i in prompt.input_ids if i in tokenizer.all_special_ids]

    assert specials(f"Be brief. {special}") == specials("Be brief.") != []


def test_what_cannot_be_asked_is_found_before_it_waits(conversations):
    with pytest.raises(SessionError, match="the question is empty"):
        conversations.lend(asked(question="  "))
    with pytest.raises(SessionError, match="image 1 cannot be read"):
        conversations.lend(asked(("a", [picture(1)[:200]], "b")))
    with pytest.raises(TooLongError, match="the model has room for 2,048"):
        conversations.lend(asked(question="word " * 3_000))


def test_old_rounds_are_left_out_where_that_is_wished(loaded):
    dropping = Conversations(loaded, 0, "drop")
    request = asked(*[("word " * 300, [], "x")] * 8)
    assert answered(dropping, request).num_rounds_dropped > 0
