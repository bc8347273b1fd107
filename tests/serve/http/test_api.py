"""The API, as OpenAI's own client uses it."""

import asyncio
import base64
import functools
import http.client
import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from urllib.parse import urlsplit

import openai
import pytest
from PIL import Image

from blender.serve.http import service
from blender.serve.http.fetching import fetch_image
from blender.serve.http.settings import RequestLimits
from blender.serve.sampling import Sampling
from blender.serve.session import Session
from tests.serve.http.conftest import data_url, picture, said, shown


def client_of(server, kind=openai.OpenAI, **options):
    return kind(base_url=f"{server.url}v1", api_key="none", max_retries=0, **options)


@pytest.fixture
def client(served):
    with client_of(served) as client:
        yield client


def user(*parts):
    return {"role": "user", "content": parts[0] if len(parts) == 1 and isinstance(parts[0], str) else list(parts)}


def assistant(text):
    return {"role": "assistant", "content": text}


def ask(client, *messages, **more):
    return client.chat.completions.create(
        model="tiny", messages=list(messages), **{"temperature": 0, "max_tokens": 12, **more}
    )


def test_an_answer_is_the_one_a_session_gives(client, loaded):
    made = ask(client, user(*shown(picture(1), picture(2)), said("What differs?")))
    session = Session(loaded)
    expected = session.ask("What differs?", [picture(1), picture(2)], sampling=Sampling(max_new_tokens=12))
    assert made.choices[0].message.content == expected.text
    assert made.choices[0].finish_reason == "length"
    assert made.model == "tiny"
    assert made.usage.prompt_tokens == expected.num_prompt_tokens
    assert made.usage.completion_tokens == 12
    assert made.usage.total_tokens == expected.num_prompt_tokens + 12
    # each image takes 16 positions
    assert made.usage.prompt_tokens > ask(client, user("What differs?")).usage.prompt_tokens + 2 * 16


def test_pieces_of_a_stream_are_the_answer(client):
    question = user(*shown(picture(5)), said("Hello"))
    whole = ask(client, question)
    stream = ask(client, question, stream=True, stream_options={"include_usage": True})
    pieces = list(stream)
    text = "".join(piece.choices[0].delta.content or "" for piece in pieces if piece.choices)
    assert text == whole.choices[0].message.content
    assert pieces[0].choices[0].delta.role == "assistant"
    assert pieces[-2].choices[0].finish_reason == "length"
    assert len({piece.id for piece in pieces}) == 1
    assert (pieces[-1].choices, pieces[-1].usage.total_tokens) == ([], whole.usage.total_tokens)
    assert all(piece.usage is None for piece in ask(client, question, stream=True))


def test_the_asynchronous_client_works_as_well(served):
    async def talk():
        async with client_of(served, openai.AsyncOpenAI) as client:
            whole = await ask(client, user("Hello"))
            pieces = [piece async for piece in await ask(client, user("Hello"), stream=True)]
            return whole.choices[0].message.content, "".join(p.choices[0].delta.content or "" for p in pieces)

    # in a thread of its own: a browser of other tests may have a loop running in this one
    with ThreadPoolExecutor(max_workers=1) as thread:
        whole, streamed = thread.submit(lambda: asyncio.run(talk())).result()
    assert whole == streamed


def test_rounds_go_on_and_are_not_computed_twice(client):
    opening = user(*shown(picture(11)), said("What is this?"))
    first = ask(client, opening)
    history = [opening, first.choices[0].message]
    second = ask(client, *history, user(*shown(picture(12)), said("And image 2?")))
    assert second.usage.prompt_tokens_details.cached_tokens >= first.usage.prompt_tokens
    assert second.usage.prompt_tokens > first.usage.total_tokens + 16


def test_a_seed_gives_the_same_answer_again_and_none_another(client):
    def text(**more):
        return ask(client, user("Hello"), temperature=1.5, max_tokens=40, **more).choices[0].message.content

    assert text(seed=3) == text(seed=3) != text(seed=4)
    assert text() != text()
    # the likeliest token alone
    greedy = ask(client, user("Hello"), max_tokens=40).choices[0].message.content
    assert text(seed=5, extra_body={"top_k": 1}) == text(seed=6, top_p=1e-6) == greedy


