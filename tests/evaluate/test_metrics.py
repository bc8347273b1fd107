"""How like its reference an answer is."""

import importlib.util

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blender.evaluate import metrics
from blender.evaluate.metrics import bleu, cider, missing_libraries, normalise, score_answer, token_f1

texts = st.text(st.sampled_from("ab c,.\n'1Ä"), max_size=30)


def test_case_punctuation_articles_and_number_words_do_not_count():
    assert normalise("The  Cats\u2019 three toys, it's A 'mat'!") == ["cats", "3", "toys", "its", "mat"]


@pytest.mark.parametrize(
    ("answer", "reference", "exact", "contained", "f1"),
    [
        ("Three cats.", "3 cats", 1, 1, 1),
        ("I see three cats there.", "three cats", 0, 1, 2 * 2 / 7),
        ("I see three big cats.", "three cats", 0, 0, 2 * 2 / 7),
        ("twelvethree cats", "three cats", 0, 0, 0.5),
        ("", "three cats", 0, 0, 0),
        ("dogs", "three cats", 0, 0, 0),
        ("cats cats cats", "cats", 0, 1, 0.5),
    ],
)
def test_scores_are_as_worked_out_by_hand(answer, reference, exact, contained, f1):
    scores = score_answer(answer, reference)
    assert (scores["exact"], scores["contained"]) == (exact, contained)
    assert scores["f1"] == pytest.approx(f1, abs=1e-6)


def test_rouge_l_is_that_of_the_library():
    # longest common run of "the cat sat on the mat" and "the cat lay on the mat": five words of six
    assert score_answer("the cat lay on the mat", "the cat sat on the mat")["rouge_l"] == pytest.approx(5 / 6, abs=1e-6)


@given(texts, texts)
def test_scores_are_between_nothing_and_one_and_a_reference_scores_all(answer, reference):
    scores = score_answer(answer, reference)
    assert all(0 <= value <= 1 for value in scores.values())
    assert scores["exact"] <= scores["f1"]
    if normalise(reference):
        same = score_answer(reference, reference)
        assert same["exact"] == same["contained"] == same["f1"] == 1
    said, wanted = normalise(answer), normalise(reference)
    assert token_f1(said, wanted) == token_f1(wanted, said)


def test_bleu_and_cider_favour_what_is_like_the_references():
    references = ["a red cat sits on the mat", "two dogs run over a green field", "the sea is blue and calm today"]
    near = ["a red cat lies on the mat", "two dogs run over a field", "the sea is blue and calm"]
    far = near[1:] + near[:1]
    assert bleu(references, references) == pytest.approx(100)
    assert bleu(near, references) > bleu(far, references)
    assert sum(cider(references, references)) > sum(cider(near, references)) > sum(cider(far, references))
    assert cider(references, references) == pytest.approx([10, 10, 10])
    assert cider([], []) == []


def test_a_metric_without_its_library_is_told(monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name in ("rouge_score", "sacrebleu") else found(name)
    )
    metrics._rouge_scorer.cache_clear()
    try:
        assert sorted(missing_libraries()) == ["bleu", "rouge_l"]
        assert "sacrebleu is not installed" in missing_libraries()["bleu"]
        assert bleu(["a"], ["a"]) is None
        assert "rouge_l" not in score_answer("a", "a")
    finally:
        metrics._rouge_scorer.cache_clear()
    monkeypatch.undo()
    assert missing_libraries() == {}
