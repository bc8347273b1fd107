import base64
import json
import threading
import time
import urllib.request
from contextlib import ExitStack, contextmanager
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from blender.serve.http.app import create_app
from blender.serve.http.server import Server, bind, url_of
from blender.serve.http.settings import RequestLimits, ServerSettings


def picture(seed=0, size=(40, 30), kind="JPEG"):
    """Return the file of a small picture."""
    pixels = np.random.default_rng(seed).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    content = BytesIO()
    Image.fromarray(pixels).save(content, kind)
    return content.getvalue()


def data_url(content, kind="image/jpeg"):
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def shown(*contents):
    """Return the parts of a message that shows pictures."""
    return [{"type": "image_url", "image_url": {"url": data_url(content)}} for content in contents]


def said(text):
    return {"type": "text", "text": text}


class Served:
    """A server that runs, and simple ways to ask it."""

    def __init__(self, url, loaded):
        self.url, self.loaded = url, loaded

    def get(self, path):
        with urllib.request.urlopen(self.url + path) as answer:
            return answer.read().decode()

    def metric(self, name):
        """Return the sum of a metric over its labels."""
        lines = [line for line in self.get("metrics").splitlines() if line.startswith(f"visualchat_{name}")]
        return sum(float(line.split()[-1]) for line in lines if line[len(f"visualchat_{name}")] in " {")

    def post(self, body, **headers):
        """Return status, headers and JSON of an answer."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(
            f"{self.url}v1/chat/completions", content, {"Content-Type": "application/json", **headers}
        )
        try:
            answer = urllib.request.urlopen(request)
        except urllib.error.HTTPError as error:
            answer = error
        with answer:
            return answer.status, answer.headers, json.loads(answer.read())

    def ask(self, question="What is this?", **more):
        return self.post({"model": "tiny", "messages": [{"role": "user", "content": question}], **more})

    def wait(self, is_so, seconds=20):
        """Wait until something holds."""
        deadline = time.monotonic() + seconds
        while not is_so():
            assert time.monotonic() < deadline, "it did not come to hold"
            time.sleep(0.02)


@pytest.fixture(scope="session")
def loaded(talkative):
    """The model that is served."""
    return talkative


@contextmanager
def running(loaded, settings):
    """Run a server in a thread."""
    ready = threading.Event()
    with bind("127.0.0.1", 0) as taken:
        server = Server(create_app(loaded, settings), taken, ready.set)
        thread = threading.Thread(target=server.serve_port)
        thread.start()
        assert ready.wait(20)
        try:
            yield Served(url_of(taken), loaded)
        finally:
            server.should_exit = True
            thread.join(20)


@pytest.fixture(scope="session")
def served(loaded):
    """A server that several tests ask."""
    with running(loaded, ServerSettings(limits=RequestLimits(new_tokens=400, kept=4))) as server:
        yield server


@pytest.fixture
def serve(loaded):
    """Run servers of one's own."""
    with ExitStack() as stack:
        yield lambda limits=None, **settings: stack.enter_context(
            running(loaded, ServerSettings(limits=limits or RequestLimits(), **settings))
        )
