import json

import pytest

from blender.serve.http.faults import RequestError
from blender.serve.http.schema import parse_request

ASK = {"model": "tiny", "messages": [{"role": "user", "content": "What?"}]}


def parsed(**more):
    return parse_request(json.dumps({**ASK, **more}).encode())


def refused(body):
    with pytest.raises(RequestError) as caught:
        parse_request(body if isinstance(body, bytes) else json.dumps(body).encode())
    assert caught.value.status == 400
    return caught.value


def test_a_text_is_one_part():
    parts = [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]
    assert parsed().messages[0].text == "What?"
    assert parsed(messages=[{"role": "user", "content": parts}]).messages[0].text == "one\ntwo"


def test_an_answer_can_be_sent_back_as_it_came():
    answer = {"role": "assistant", "content": "A dog.", "refusal": None, "annotations": [], "tool_calls": None}
    messages = [*ASK["messages"], answer, *ASK["messages"]]
    assert parsed(messages=messages).messages[1].text == "A dog."


def test_what_asks_for_nothing_is_taken():
    parsed(n=1, tools=None, logit_bias={}, frequency_penalty=0, presence_penalty=0.0, logprobs=False, seed=None)


@pytest.mark.parametrize(
    ("name", "value"),
    [("n", 2), ("tools", [{"type": "function"}]), ("logprobs", True), ("frequency_penalty", 0.5), ("n", True)],
)
def test_what_cannot_be_done_is_refused_by_name(name, value):
    fault = refused({**ASK, name: value})
    assert (fault.param, fault.code) == (name, "unsupported_parameter")


@pytest.mark.parametrize(
    ("more", "param", "code"),
    [
        ({"temprature": 1}, "temprature", "unknown_parameter"),
        ({"temperature": 3}, "temperature", "invalid_value"),
        ({"temperature": "hot"}, "temperature", "invalid_value"),
        ({"top_p": 0}, "top_p", "invalid_value"),
        ({"max_tokens": 0}, "max_tokens", "invalid_value"),
        ({"seed": 2**64}, "seed", "invalid_value"),
        ({"stop": ["a", ""]}, "stop[1]", "invalid_value"),
        ({"stop": list("abcde")}, "stop", "invalid_value"),
        ({"messages": []}, "messages", "invalid_value"),
        ({"messages": [{"content": "x"}]}, "messages[0].role", "missing_required_parameter"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].role", "invalid_value"),
        ({"messages": [{"role": "user", "content": [{"type": "audio"}]}]}, "messages[0].content[0]", "invalid_value"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]},
            "messages[0].content[0].image_url.url",
            "missing_required_parameter",
        ),
        ({"messages": [{"role": "user", "content": "x", "name": "me"}]}, "messages[0].name", "unsupported_parameter"),
    ],
)  # fmt: skip
def test_a_fault_is_told_with_its_place(more, param, code):
    fault = refused({**ASK, **more})
    assert (fault.param, fault.code) == (param, code)
    assert param in fault.message


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b'"x"', b"\xff\xfe", b'{"a":' * 5_000, b'{"model":"\\ud800"}']
)
def test_what_is_no_request_is_refused(body):
    refused(body)
