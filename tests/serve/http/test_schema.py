import json

import pytest

from blender.serve.http.request_errors import RequestError
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


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"temperature": "0.5"}, "temperature"),
        ({"temperature": True}, "temperature"),
        ({"max_tokens": "4"}, "max_tokens"),
        ({"max_tokens": 1.5}, "max_tokens"),
        ({"stream": "yes"}, "stream"),
        ({"stream": 1}, "stream"),
        ({"seed": "x"}, "seed"),
        ({"stop": 3}, "stop"),
        ({"stop": [None]}, "stop[0]"),
        ({"user": {}}, "user"),
        ({"model": None}, "model"),
        ({"messages": "hi"}, "messages"),
        ({"messages": ["hi"]}, "messages[0]"),
        ({"messages": [{"role": "user", "content": 3}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": ["hi"]}]}, "messages[0].content[0]"),
        ({"stream": True, "stream_options": []}, "stream_options"),
    ],
)
def test_a_value_of_a_wrong_type_is_refused_in_one_sentence(more, param):
    fault = refused({**ASK, **more})
    assert fault.param == param
    assert fault.message.startswith(f"{param} must be ")


@pytest.mark.parametrize("body", [b"null", b"[]", b"3", b'"hi"'])
def test_a_body_that_is_no_object_is_refused(body):
    assert refused(body).message == "the body must be a JSON object"


def test_a_part_without_a_type_lacks_its_type():
    fault = refused({**ASK, "messages": [{"role": "user", "content": [{"text": "hi"}]}]})
    assert (fault.message, fault.param) == ("messages[0].content[0].type is missing", "messages[0].content[0].type")


def test_options_of_streams_are_refused_without_a_stream():
    assert refused({**ASK, "stream_options": {"include_usage": True}}).param == "stream_options"
    assert parsed(stream=True, stream_options={"include_usage": True, "include_obfuscation": False}).stream


def test_a_name_from_strangers_is_shown_short_and_visible():
    assert refused({**ASK, "f" * 100_000: 1}).message == f"there is no parameter {'f' * 80}..."
    assert refused({**ASK, "a\x1b[31m": 1}).param == r"a\x1b[31m"
