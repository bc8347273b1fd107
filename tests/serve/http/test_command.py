"""``visualchat serve`` as a user types it."""

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from blender.core.errors import ServeError
from blender.serve.http.server import bind, url_of
from tests.serve.tiny_models import save_model

ENVIRONMENT = {"PATH": "/usr/bin:/bin", "COLUMNS": "100", "TERM": "dumb", "HOME": str(Path.home())}


def command(*arguments):
    return [sys.executable, "cli.py", "serve", *map(str, arguments)]


def refused(*arguments, code=1):
    done = subprocess.run(command(*arguments), capture_output=True, text=True, env=ENVIRONMENT, check=False)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_model(tmp_path_factory.mktemp("command"), positions=512)


def test_it_serves_until_ctrl_c(folder):
    options = ("--port", 0, "--name", "mine", "--api-key", "secret", "--max-new-tokens", 5)
    environment = {**ENVIRONMENT, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        command(folder, *options), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        try:
            line = process.stdout.readline()
            assert line.startswith("mine: http://127.0.0.1:"), process.stderr.read()
            url = line.split()[1]
            body = {"model": "mine", "messages": [{"role": "user", "content": "Hello"}]}
            head = {"Content-Type": "application/json", "Authorization": "Bearer secret"}
            request = urllib.request.Request(f"{url}v1/chat/completions", json.dumps(body).encode(), head)
            with urllib.request.urlopen(request) as answer:
                assert json.loads(answer.read())["usage"]["completion_tokens"] <= 5
            assert b"<title>mine: visualchat</title>" in urllib.request.urlopen(url).read()
        finally:
            process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
        assert "Traceback" not in process.stderr.read()


def test_a_port_in_use_is_told_before_the_model_is_loaded(folder):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        error = refused(folder, "--port", port)
    assert f"cannot listen at 127.0.0.1 port {port}: Address already in use" in error
    assert "hint: name another --port, or 0 for a free one" in error


def test_a_folder_of_another_kind_is_told(tmp_path):
    (tmp_path / "manifest.json").write_text("{}")
    assert "is a blend and no model" in refused(tmp_path, "--port", 0)


def test_options_out_of_range_are_wrong_usage():
    assert "--max-batch" in refused("model", "--max-batch", 0, code=2)


def test_an_address_that_is_not_ours_is_told():
    with pytest.raises(ServeError, match=r"cannot listen at 192\.0\.2\.1 port 0"):
        bind("192.0.2.1", 0)
    with pytest.raises(ServeError, match="there is no address nowhere.invalid"):
        bind("nowhere.invalid", 0)


def test_addresses_of_either_kind_are_written_as_a_browser_takes_them():
    with bind("127.0.0.1", 0) as taken:
        assert url_of(taken) == f"http://127.0.0.1:{taken.getsockname()[1]}/"
    if socket.has_ipv6 and os.path.exists("/proc/net/if_inet6"):  # noqa: PTH110
        with bind("::1", 0) as taken:
            assert url_of(taken) == f"http://[::1]:{taken.getsockname()[1]}/"
