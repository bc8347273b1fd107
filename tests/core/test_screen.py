"""Consoles that show what strangers' texts hide, whatever the texts are part of."""

import io

import pytest
from rich.console import Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from blender.cli import output
from blender.core.screen import Screen, VisibleText

EVIL = "a\x1b]0;title\x07\x1b[2Jb\rc\u202ed\x9bm"
SHOWN = "a\\x1b]0;title\\x07\\x1b[2Jb\\x0dc\\u202ed\\x9bm"


def printed(*things, **options):
    written = io.StringIO()
    Screen(file=written, width=200).print(*things, **options)
    return written.getvalue()


@pytest.mark.parametrize(
    "thing",
    [
        EVIL,
        VisibleText(EVIL),
        VisibleText.assemble((EVIL, "bold"), " and more"),
        VisibleText("x ").append(EVIL, style="red"),
        Group(VisibleText(EVIL)),
        Padding(VisibleText(EVIL), 1),
        output.table("title", ["column"], [[EVIL]]),
        output.table(EVIL, ["column"], [["cell"]]),
        output.table("title", [EVIL], [["cell"]]),
        output.titled(EVIL, "rest"),
        output.titled("title", EVIL),
    ],
)
def test_escape_sequences_are_shown_and_not_sent(thing):
    # a narrow column is folded
    assert "".join(SHOWN.split()) in "".join(printed(thing).split())


def test_what_others_made_sends_nothing_either():
    table = Table(title=EVIL)
    table.add_column(Text(EVIL))
    table.add_row(EVIL)
    for thing in (Text(EVIL), table, Group(Text(EVIL)), [EVIL]):
        assert not set("\x1b\x07\r\x9b\u202e") & set(printed(thing))


@pytest.mark.parametrize("text", ["[bold]x[/]", "[link=http://evil.example]y[/link]", "[/]", ":smile:", "[red"])
def test_markup_and_emoji_in_data_are_text(text):
    assert printed(text) == f"{text}\n"
    assert text in printed(output.table("t", ["c"], [[text]]))


def test_own_styles_are_sent_all_the_same():
    written = io.StringIO()
    screen = Screen(file=written, width=80)
    screen._color_system, screen._force_terminal = 1, True
    screen.print(VisibleText("x", style="bold"))
    assert "\x1b[1mx" in written.getvalue()


def test_what_is_said_without_a_console_is_shown_too(capsys):
    output.say(EVIL, end="")
    output.say(EVIL, as_note=True)
    output.warn([EVIL])
    output.print_json({"a": EVIL})
    out, err = capsys.readouterr()
    assert out.startswith(SHOWN)
    assert err.startswith(f"{SHOWN}\nwarning: {SHOWN}")
    assert not set("\x1b\x07\r\x9b\u202e") & set(out + err)
