"""English of the published kind and length, made fast.

What planning costs depends on how long texts are, how they are split into turns and which words they use ("image",
"first", "both": the words that references are looked for with), not on what they say. So a bank of paragraphs is made
once out of a small grammar, each already as a JSON text, and records take from it.
"""

from collections.abc import Sequence
from itertools import islice
from typing import TypeVar

import msgspec
import numpy as np

Text = TypeVar("Text", str, bytes)

_SUBJECTS = (
    "A man in a dark jacket", "The woman", "A group of people", "Two children", "The brown dog", "A white truck",
    "The table", "A tennis player", "The train", "One of the cows", "A young girl", "The kitchen counter", "The image",
    "The scene", "A row of parked bicycles", "The person on the left", "A street sign", "The cat",
)  # fmt: skip
_VERBS = (
    "is standing", "can be seen", "is placed", "appears to be waiting", "is visible", "captures a lively moment",
    "seems to be resting", "is surrounded by several chairs", "adds a personal touch", "is holding an umbrella",
    "suggests a relaxed atmosphere", "is engaged in conversation",
)  # fmt: skip
_PLACES = (
    "near the centre of the image", "next to a wooden bench", "in the background", "on top of the counter",
    "beside the window", "across the street", "in the middle of the field", "close to the edge of the platform",
    "towards the right side of the scene", "under a clear sky", "in front of a brick building", "around the room",
)  # fmt: skip
_TAILS = (
    "", "", "", " while others are walking past", ", creating a sense of calm", ", which is typical for such a place",
    ", possibly to stay safe and comfortable", " together with a cup, a bowl and a few books",
)  # fmt: skip
_QUESTIONS = (
    "What might be the reason that {} {}?", "What can be inferred from the way in which {} {}?",
    "Is it likely that {} {}?", "How would you describe where {} {}?", "What should be considered when {} {}?",
)  # fmt: skip


class Prose:
    """Texts of a given length, in random order.

    Args:
        random: Draws the sentences.
        num_sentences: How many different ones there are.
    """

    def __init__(self, random: np.random.Generator, num_sentences: int = 2_000) -> None:
        self._random = random
        parts = (_SUBJECTS, _VERBS, _PLACES, _TAILS)
        drawn = zip(*(draw(random, part, num_sentences) for part in parts), strict=True)
        self._sentences = [f"{subject} {verb} {place}{tail}." for subject, verb, place, tail in drawn]

    def paragraphs(self, num_characters: int, heads: tuple[str, ...] = ("",), count: int = 1_000) -> list[bytes]:
        """Make texts of about so many characters, long ones in several paragraphs, each as a JSON text.

        Args:
            num_characters: Mean length.
            heads: One of these stands at the beginning of every text.
            count: How many different texts.
        """
        mean = sum(map(len, self._sentences)) / len(self._sentences) + 1
        sizes = np.maximum(1, self._random.poisson(num_characters / mean, count)).tolist()
        chosen = iter(draw(self._random, self._sentences, sum(sizes)))
        begun = draw(self._random, heads, count)
        texts = (head + _paragraphs(list(islice(chosen, size))) for head, size in zip(begun, sizes, strict=True))
        return [msgspec.json.encode(text) for text in texts]

    def questions(self, head: str = "", tail: str = "", count: int = 500) -> list[bytes]:
        """Make questions, each as a JSON text, with ``head`` and ``tail`` around them."""
        parts = (_QUESTIONS, _SUBJECTS, _VERBS)
        drawn = zip(*(draw(self._random, part, count) for part in parts), strict=True)
        asked = (form.format(subject[0].lower() + subject[1:], verb) for form, subject, verb in drawn)
        return [msgspec.json.encode(f"{head}{question}{tail}") for question in asked]


def draw(random: np.random.Generator, bank: Sequence[Text], count: int) -> list[Text]:
    """Take texts out of a bank, with replacement."""
    return [bank[place] for place in random.integers(len(bank), size=count).tolist()]


def _paragraphs(sentences: list[str]) -> str:
    cut = max(3, len(sentences) // 2 + 1)
    return "\n\n".join(" ".join(sentences[start : start + cut]) for start in range(0, len(sentences), cut))
