"""How like its reference an answer is.

Scores of single answers: exact match, contained match, token F1 (after SQuAD's normalisation, with VQA's number words)
and ROUGE-L (``rouge-score``). Scores of many answers together: BLEU (``sacrebleu``, its own tokenisation) and CIDEr-D
(``pycocoevalcap``). CIDEr's usual tokeniser is a Java program; ours is the normalisation of the other scores, so
figures are not to be compared with those of captioning papers. A library that is not installed is told, not passed
over.
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
    # an apostrophe joins, other marks part
    joined = re.sub(r"(?<=\w)['\u2019](?=\w)", "", plain).translate(_PUNCTUATION)
    words = re.findall(r"\w+", joined)
    return [_DIGITS.get(word, word) for word in words if word not in _ARTICLES]


def score_answer(answer: str, reference: str) -> dict[str, float]:
    """Return the scores of one answer, each from 0 to 1.

    Args:
        answer: What a model said.
        reference: The right answer.
    """
    said, wanted = normalise(answer), normalise(reference)
    scores = {
        "exact": float(said == wanted),
        "contained": float(_contains(said, wanted)),
        "f1": token_f1(said, wanted),
    }
    rouge = _rouge_scorer()
    if rouge is not None:
        scores["rouge_l"] = round(float(rouge.score(reference, answer)["rougeL"].fmeasure), 6)
    return scores


def token_f1(said: Sequence[str], wanted: Sequence[str]) -> float:
    """Return the harmonic mean of precision and recall over words, repeats counted (SQuAD, arXiv 1606.05250)."""
    if not said or not wanted:
        return float(said == wanted)
    common = sum((Counter(said) & Counter(wanted)).values())
    return round(2 * common / (len(said) + len(wanted)), 6)


def _contains(said: Sequence[str], wanted: Sequence[str]) -> bool:
    """Say whether an answer holds the reference's words, in a row."""
    size = len(wanted)
    return any(list(said[start : start + size]) == list(wanted) for start in range(len(said) - size + 1)) and size > 0


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

    How rare a word is, is taken from all references; of a single one, nothing is rare, and its score is 0.
    """
    if importlib.util.find_spec("pycocoevalcap") is None:
        return None
    from pycocoevalcap.cider.cider import Cider  # type: ignore[import-untyped]

    wanted = {number: [" ".join(normalise(text))] for number, text in enumerate(references)}
    said = {number: [" ".join(normalise(text))] for number, text in enumerate(answers)}
    if not wanted:
        return []
    return [round(float(score), 6) for score in Cider().compute_score(wanted, said)[1]]
