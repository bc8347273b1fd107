"""The server behind a page over a whole blend."""

import http.client
import io
import json
import socket
import struct
from urllib.parse import quote, urlencode

import pytest
from PIL import Image

from blender.core.errors import InspectionError
from blender.inspect import browse
from blender.inspect.browse import Browser
from blender.inspect.server import PageServer


def ask(server, path, host=None, method="GET"):
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=20)
    connection.request(method, path, headers={"Host": host} if host else {})
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, dict(answer.getheaders()), content


def found(server, **query):
    status, _, content = ask(server, f"/api/samples?{urlencode(query)}")
    assert status == 200
    return json.loads(content)


def keys(page):
    return [sample["key"] for sample in page["samples"]]


def test_pages_follow_each_other_and_hold_every_sample_once(server, blend):
    first = found(server)
    seen = [key for page in range(first["pages"]) for key in keys(found(server, page=page))]
    assert seen == [stored.sample.key for stored in blend]
    assert first["total"] == len(blend)
    assert len(keys(first)) == browse.PAGE


def test_filters_hold_together(server, blend):
    page = found(server, dataset="cgd", split="train", images=2)
    expected = [
        stored.sample.key
        for stored in blend
        if stored.sample.dataset == "cgd" and stored.split == "train" and len(stored.images) == 2
    ]
    assert keys(page) == expected[: browse.PAGE]
    assert page["total"] == len(expected)
    assert found(server, dataset="no such one")["total"] == 0


def test_a_search_holds_with_filters(server, blend):
    page = found(server, q="QUESTION 0 <script>", dataset="llava")
    texts = {
        stored.sample.key: str([(turn.question, turn.answer) for turn in stored.sample.turns]).lower()
        for stored in blend
        if stored.sample.dataset == "llava"
    }
    expected = [key for key, text in texts.items() if "question" in text and "0" in text and "<script>" in text]
    assert expected
    assert keys(page) == expected


def test_the_page_of_a_sample_can_be_asked_for(server, blend):
    last = blend[len(blend) - 1].sample.key
    page = found(server, at=last)
    assert last in keys(page)
    assert page["page"] == page["pages"] - 1
    assert not page["missing"]
    assert found(server, at="train-999999999")["missing"]
    assert found(server, at=blend[0].sample.key, q="nothing holds this")["missing"]


def test_one_sample_by_its_key(server, blend):
    stored = blend[3]
    status, _, content = ask(server, f"/api/sample/{stored.sample.key}")
    view = json.loads(content)
    assert status == 200
    text = "".join(words for turn in view["turns"] for _, words in turn["pieces"])
    assert text == "".join(span.text for span in stored.sample.spans)


def test_images_come_untouched_and_small_ones_small(server, blend):
    stored = next(one for one in blend if len(one.images) > 1)
    for number, expected in enumerate(stored.images, 1):
        path = f"/image/{stored.sample.key}/{number}"
        status, headers, content = ask(server, path)
        assert (status, headers["Content-Type"], content) == (200, "image/jpeg", expected)
        status, headers, content = ask(server, f"{path}?thumb")
        assert (status, headers["Content-Type"]) == (200, "image/webp")
        assert Image.open(io.BytesIO(content)).size == Image.open(io.BytesIO(expected)).size
        assert ask(server, f"{path}?thumb")[2] == content


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/samples?page=-1", 400),
        ("/api/samples?images=two", 400),
        ("/api/samples?page=99999999999999999999", 400),
        ("/api/sample/nobody", 404),
        ("/api/sample/", 404),
        ("/api", 404),
        ("/api/nothing", 404),
        ("/image/train-000000000/99", 404),
        ("/image/train-000000000/0", 404),
        ("/image/train-000000000/x", 400),
        (f"/image/{quote('../../manifest.json', safe='')}/1", 404),
        ("/../manifest.json", 404),
        ("/manifest.json", 404),
        ("/%00", 404),
    ],
)
def test_wrong_questions_are_told_so(server, path, status):
    given, headers, content = ask(server, path)
    assert given == status
    assert headers["Content-Type"] == "application/json"
    assert json.loads(content)["error"]


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "localhost.evil.example", ""]
)
@pytest.mark.parametrize("path", ["/", "/api/samples", "/image/train-000000000/1"])
def test_names_that_others_can_make_point_here_are_refused(server, host, path):
    status, _, content = ask(server, path, host or " ")
    assert status == 421
    assert b"train-" not in content


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.0.0.1:1", "LOCALHOST:80", "[::1]:8600"])
def test_names_of_this_machine_are_answered(server, host):
    assert ask(server, "/api/samples", host)[0] == 200


