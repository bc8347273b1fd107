"""Servers on this machine for what lies behind a URL: a web server that can misbehave on demand, and a bucket."""

import threading
import time
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import boto3
import fsspec
from moto.server import ThreadedMotoServer


class Handler(SimpleHTTPRequestHandler):
    """Serves a folder; ``server.faults[name]`` lists what goes wrong with the next requests for a file of that name.

    A fault is a status, ``"cut"`` (half of the body), ``"wrong"`` (one byte changed), ``"long"`` (more than there is),
    ``"stall"`` (the second half comes when ``server.go_on`` is set) or ``"silent"`` (it never comes).
    """

    def log_message(self, *words):
        pass

    def list_directory(self, path):
        if self.server.lists:
            return super().list_directory(path)
        return self.send_error(self.server.refusal)

    def do_GET(self):
        path = Path(self.translate_path(self.path))
        span = self.headers.get("Range") if self.server.ranges else None
        self.server.asked.append((path.name, span))
        self.server.paths.append(self.path)
        if path.is_dir():
            return super().do_GET()
        faults = self.server.faults.get(path.name)
        fault = faults.pop(0) if faults else None
        if isinstance(fault, int) or not path.is_file():
            return self.send_error(fault or 404)
        return self.send_file(path.read_bytes(), span, fault)

    def send_file(self, data, span, fault):
        if span:
            first, last = (int(place) for place in span.removeprefix("bytes=").split("-"))
            part = data[first : last + 1]
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first}-{first + len(part) - 1}/{len(data)}")
            data = part
        else:
            self.send_response(200)
        half = len(data) // 2
        if fault == "wrong":
            data = data[:half] + bytes([data[half] ^ 1]) + data[half + 1 :]
        if fault == "long":
            data += b"more"
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data[:half])
        self.wfile.flush()
        if fault == "cut":
            self.close_connection = True
            return
        if fault in ("stall", "silent"):
            self.server.stalled.set()
            self.server.go_on.wait(20)
        if fault == "silent":
            return
        for start in range(half, len(data), 1 << 14):
            self.wfile.write(data[start : start + (1 << 14)])
            time.sleep(self.server.slowness)


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        """Say nothing of clients that were killed."""


@contextmanager
def serving(root, ranges=True, lists=False, refusal=404):
    """Serve a folder; a listing of it is refused with a status, unless ``lists``."""
    server = Server(("127.0.0.1", 0), partial(Handler, directory=str(root)))
    server.ranges, server.lists, server.refusal = ranges, lists, refusal
    server.asked, server.paths, server.faults, server.slowness = [], [], {}, 0
    server.go_on, server.stalled = threading.Event(), threading.Event()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.go_on.set()
        server.shutdown()
        thread.join()
        server.server_close()


def address(server, path=None) -> str:
    return f"http://127.0.0.1:{server.server_port}" + ("" if path is None else f"/{path}")


def asked_for(server, name):
    """Count the requests for a file."""
    return sum(asked == name for asked, _ in server.asked)


@contextmanager
def bucket(name="blends"):
    """Start a bucket; fsspec's s3 leads to it meanwhile."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    options = {"endpoint_url": f"http://{host}:{port}", "key": "key", "secret": "secret"}
    client = boto3.client(
        "s3",
        endpoint_url=options["endpoint_url"],
        aws_access_key_id="key",
        aws_secret_access_key="secret",
        region_name="us-east-1",
    )
    client.create_bucket(Bucket=name)
    fsspec.config.conf["s3"] = options
    try:
        yield client
    finally:
        del fsspec.config.conf["s3"]
        fsspec.get_filesystem_class("s3").clear_instance_cache()
        client.close()
        server.stop()


class Refusal(BaseHTTPRequestHandler):
    """Answers as S3 does to those who may not read."""

    def do_GET(self):
        words = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
        self.send_response(403)
        self.send_header("Content-Length", str(len(words)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(words)

    do_HEAD = do_GET

    def log_message(self, *words):
        pass


@contextmanager
def refusing_bucket():
    """Start a server of buckets that nobody may read; fsspec's s3 leads to it meanwhile."""
    server = Server(("127.0.0.1", 0), Refusal)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    before = fsspec.config.conf.get("s3")
    fsspec.config.conf["s3"] = {"endpoint_url": address(server), "key": "key", "secret": "secret"}
    fsspec.get_filesystem_class("s3").clear_instance_cache()
    try:
        yield
    finally:
        fsspec.config.conf.pop("s3")
        if before:
            fsspec.config.conf["s3"] = before
        fsspec.get_filesystem_class("s3").clear_instance_cache()
        server.shutdown()
        thread.join()
        server.server_close()


def upload(client, prefix, root, name="blends"):
    """Put a file, or all files of a folder, into a bucket; return the URL."""
    for path in sorted(root.rglob("*")) if root.is_dir() else [root]:
        if path.is_file():
            inside = path.relative_to(root).as_posix() if path != root else path.name
            client.put_object(Bucket=name, Key=f"{prefix}/{inside}", Body=path.read_bytes())
    return f"s3://{name}/{prefix}" + ("" if root.is_dir() else f"/{root.name}")
