"""A page is one file, and nothing in its data can change what it is."""

import base64
import hashlib
import html.parser
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blender.web.page import Page, json_block, read_asset, shown_json
from blender.web.policy import content_security_policy

PAGE = Page("blender.serve.http", folder="page", scripts=("clipboard.js", "stream.js"))
NASTY = "</script><script>1</script> {{script}} {{title}} {{nothing}} \\1"


class _Elements(html.parser.HTMLParser):
    """Collects the text of every title, style and script."""

    def __init__(self, page):
        super().__init__()
        self.texts, self._open = [], None
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self._open = tag if tag in ("title", "style", "script") else None
        if self._open:
            self.texts.append([tag, ""])

    def handle_data(self, data):
        if self._open:
            self.texts[-1][1] += data

    def handle_endtag(self, tag):
        self._open = None


@pytest.fixture(scope="module")
def texts():
    return _Elements(PAGE.render(NASTY, {"words": NASTY})).texts


def test_data_stays_data_whatever_it_looks_like(texts):
    assert [tag for tag, _ in texts] == ["title", "style", "script", "script"]
    assert texts[0][1] == NASTY
    assert json.loads(texts[2][1]) == {"words": NASTY}


def test_the_policy_allows_the_style_and_the_script_that_stand_in_the_page(texts):
    directives = PAGE.policy("img-src data:").split("; ")
    for tag, text in (texts[1], texts[3]):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in directives


def test_a_policy_allows_nothing_that_is_not_named():
    directives = content_security_policy("a {}", "1", "img-src data:", "connect-src 'self'").split("; ")
    allowed = dict(directive.split(" ", 1) for directive in directives)
    assert {allowed[name] for name in ("default-src", "base-uri", "form-action")} == {"'none'"}
    assert allowed["img-src"] == "data:"
    assert allowed["connect-src"] == "'self'"
    assert len(allowed) == len(directives) == 7


def test_what_pages_share_comes_before_their_own():
    names = ("tokens.css", "base.css", "conversation.css")
    shared = [read_asset("blender.web", "assets", name) for name in names]
    own = read_asset("blender.serve.http", "page", "style.css")
    places = [PAGE.style.index(text) for text in (*shared, own)]
    assert places == sorted(places)
    assert PAGE.script.index("function byId(") < PAGE.script.index("function copyText(")


@given(st.recursive(st.text(), lambda inner: st.lists(inner, max_size=3)))
def test_no_text_can_leave_the_block_of_data(value):
    block = json_block(value)
    assert "<" not in block
    assert json.loads(block) == value


def test_what_texts_hide_is_shown_by_a_page():
    value = {"\u202eb": ["a\x1b[1m\u2066", 1, None, {"x": "\u200b"}]}
    written = shown_json(value).decode()
    assert json.loads(written) == {"\\u202eb": ["a\\x1b[1m\\u2066", 1, None, {"x": "\\u200b"}]}
    assert written.isascii()
