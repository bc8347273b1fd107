import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blender.inspect.lint.answers import is_empty, is_one_word
from tests.inspect.lint.blends import ask, details, found


@given(st.text(st.sampled_from(" \n\tab.")))
def test_empty_and_single_words_are_told_apart(answer):
    turns = pl.DataFrame({"answer": [answer]})
    assert is_empty(turns).item() == (answer.strip() == "")
    assert is_one_word(turns).item() == (len(answer.split()) == 1)


@pytest.mark.parametrize("answer", ["\u200b\ufeff", "\u2800", "\u3164", "\u00ad", "\0", "\u00a0 \u200d"])
def test_an_answer_of_invisible_characters_is_empty(answer):
    assert is_empty(pl.DataFrame({"answer": [answer, f"{answer}是"]})).to_list() == [True, False]


def test_one_word_is_told_with_its_question(made):
    made.plain(1)
    made.records().append(ask("1.jpg", ("Is there a dog?", "Yes"), ("And a cat?", "No, there is none.")))
    report = made.lint()
    assert found(report) == {"answer_one_word": 1}
    assert details(report, "answer_one_word") == ["“Is there a dog?” → “Yes”"]
    assert report.findings[0].datasets == {"llava": 1}


@pytest.mark.parametrize(("times", "others", "is_told"), [(100, 1800, True), (99, 0, False), (100, 2100, False)])
def test_an_answer_is_repeated_when_it_is_a_large_share_of_a_dataset(made, times, others, is_told):
    made.plain(1)
    pairs = [(f"Question {number}?", "I am  sorry, I cannot SAY.") for number in range(times - 1)]
    pairs += [("Question?", "i am sorry, I cannot say.")]
    pairs += [(f"Other {number}?", f"Answer number {number}.") for number in range(others)]
    made.records().append(ask("1.jpg", *pairs))
    report = made.lint()
    assert ("answer_repeated" in found(report)) == is_told
    if is_told:
        assert found(report)["answer_repeated"] == 1
        assert details(report, "answer_repeated")[0].startswith(f"{times} times (5.")


def test_a_thousand_times_is_too_often_in_any_case(made):
    made.plain(1)
    made.records().append(ask("1.jpg", *((f"Question {number}?", "It is red.") for number in range(1000))))
    made.records().append(ask("1.jpg", *((f"Other {number}?", f"It is {number}.") for number in range(21000))))
    assert found(made.lint())["answer_repeated"] == 1
