import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blender.core.characters import find_control, has_visible

INVISIBLE = [
    "",
    " \t\r\n",
    "\u200b\ufeff",
    "\u00a0\u2003\u3000",
    "\u00ad",
    "\u2800",
    "\u3164\u115f\u1160\uffa0",
    "\u200e\u202a\u2066",
    "\ufe0f",
    "\U000e0041",
    "\U000e0100",
    "\u034f",
    "\ufffc",
    "\0\x1b",
    "\u2028\u2029",
]


@pytest.mark.parametrize("text", INVISIBLE)
def test_characters_that_nobody_sees_are_not_visible(text):
    assert not has_visible(text)


@pytest.mark.parametrize("text", [".", " a ", "é", "图", "😀", "\u200bא", "\u2801", "½", "\ufffd"])
def test_signs_of_any_kind_are_visible(text):
    assert has_visible(text)


@given(st.text(st.characters(categories=["Cc", "Cf", "Zs", "Zl", "Zp"]), max_size=20))
def test_spaces_and_format_characters_never_show(text):
    assert not has_visible(text)


@given(st.characters(categories=["L", "N", "P", "S"]))
def test_letters_numbers_and_signs_show_but_for_the_known_blanks(character):
    blanks = {"HANGUL FILLER", "HALFWIDTH HANGUL FILLER", "HANGUL CHOSEONG FILLER", "HANGUL JUNGSEONG FILLER"}
    blanks |= {"BRAILLE PATTERN BLANK", "OBJECT REPLACEMENT CHARACTER", "MUSICAL SYMBOL NULL NOTEHEAD"}
    assert has_visible(character) == (unicodedata.name(character, "") not in blanks)


def test_control_characters_are_found_where_they_stand():
    assert find_control("ab\0c").start() == 2
    assert find_control("a\tb\r\n") is None
