"""Similarity of answers to their references.

Scores of single answers: exact match, contained match, token F1 (after SQuAD's normalisation, with VQA's number words)
and ROUGE-L (``rouge-score``). Scores of many answers together: BLEU (``sacrebleu``, its own tokenisation) and CIDEr-D
(``pycocoevalcap``). CIDEr's usual tokeniser is a Java program; ours is the normalisation of the other scores, so
figures are not to be compared with those of captioning papers. A missing library is
reported, not passed over in silence.
"""

import importlib.util
import re
import string
import unicodedata
from collections import Counter
from collections.abc import Sequence
from functools import cache
from typing import Any

_ARTICLES = frozenset(("a", "an", "the"))
_COUNTS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
_DIGITS = {word: str(n) for n, word in enumerate(_COUNTS)} | {"none": "0"}
_PUNCTUATION = str.maketrans(dict.fromkeys(string.punctuation, " "))
#: metric → package that it needs and what to install it as
LIBRARIES = {
    "rouge_l": ("rouge_score", "rouge-score"),
    "bleu": ("sacrebleu", "sacrebleu"),
    "cider": ("pycocoevalcap", "pycocoevalcap"),
}


def missing_libraries() -> dict[str, str]:
    """Return why metrics are not computed: metric → a sentence."""
    return {
        metric: f"{metric} is not computed: {project} is not installed (pip install 'visualchat-blender[eval]')"
        for metric, (package, project) in LIBRARIES.items()
        if importlib.util.find_spec(package) is None
    }


def normalise(text: str) -> list[str]:
    """Return the words of a text: lower case, without punctuation and articles, number words as digits."""
    plain = unicodedata.normalize("NFKC", text).casefold()
    # an apostrophe joins two parts of a word, other punctuation separates words
    joined = re.sub(r"(?<=\w)['\u2019](?=\w)", "", plain).translate(_PUNCTUATION)
    words = re.findall(r"\w+", joined)
    return [_DIGITS.get(word, word) for word in words if word not in _ARTICLES]


def score_answer(answer: str, reference: str) -> dict[str, float]:
    """Return the scores of one answer, each from 0 to 1.

    Args:
        answer: The answer of a model.
        reference: The right answer.
    """
    given, wanted = normalise(answer), normalise(reference)
    scores = {
        "exact": float(given == wanted),
        "contained": float(_contains(given, wanted)),
        "f1": token_f1(given, wanted),
    }
    rouge = _rouge_scorer()
    if rouge is not None:
        scores["rouge_l"] = round(float(rouge.score(reference, answer)["rougeL"].fmeasure), 6)
    return scores


def token_f1(given: Sequence[str], wanted: Sequence[str]) -> float:
    """Return the harmonic mean of precision and recall over words, repeats counted (SQuAD, arXiv 1606.05250)."""
    if not given or not wanted:
        return float(given == wanted)
    common = sum((Counter(given) & Counter(wanted)).values())
    return round(2 * common / (len(given) + len(wanted)), 6)


def _contains(given: Sequence[str], wanted: Sequence[str]) -> bool:
    """Tell whether an answer contains the words of the reference, one after the other."""
    size = len(wanted)
    return any(list(given[start : start + size]) == list(wanted) for start in range(len(given) - size + 1)) and size > 0


@cache
def _rouge_scorer() -> Any:
    if importlib.util.find_spec("rouge_score") is None:
        return None
    from rouge_score.rouge_scorer import RougeScorer  # type: ignore[import-untyped]

    return RougeScorer(["rougeL"])


def bleu(answers: Sequence[str], references: Sequence[str]) -> float | None:
    """Return corpus BLEU, from 0 to 100; None without sacrebleu."""
    if importlib.util.find_spec("sacrebleu") is None:
        return None
    from sacrebleu.metrics.bleu import BLEU

    return round(float(BLEU().corpus_score(list(answers), [list(references)]).score), 4)


def cider(answers: Sequence[str], references: Sequence[str]) -> list[float] | None:
    """Return the CIDEr-D of each answer, from 0 to 10; None without pycocoevalcap.

    The rarity of words is taken from all references; with a single reference no word is rare, and the score is 0.
    """
    if importlib.util.find_spec("pycocoevalcap") is None:
        return None
    from pycocoevalcap.cider.cider import Cider  # type: ignore[import-untyped]

    wanted = {number: [" ".join(normalise(text))] for number, text in enumerate(references)}
    given = {number: [" ".join(normalise(text))] for number, text in enumerate(answers)}
    if not wanted:
        return []
    return [round(float(score), 6) for score in Cider().compute_score(wanted, given)[1]]
