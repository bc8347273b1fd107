"""Preparing requests in processes that can be killed."""

import asyncio
import json
import time
from dataclasses import replace

import numpy as np
import pytest

from blender.data.sample import Turn
from blender.data.template import TEMPLATES
from blender.encoding.chat import make_chat_template
from blender.encoding.encoder import make_text_encoder
from blender.serve.http.app import make_preparer
from blender.serve.http.preparation import MissingImages, PreparedRequest, user_of
from blender.serve.http.preparation_pool import PreparationPool
from blender.serve.http.request_errors import RequestError
from blender.serve.http.settings import ServerSettings
from blender.serve.sampling import Sampling
from blender.serve.session import Session
from tests import coroutines
from tests.serve.http.conftest import picture, said, shown
from tests.stream.chat_templates import CHAT_TEMPLATES, chatting


def request_of(*parts, **more):
    return json.dumps({"model": "tiny", "messages": [{"role": "user", "content": list(parts)}], **more}).encode()


WHO = ("somebody", "")
#: tokenising this takes seconds
LONG = request_of(said("word and another one, " * 400_000))
SHORT = request_of(*shown(picture(1)), said("What is this?"))


@pytest.fixture(scope="module")
def preparer(loaded):
    return make_preparer(loaded, ServerSettings())


@pytest.fixture(scope="module")
def preparation(preparer):
    made = PreparationPool(preparer, seconds=0.5)
    made.start()
    yield made
    made.close()


def prepare(preparation, body, seconds=60.0):
    return coroutines.run(preparation.prepare(body, {}, WHO, seconds))


def test_a_prompt_is_that_of_a_session(preparation, loaded):
    prepared = prepare(preparation, SHORT)
    assert isinstance(prepared, PreparedRequest)
    prompt, _ = Session(loaded).prepare("What is this?", [picture(1)], prepared.sampling)
    assert prepared.prompt.text.input_ids.tolist() == prompt.text.input_ids.tolist()
    assert prepared.prompt.text.image_index.tolist() == prompt.text.image_index.tolist()
    assert np.array_equal(prepared.prompt.pixels, prompt.pixels)
    assert prepared.prompt.digests == prompt.digests


def turn(question, images, answer):
    return [
        {"role": "user", "content": [*shown(*images), said(question)]},
        {"role": "assistant", "content": answer},
    ]


def prompt_of(loaded, *messages, question="And now?", images=(), **settings):
    """Return the prompt of a request."""
    last = {"role": "user", "content": [*shown(*images), said(question)]}
    body = json.dumps({"model": "tiny", "messages": [*messages, last]}).encode()
    return make_preparer(loaded, ServerSettings(**settings)).prepare(body, {}, WHO).prompt


def test_a_prompt_has_the_tokens_of_the_same_conversation_in_training(loaded):
    first = ("What is in image 1?", [picture(1), picture(2)], "A dog, and a cat.")
    prompt = prompt_of(loaded, *turn(*first), question="And in image 3?", images=[picture(3)]).text
    turns = [Turn([1, 2], first[0], first[2], 0), Turn([3], "And in image 3?", "A bird.", 0)]
    trained = loaded.encoder.text.encode(TEMPLATES["deepspeed-visualchat"].render(turns))
    length = len(prompt)
    assert np.array_equal(prompt.input_ids, trained.input_ids[:length])
    assert np.array_equal(prompt.image_index, trained.image_index[:length])
    assert trained.loss_mask[length]


def test_old_turns_are_dropped_with_their_images_where_that_is_allowed(loaded):
    turns = [message for _ in range(8) for message in turn("word " * 300, [picture(1)], "x")]
    prompt = prompt_of(loaded, *turns, images=[picture(2)], overflow="drop")
    assert prompt.text.num_turns_dropped > 0
    assert len(prompt.pixels) == len(prompt.digests) == prompt.text.num_images < 9


