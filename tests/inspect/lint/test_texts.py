import re

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blender.inspect.lint.texts import find_mojibake, has_control, is_mojibake
from tests.inspect.lint.blends import ask, details, found

WRONG = [
    "cafÃ© au lait",
    "donâ€™t",
    "20Â°C",
    "ÐŸÑ€Ð¸Ð²ÐµÑ‚",
    "ðŸ˜€ smile",
    "it\x92s",
    "lost \ufffd",
    "10â‚¬",
    "æ—¥æœ¬",
    "Å¡kola a Å½ena",
    "wait\u00e2\u0080\u00a6",
]
RIGHT = [
    "naïve café, façade, coöperate",
    "„Spaß“ und „MÜßTE“",
    "CAFÉ’S",
    "été»…",
    "l’Été “à la carte”…",
    "São Paulo’s Ã is a letter; so is Â",
    "Ελλάδα, Привет, 日本語, שלום, 😀",
    "Die „HÖ“ sagt ›ja‹ — 20 °C ± 2 §",
    "50 € for “both” – ok…",
    "tab\tand\r\nline",
]


@pytest.mark.parametrize("text", WRONG)
def test_texts_read_in_the_wrong_encoding_are_found(text):
    assert find_mojibake(text)


@pytest.mark.parametrize("text", RIGHT)
def test_texts_with_letters_of_many_languages_are_not(text):
    assert find_mojibake(text) is None


@given(st.text(st.sampled_from("éèüöäßñçàâîôæøå"), min_size=1))
def test_any_western_word_read_as_latin_1_is_found(word):
    assert find_mojibake(word.encode("utf-8").decode("latin-1"))


@given(st.text(st.sampled_from("abc éèüöäñçàâ’“”…–—.,"), max_size=30))
def test_the_columns_say_what_the_texts_do(text):
    turns = pl.DataFrame({"question": ["", text, "fine"], "answer": [text, "fine", "fine"]})
    assert is_mojibake(turns).to_list() == [find_mojibake(text) is not None] * 2 + [False]


def test_both_are_told_with_the_place(made):
    made.plain(1, 2)
    made.draw(3, 4)
    made.records().append(ask("3.jpg", ("Where?", "In a cafÃ© with people, " + "far away " * 20)))
    made.records().append(ask("4.jpg", ("Who?", "A man and a dog."), ("And?", "They walk.\nUSER: what else?")))
    report = made.lint()
    assert found(report) == {"mojibake": 1, "template_marker": 1}
    assert re.search(r"which was é, in the answer “In a cafÃ© with", details(report, "mojibake")[0])
    assert details(report, "template_marker") == ["USER: in the answer “They walk. USER: what else?”"]
    places = {finding.check: finding.examples[0] for finding in report.findings}
    assert places["template_marker"].turn == 2


@pytest.mark.parametrize("character", ["\0", "\x07", "\x1b", "\x7f", "\x0b", "\ufffe"])
def test_control_characters_are_found(character):
    turns = pl.DataFrame({"question": ["Why?", f"So{character}?"], "answer": [f"Be{character}cause.", "Yes."]})
    assert has_control(turns).to_list() == [True, True]


def test_line_breaks_tabs_and_marks_of_direction_are_no_control_characters():
    turns = pl.DataFrame({"question": ["One\ttwo\r\nthree?"], "answer": ["\u200fשלום\u200e and 👩\u200d👩"]})
    assert has_control(turns).to_list() == [False]


def test_a_control_character_is_told_by_its_number(made):
    made.plain(1)
    made.draw(2)
    made.records().append(ask("2.jpg", ("Where?", "In the gar\0den, under a tree.")))
    report = made.lint()
    assert found(report) == {"control_character": 1}
    assert details(report, "control_character") == ["U+0000 in the answer “In the gar�den, under a tree.”"]


@pytest.mark.parametrize(
    ("check", "text"),
    [
        ("template_marker", "<|im_start|>Be kind."),
        ("control_character", "Be\0kind."),
        ("mojibake", "voilÃ©"),
        ("image_number_missing", "Compare image 1 with image 2."),
    ],
)
def test_system_texts_are_looked_at_as_well(made, check, text):
    made.draw(0)
    record = ask("0.jpg", ("What is shown?", "A pattern of many coloured patches."))
    record["conversations"].insert(0, {"from": "system", "value": text})
    made.records().append(record)
    made.keep_system_texts()
    report = made.lint()
    assert found(report) == {check: 1}
    assert "in the system text" in details(report, check)[0]