def test_other_pages_cannot_embed_what_is_served(server):
    for path in ("/", "/api/samples", "/image/train-000000000/1"):
        _, headers, _ = ask(server, path)
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert "Access-Control-Allow-Origin" not in headers


def test_only_reading_is_possible(server):
    assert ask(server, "/", method="POST")[0] == 501
    status, headers, content = ask(server, "/", method="HEAD")
    assert (status, content) == (200, b"")
    assert int(headers["Content-Length"]) == len(ask(server, "/")[2])


def test_until_texts_are_gathered_all_but_searching_works(blend, tmp_path):
    with PageServer(Browser(blend, cache=tmp_path)) as early:
        browser = early.browser
        thread = browse.threading.Thread(target=early.serve_forever, daemon=True)
        thread.start()
        assert found(early)["total"] == len(blend)
        status, _, content = ask(early, "/api/samples?q=image")
        assert status == 503
        assert json.loads(content) == {
            "error": f"Texts are being read, for searching and two more charts: 0 of {len(blend)} samples.",
            "wait": True,
        }
        before = json.loads(ask(early, "/api/overview")[2])
        assert before["pending"]
        browser.gather()
        after = json.loads(ask(early, "/api/overview")[2])
        assert not after["pending"]
        missing = {chart["id"] for chart in after["charts"]} - {chart["id"] for chart in before["charts"]}
        assert missing == {"repeats", "sizes"}
        assert found(early, q="image")["total"]
        early.shutdown()


def test_gathering_is_given_up_when_the_server_closes(blend, tmp_path):
    browser = Browser(blend, cache=tmp_path)
    browser.stop()
    browser.gather()
    assert list(tmp_path.iterdir()) == []
    with PageServer(browser) as closing:
        closing.start()
        closing.shutdown()
    assert list(tmp_path.iterdir()) == []


def test_without_a_cache_all_but_searching_works(blend, tmp_path):
    (tmp_path / "file").write_text("in the way")
    browser = Browser(blend, cache=tmp_path / "file")
    browser.gather()
    assert browser.page(browse.Query()).total == len(blend)
    assert not browser.overview().pending
    with pytest.raises(InspectionError, match="cache folder"):
        browser.page(browse.Query(text="cat"))


def test_a_port_that_is_taken_is_told(server, blend):
    with pytest.raises(InspectionError, match="cannot listen"):
        PageServer(server.browser, port=server.server_port)


def test_a_thumbnail_is_made_once_and_bytes_of_thumbnails_are_bounded(blend, monkeypatch):
    made, make = [], browse.make_thumbnail
    monkeypatch.setattr(browse, "make_thumbnail", lambda content, size: made.append(size) or make(content, size))
    key = next(stored.sample.key for stored in blend if stored.sample.images)
    browser = browse.Browser(blend)
    first = browser.picture(key, 1, small=True)
    assert browser.picture(key, 1, small=True) == first
    assert len(made) == 1
    monkeypatch.setattr(browse, "_THUMBNAIL_BYTES", len(first.content) - 1)
    small = browse.Browser(blend)
    assert small.picture(key, 1, small=True) == small.picture(key, 1, small=True) == first
    assert len(made) == 3


def raw(server, request):
    """Send bytes; return the first line of the answer."""
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=20) as connection:
        connection.sendall(request)
        return connection.makefile("rb").readline()


@pytest.mark.parametrize("host", [b"[", b"[::1", b"]", b"a@localhost", b"\xff", b"localhost\r\nHost: localhost"])
def test_a_host_that_cannot_be_read_is_refused_in_words(server, capfd, host):
    assert b" 421 " in raw(server, b"GET / HTTP/1.1\r\nConnection: close\r\nHost: " + host + b"\r\n\r\n")
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize("path", [b"//[", b"//[/api/overview", b"http://[/", b"/image/%00/1", b"/api/samples?page=1e9"])
def test_an_address_that_cannot_be_read_is_refused_in_words(server, capfd, path):
    answered = raw(server, b"GET " + path + b" HTTP/1.1\r\nConnection: close\r\nHost: localhost\r\n\r\n")
    assert answered.split()[1] in (b"400", b"404")
    assert "Traceback" not in capfd.readouterr().err


def test_who_hangs_up_leaves_no_trace_in_the_log(server, capfd, caplog):
    for request in (b"GET / HT", b"\xff\xfe\r\n\r\n", b"GET / HTTP/1.1\r\nHost: localhost\r\n"):
        with socket.create_connection(("127.0.0.1", server.server_port), timeout=20) as connection:
            # closing sends a reset, as from a client that was killed
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.sendall(request)
    assert ask(server, "/")[0] == 200
    assert "Traceback" not in capfd.readouterr().err + caplog.text