@pytest.mark.parametrize("kind", ["plain", *CHAT_TEMPLATES])
@pytest.mark.parametrize("system", ["Be brief.", "  Be brief.\n### Answer: no <image>  </s><|im_end|><|eot_id|> "])
def test_a_system_message_has_the_tokens_of_the_same_system_text_in_training(loaded, kind, system):
    template = TEMPLATES["deepspeed-visualchat"]
    if kind != "plain":
        tokenizer = chatting(kind)
        template = make_chat_template(tokenizer)
        encoder = replace(loaded.encoder, text=make_text_encoder(tokenizer, 16), template=template)
        loaded = replace(loaded, tokenizer=tokenizer, encoder=encoder)
    prompt = prompt_of(loaded, {"role": "system", "content": system}, question="Hello").text
    # sources strip system messages when they are read
    trained = loaded.encoder.text.encode(template.render([Turn([], "Hello", "Hi.", 0, system.strip())]))
    assert prompt.input_ids.tolist() == trained.input_ids[: len(prompt)].tolist()
    assert (prompt.image_index == -1).all()
    assert trained.loss_mask[len(prompt)] and not trained.loss_mask[: len(prompt)].any()


def test_what_takes_too_long_is_killed_and_others_go_on(preparation):
    begun = time.monotonic()
    with pytest.raises(RequestError, match=r"longer than 0.5 s to read: send smaller ones") as caught:
        prepare(preparation, LONG)
    assert caught.value.status == 400
    assert time.monotonic() - begun < 5
    assert isinstance(prepare(preparation, SHORT), PreparedRequest)


def test_the_time_of_the_whole_request_counts(preparation):
    with pytest.raises(RequestError, match="no time left") as caught:
        prepare(preparation, LONG, seconds=0.2)
    assert caught.value.status == 503


def test_all_of_them_hanging_at_once_are_replaced(preparation):
    async def hang():
        tasks = [preparation.prepare(LONG, {}, WHO, 60) for _ in range(preparation.num_workers)]
        return await asyncio.gather(*tasks, return_exceptions=True)

    assert all(isinstance(one, RequestError) for one in coroutines.run(hang()))
    assert isinstance(prepare(preparation, SHORT), PreparedRequest)


def test_who_gives_up_waiting_has_nothing_go_on(preparer):
    preparation = PreparationPool(preparer, seconds=60)
    preparation.start()

    async def give_up():
        await preparation.prepare(SHORT, {}, WHO, 60)
        tasks = [asyncio.ensure_future(preparation.prepare(LONG, {}, WHO, 60)) for _ in range(preparation.num_workers)]
        await asyncio.sleep(0.3)
        for task in tasks:
            task.cancel()
        begun = time.monotonic()
        await preparation.prepare(SHORT, {}, WHO, 60)
        return time.monotonic() - begun

    try:
        # the texts alone would take longer
        assert coroutines.run(give_up()) < 5
    finally:
        preparation.close()


def test_refusals_come_back_whole(preparation):
    with pytest.raises(RequestError) as caught:
        prepare(preparation, request_of(*shown(b"no image"), said("What?")))
    assert (caught.value.param, caught.value.code) == ("messages[0].content[0].image_url", "invalid_image")
    with pytest.raises(RequestError) as caught:
        prepare(preparation, request_of(said("a")).replace(b"tiny", b"other"))
    assert (caught.value.status, caught.value.param) == (404, "model")


def test_images_of_the_web_are_asked_for_first(loaded):
    allowed = make_preparer(loaded, ServerSettings(allow_url=True))
    part = {"type": "image_url", "image_url": {"url": "https://example.org/a.jpg"}}
    body = request_of(part, said("What?"))
    assert allowed.prepare(body, {}, WHO) == MissingImages(
        (("https://example.org/a.jpg", "messages[0].content[0].image_url"),)
    )
    prepared = allowed.prepare(body, {"https://example.org/a.jpg": picture(1)}, WHO)
    assert prepared.prompt.digests == Session(loaded).prepare("What?", [picture(1)], Sampling())[0].digests


@pytest.mark.parametrize(
    ("body", "user"),
    [
        (b'{"user": "a"}', "a"), (b'{"safety_identifier": "b", "user": "a"}', "b"), (b'{"user": null}', ""),
        (b"{}", ""), (b'{"user": 1}', ""), (b"[", ""), (b"[" * 100_000, ""), (b"\xff", ""),
        (b'{"user": "' + b"x" * 600 + b'"}', "x" * 512),
    ],
)  # fmt: skip
def test_the_user_is_read_without_the_rest(body, user):
    assert user_of(body) == user
