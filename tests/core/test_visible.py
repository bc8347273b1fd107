"""What texts hide is shown, and nothing else of them changes."""

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blender.core.visible import visible, visible_json


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("a\rb\x08\x07\x9b1m\x7f\x00", "a\\rb\\x08\\x07\\x9b1m\\x7f\\x00".replace("\\r", "\\x0d")),
        ("a\u2066b\u2069\u200e\u061c", "a\\u2066b\\u2069\\u200e\\u061c"),
        ("zero\u200bwidth\ufeff", "zero\\u200bwidth\\ufeff"),
        ("\u2028\u2029\u0085", "\\u2028\\u2029\\x85"),
        ("tag\U000e0041", "tag\\U000e0041"),
        ("half \ud83d", "half \\ud83d"),
    ],
)
def test_what_is_hidden_is_written_out(text, shown):
    assert visible(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "",
        "plain",
        "two\n\tlines",
        "naïve café",
        "图像",
        "صورة",
        "می‌خواهم",
        "👨‍👩‍👧",
        "[bold]x[/]",
        ":smile:",
        "C:\\x1b",
    ],
)
def test_all_else_stays(text):
    assert visible(text) == text


@given(st.text(st.characters(codec=None)))
def test_no_text_drives_a_terminal_or_turns_a_line(text):
    shown = visible(text)
    shown.encode()
    assert visible(shown) == shown
    assert not any(unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") and c not in "\n\t" for c in shown)
    turning = ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")
    assert not any(unicodedata.bidirectional(c) in turning for c in shown)


@given(st.text())
def test_json_means_the_same(text):
    written = json.dumps({text: [text]}, ensure_ascii=False)
    shown = visible_json(written)
    assert json.loads(shown) == json.loads(written)
    assert visible(shown) == shown