def test_a_stop_text_ends_the_answer_and_is_not_in_it(client):
    whole = ask(client, user("Hello"), max_tokens=60).choices[0].message.content
    stop = whole[len(whole) // 2 :][:3]
    cut = ask(client, user("Hello"), max_tokens=60, stop=[stop, "never said"])
    assert cut.choices[0].message.content == whole[: whole.index(stop)].rstrip()
    assert cut.choices[0].finish_reason == "stop"


def test_models_are_listed(client, loaded):
    assert [model.id for model in client.models.list()] == ["tiny"]
    assert client.models.retrieve("tiny").max_model_len == loaded.max_tokens
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("other")


def hundred_megapixels():
    content = BytesIO()
    Image.new("1", (10_000, 10_000)).save(content, "PNG")
    return content.getvalue()


@pytest.mark.parametrize(
    ("messages", "words", "param"),
    [
        ([user("  ")], "the question is empty", "messages"),
        ([user("")], "the question is empty", "messages"),
        ([user()], "the question is empty", "messages"),
        ([{"role": "user", "content": None}], "the question is empty: message 0 has no text", "messages"),
        ([user(" "), assistant("b"), user("c")], "the question is empty: message 0 has no text", "messages"),
        ([{"role": "system", "content": "x"}], "last message must be the user's", "messages"),
        ([assistant("a"), user("b")], "message 0 is the assistant's: a conversation begins", "messages[0].role"),
        (
            [{"role": "tool", "content": "x", "tool_call_id": "y"}, user("a")],
            "messages[0].role is none of the roles",
            "messages[0].role",
        ),
        ([{"role": "human", "content": "x"}], "messages[0].role is none of the roles", "messages[0].role"),
        ([{**user("a"), "name": "Ann"}], "this model cannot do what messages[0].name asks for", "messages[0].name"),
        (
            [user({"type": "input_audio", "input_audio": {"data": "", "format": "wav"}})],
            "a part of a message is a text",
            "messages[0].content[0]",
        ),
        ([assistant("x")], "last message must be the user's", "messages"),
        ([user("a"), assistant("b")], "last message must be the user's", "messages"),
        ([user("a"), {"role": "system", "content": "b"}, user("c")], "may only stand first", "messages[1].role"),
        ([user("a"), assistant(shown(picture(1))), user("c")], "only the user can", "messages[1].content"),
        (
            [user(*shown(b"no image"), said("What?"))],
            "image 1 cannot be read: it is no JPEG",
            "messages[0].content[0].image_url",
        ),
        ([user(*shown(picture(1, (400, 300))[:900]), said("What?"))], "image 1 cannot be read", "messages"),
        (
            [user(*shown(picture(1), hundred_megapixels()), said("What?"))],
            "image 2 has 10,000 x 10,000 pixels",
            "messages[0].content[1].image_url",
        ),
        ([user(*shown(*[picture(1)] * 50), said("What?"))], "has 50 images, and 16 are allowed", "messages"),
        (
            [user({"type": "image_url", "image_url": {"url": "http://example.org/a.jpg"}}, said("What?"))],
            "images from the web are not allowed",
            "messages[0].content[0].image_url",
        ),
        ([user("word " * 3_000)], "the model has room for 2,048", "messages"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_what_cannot_be_asked_is_refused_in_a_sentence(client, messages, words, param, stream):
    with pytest.raises(openai.BadRequestError) as caught:
        ask(client, *messages, stream=stream)
    assert words in caught.value.message
    assert caught.value.param == param
    assert caught.value.type == "invalid_request_error"
    assert caught.value.code


def prompt(client, *messages):
    """Return what is asked, in tokens, by the length that is told of it."""
    return ask(client, *messages, max_tokens=1).usage.prompt_tokens


def test_questions_in_a_row_are_one_and_so_are_answers(client):
    joined = ask(client, user("What is it?"), user("And why?"))
    assert joined.choices[0].message.content == ask(client, user("What is it?\nAnd why?")).choices[0].message.content
    apart = user("a"), assistant("b"), assistant("c"), user(*shown(picture(1))), user("d")
    whole = user("a"), assistant("b\nc"), user(*shown(picture(1)), said("d"))
    assert prompt(client, *apart) == prompt(client, *whole)


def test_an_image_alone_can_be_asked_about(client, loaded):
    made = ask(client, user(*shown(picture(1))))
    expected = Session(loaded).ask("", [picture(1)], sampling=Sampling(max_new_tokens=12))
    assert made.choices[0].message.content == expected.text
    assert ask(client, user(*shown(picture(1))), made.choices[0].message, user("Why?")).usage.prompt_tokens > 32


def test_images_between_texts_stay_there_by_name(client, loaded):
    parts = [said("Compare "), *shown(picture(2)), said(" with "), *shown(picture(3)), said(".")]
    made = ask(client, user(*shown(picture(1)), said("What?")), assistant("A cat."), user(*parts))
    session = Session(loaded)
    session.record("What?", "A cat.", [picture(1)])
    asked = "Compare image 2 with image 3.", [picture(2), picture(3)]
    assert made.choices[0].message.content == session.ask(*asked, sampling=Sampling(max_new_tokens=12)).text


def test_too_long_a_text_is_told_to_be_shorter(client):
    with pytest.raises(openai.BadRequestError) as caught:
        ask(client, user("word " * 3_000))
    assert "ask with a shorter text" in caught.value.message
    assert "images" not in caught.value.message


def test_too_long_a_conversation_has_openai_s_code(client):
    with pytest.raises(openai.BadRequestError) as caught:
        ask(client, user("word " * 3_000))
    assert caught.value.code == "context_length_exceeded"


def test_options_out_of_range_are_refused(client):
    for option in ({"temperature": -1}, {"max_tokens": 401}, {"max_completion_tokens": 10**9}, {"n": 2}):
        with pytest.raises(openai.BadRequestError) as caught:
            ask(client, user("Hello"), **option)
        assert caught.value.param in option


def test_other_models_and_paths_are_not_found(client, served):
    with pytest.raises(openai.NotFoundError, match="the model is called 'tiny'"):
        client.chat.completions.create(model="other", messages=[user("Hello")])
    with pytest.raises(openai.NotFoundError):
        client.embeddings.create(model="tiny", input="x")
    connection = http.client.HTTPConnection(urlsplit(served.url).netloc)
    connection.request("DELETE", "/v1/models")
    answer = connection.getresponse()
    assert (answer.status, json.loads(answer.read())["error"]["code"]) == (405, None)
    connection.close()


def test_old_rounds_are_dropped_where_that_is_allowed(serve):
    server = serve(overflow="drop")
    messages = [message for _ in range(8) for message in (user("word " * 300), assistant("x"))]
    with client_of(server) as client:
        made = ask(client, *messages, user("And now?"))
        pieces = list(ask(client, *messages, user("And now?"), stream=True))
    assert made.rounds_dropped > 0
    assert pieces[-1].rounds_dropped == made.rounds_dropped


def test_a_body_that_is_too_large_is_refused_and_its_sender_reads_why(serve):
    server = serve(RequestLimits(body=100_000))
    with client_of(server) as client, pytest.raises(openai.APIStatusError) as caught:
        ask(client, user("x" * 5_000_000))
    assert (caught.value.status_code, caught.value.code) == (413, "request_too_large")

    def pieces():
        yield from [b"x" * 60_000] * 3

    # no length is told beforehand
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc)
    connection.request(
        "POST", "/v1/chat/completions", pieces(), {"Content-Type": "application/json"}, encode_chunked=True
    )
    assert connection.getresponse().status == 413
    connection.close()


def test_too_many_at_once_are_told_when_to_come_again(serve):
    server = serve(RequestLimits(queue=1, batch=1, new_tokens=1_500))
    results = []
    threads = [
        threading.Thread(target=lambda: results.append(server.ask(temperature=0, max_tokens=300))) for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    refused = [(headers, body) for status, headers, body in results if status == 429]
    assert sorted({status for status, _, _ in results}) == [200, 429]
    assert len(refused) >= 2
    for headers, body in refused:
        assert int(headers["Retry-After"]) >= 1
        assert body["error"]["code"] == "rate_limit_exceeded"
    # the places are free again
    assert server.ask(max_tokens=2)[0] == 200


def test_a_client_that_hangs_up_stops_its_answer(serve):
    server = serve(RequestLimits(new_tokens=1_900))
    for stream in (True, False):
        before = server.metric("answers_total")
        body = {"model": "tiny", "messages": [user("Hello")], "stream": stream, "temperature": 0}
        connection = http.client.HTTPConnection(urlsplit(server.url).netloc)
        connection.request("POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"})
        if stream:
            answer = connection.getresponse()
            answer.read(300)
            answer.close()
        else:
            server.wait(lambda: server.metric("running") == 1)
        connection.sock and connection.sock.shutdown(socket.SHUT_RDWR)
        connection.close()
        server.wait(lambda b=before: server.metric("answers_total") == b + 1)
        assert server.metric("running") == 0
    metrics = server.get("metrics")
    assert 'visualchat_answers_total{finish="cancelled"} 2.0' in metrics
    assert server.metric("generated_tokens_total") < 2 * 1_900


def test_an_answer_that_takes_too_long_ends_with_what_there_is(serve):
    server = serve(RequestLimits(seconds=1, new_tokens=1_900))
    server.ask(max_tokens=2)
    status, _, body = server.ask(temperature=0)
    assert status == 200
    assert body["choices"][0]["finish_reason"] == "length"
    assert 0 < body["usage"]["completion_tokens"] < 1_900


def test_clients_take_turns(serve):
    server = serve(RequestLimits(batch=1, queue=40))
    order = []

    def run(name):
        status, _, _ = server.ask(user=name, temperature=0, max_tokens=60)
        order.append((name, status))

    threads = [threading.Thread(target=run, args=("greedy",)) for _ in range(10)]
    for thread in threads:
        thread.start()
    server.wait(lambda: server.metric("waiting") >= 6)
    modest = threading.Thread(target=run, args=("modest",))
    modest.start()
    for thread in (*threads, modest):
        thread.join()
    assert {status for _, status in order} == {200}
    # one was running, one may have been taken meanwhile
    assert [name for name, _ in order].index("modest") <= 6


def test_health_and_metrics_tell_what_goes_on(served):
    assert json.loads(served.get("health")) == {"status": "ok", "model": "tiny", "waiting": 0, "running": 0}
    before = served.metric("prompt_tokens_total")
    _, _, body = served.ask(max_tokens=3)
    assert served.metric("prompt_tokens_total") - before == body["usage"]["prompt_tokens"]
    metrics = served.get("metrics")
    for name in ("requests_total", "wait_seconds_bucket", "first_text_seconds_sum", "batch_size_count", "waiting"):
        assert f"visualchat_{name}" in metrics
    assert "process_resident_memory_bytes" in metrics
    assert 'path="other"' not in metrics or "/nothing" not in metrics


def test_a_bug_of_ours_is_told_without_its_insides(serve, monkeypatch, caplog):
    server = serve()

    kind = type(server.loaded.model)

    @functools.wraps(kind.forward)
    def broken(*arguments, **options):
        raise RuntimeError("secret path")

    monkeypatch.setattr(kind, "forward", broken)
    status, _, body = server.ask()
    assert (status, body["error"]["type"]) == (500, "server_error")
    assert "secret" not in json.dumps(body)
    assert "secret path" in caplog.text


def test_images_from_the_web_are_fetched_where_that_is_allowed(serve):
    server = serve(allow_url=True)
    part = {"type": "image_url", "image_url": {"url": "http://localhost:8009/a.jpg"}}
    with client_of(server) as client, pytest.raises(openai.BadRequestError) as caught:
        ask(client, user(part, said("What?")))
    assert "not on the public internet" in caught.value.message
    assert caught.value.param == "messages[0].content[0].image_url"


@pytest.fixture
def photos(monkeypatch):
    """A server of pictures on this machine, which may be asked here."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            if self.path == "/slow":
                over.wait(20)
            self.wfile.write(picture(1, (100, 100), "BMP"))

        def log_message(self, *_):
            pass

    over = threading.Event()
    monkeypatch.setattr(service, "fetch_image", functools.partial(fetch_image, allowed=lambda _: True))
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as source:
        threading.Thread(target=source.serve_forever, daemon=True).start()
        yield [
            {"type": "image_url", "image_url": {"url": f"http://127.0.0.1:{source.server_port}/{name}"}}
            for name in ("a", "b", "slow")
        ]
        over.set()
        source.shutdown()


def test_fetched_images_are_no_larger_together_than_a_body_may_be(serve, photos):
    with client_of(serve(RequestLimits(body=40_000), allow_url=True)) as client:
        assert ask(client, user(photos[0], said("What?"))).usage.prompt_tokens > 16
        with pytest.raises(openai.BadRequestError, match="more than the 40,000 bytes that a request may have"):
            ask(client, user(*photos[:2], said("What?")))


def test_fetching_ends_at_the_deadline(serve, photos):
    begun = time.monotonic()
    server = serve(RequestLimits(seconds=1), allow_url=True)
    status, _, body = server.ask([photos[2], said("What?")])
    assert (status, body["error"]["code"]) in ((503, "timeout"), (400, "invalid_image_url"))
    assert time.monotonic() - begun < 10


def test_a_png_and_a_jpeg_of_any_case_are_taken(client):
    url = "DATA:image/PNG;BASE64," + base64.b64encode(picture(1, kind="PNG")).decode()
    part = {"type": "image_url", "image_url": {"url": url, "detail": "high"}}
    assert ask(client, user(part, said("What?"))).usage.prompt_tokens > 16
    assert data_url(b"x").startswith("data:image/jpeg")


def test_an_idle_reader_of_a_stream_blocks_nobody(serve):
    server = serve(RequestLimits(new_tokens=300))
    body = json.dumps({"model": "tiny", "messages": [user("Hello")], "stream": True, "temperature": 0}).encode()
    address = urlsplit(server.url)
    with socket.create_connection((address.hostname, address.port)) as idle:
        head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: {address.netloc}\r\nContent-Type: application/json\r\n"
        idle.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        begun = time.monotonic()
        assert server.ask(max_tokens=2)[0] == 200
        assert time.monotonic() - begun < 30
