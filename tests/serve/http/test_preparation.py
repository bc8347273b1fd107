"""Preparing requests in processes that can be killed."""

import asyncio
import json
import time

import pytest

from blender.serve.http.app import _preparer
from blender.serve.http.faults import RequestError
from blender.serve.http.preparation import MissingImages, Preparation, PreparedRequest, user_of
from blender.serve.http.preparing import Conversations
from blender.serve.http.settings import Settings
from tests import coroutines
from tests.serve.http.conftest import picture, said, shown


def request_of(*parts, **more):
    return json.dumps({"model": "tiny", "messages": [{"role": "user", "content": list(parts)}], **more}).encode()


#: tokenising this takes seconds
LONG = request_of(said("word and another one, " * 400_000))
SHORT = request_of(*shown(picture(1)), said("What is this?"))


@pytest.fixture(scope="module")
def preparer(loaded):
    return _preparer(loaded, Settings())


@pytest.fixture(scope="module")
def preparation(preparer):
    made = Preparation(preparer, seconds=0.5)
    made.start()
    yield made
    made.close()


def prepare(preparation, body, seconds=60.0):
    return coroutines.run(preparation.prepare(body, {}, "somebody", seconds))


def test_a_prompt_is_that_of_a_session(preparation, loaded):
    prepared = prepare(preparation, SHORT)
    assert isinstance(prepared, PreparedRequest)
    session = Conversations(loaded, 0, "refuse").lend(prepared.asked)
    usual, _ = session._prepare(prepared.asked.question, prepared.asked.images, prepared.asked.sampling)
    ready, _ = session._prepare(prepared.asked.question, prepared.asked.images, prepared.asked.sampling, prepared.ready)
    assert usual.prompt.text.input_ids.tolist() == ready.prompt.text.input_ids.tolist()
    assert usual.prompt.text.image_index.tolist() == ready.prompt.text.image_index.tolist()
    assert usual.prompt.pixels.equal(ready.prompt.pixels)


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
        tasks = [preparation.prepare(LONG, {}, "greedy", 60) for _ in range(preparation.num_workers)]
        return await asyncio.gather(*tasks, return_exceptions=True)

    assert all(isinstance(one, RequestError) for one in coroutines.run(hang()))
    assert isinstance(prepare(preparation, SHORT), PreparedRequest)


def test_who_gives_up_waiting_has_nothing_go_on(preparer):
    preparation = Preparation(preparer, seconds=60)
    preparation.start()

    async def give_up():
        await preparation.prepare(SHORT, {}, "a", 60)
        tasks = [asyncio.ensure_future(preparation.prepare(LONG, {}, "a", 60)) for _ in range(preparation.num_workers)]
        await asyncio.sleep(0.3)
        for task in tasks:
            task.cancel()
        begun = time.monotonic()
        await preparation.prepare(SHORT, {}, "a", 60)
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
    allowed = _preparer(loaded, Settings(allow_url=True))
    part = {"type": "image_url", "image_url": {"url": "https://example.org/a.jpg"}}
    body = request_of(part, said("What?"))
    assert allowed.prepare(body, {}, "a") == MissingImages(
        (("https://example.org/a.jpg", "messages[0].content[0].image_url"),)
    )
    prepared = allowed.prepare(body, {"https://example.org/a.jpg": picture(1)}, "a")
    assert prepared.asked.images == (picture(1),)


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
