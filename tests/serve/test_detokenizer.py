"""Text of an answer while its tokens come."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blender.data.template import TEMPLATES
from blender.serve.detokenizer import Detokenizer, stop_pattern
from tests.stream.tiny_tokenizers import KINDS, tiny_tokenizer

STOP = stop_pattern(TEMPLATES["deepspeed-visualchat"].markers, ())


def listen(kind, text, stop=STOP, max_tokens=1000, more=()):
    """Let a detokenizer hear the tokens of a text; return it and the pieces it handed out."""
    tokenizer, pieces = tiny_tokenizer(kind), []
    detokenizer = Detokenizer(tokenizer, [tokenizer.eos_token_id], stop, max_tokens, pieces.append)
    for token in [*tokenizer(text, add_special_tokens=False)["input_ids"], *more]:
        if detokenizer.add(token):
            break
    return detokenizer, pieces


@pytest.mark.parametrize("kind", KINDS)
def test_an_answer_ends_at_the_end_token(kind):
    end = tiny_tokenizer(kind).eos_token_id
    detokenizer, pieces = listen(kind, " A cat sits.", more=[end, 5, 6])
    assert (detokenizer.answer, detokenizer.finish) == ("A cat sits.", "end")
    assert "".join(pieces) == "A cat sits."


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "marker", ["### Question:", "### Answer: ", "###Image 3:", "### Image 12:", "####  Question :"]
)
def test_an_answer_ends_at_a_new_marker(kind, marker):
    detokenizer, pieces = listen(kind, f" A cat sits.\n\n{marker} What else?")
    assert detokenizer.answer.rstrip("#\n") == "A cat sits."
    assert detokenizer.finish == "marker"
    assert "".join(pieces) == detokenizer.answer


@pytest.mark.parametrize("text", ["### A heading\nand text", "see # 3", "Question: why?", "##", "### Imagery"])
def test_what_only_looks_like_a_marker_stays(text):
    detokenizer, pieces = listen("llama3", f"Yes. {text}")
    detokenizer.end("length")
    assert detokenizer.answer == f"Yes. {text}" == "".join(pieces)


def test_an_answer_ends_at_a_stop_text():
    detokenizer, _ = listen("gpt2", "one two. three", stop=stop_pattern("", ("two.", "(")))
    assert (detokenizer.answer, detokenizer.finish) == ("one", "marker")


def test_stop_texts_of_strangers_are_not_remembered_for_ever():
    for number in range(1_000):
        stop_pattern("", (f"stop {number}",))
    assert stop_pattern.cache_info().currsize < 1_000


def test_without_markers_nothing_but_the_end_token_ends_an_answer():
    assert stop_pattern("", ()) is None
    detokenizer, _ = listen("gpt2", "a ### Question: b", stop=None)
    detokenizer.end("length")
    assert detokenizer.answer == "a ### Question: b"


def test_the_longest_answer_is_as_long_as_it_may_be():
    detokenizer, _ = listen("gpt2", "one two three four five six", max_tokens=3)
    assert (detokenizer.num_tokens, detokenizer.finish) == (3, "length")


@pytest.mark.parametrize("kind", ["llama2", "llama3", "gpt2"])
def test_no_half_character_is_ever_handed_out(kind):
    text = "caf\u00e9 \U0001f642 na\u00efve \u4f60\u597d"
    detokenizer, pieces = listen(kind, text)
    detokenizer.end("length")
    assert "".join(pieces) == detokenizer.answer == text
    assert not any("\ufffd" in piece for piece in pieces)


@given(
    st.sampled_from(KINDS),
    st.text(st.characters(exclude_categories=("Cs", "Co", "Cn"), exclude_characters="\u2581")),
    st.lists(st.sampled_from(["### ", "Answer", ":", "#", "\n", " ", "Image 3", "Question:"]), max_size=6),
)
def test_pieces_are_the_answer_and_never_taken_back(kind, text, tail):
    tokenizer = tiny_tokenizer(kind)
    written = text + "".join(tail)
    detokenizer, pieces = listen(kind, written)
    detokenizer.end("length")
    assert "".join(pieces) == detokenizer.answer
    whole = tokenizer.decode(
        tokenizer(written, add_special_tokens=False)["input_ids"],
        skip_special_tokens=True,
        clean_up_tokenization_spaces=False,
    )
    found = STOP.search(whole)
    assert detokenizer.answer == (whole[: found.start()] if found else whole).strip()
    assert detokenizer.finish == ("marker" if found else "length")
