"""A mention takes a capital where a sentence starts, and nowhere else."""

import pytest

from blender.data.sources.mentions import Mention, starts_sentence, written_out


@pytest.mark.parametrize(
    "before",
    [
        "",
        "Yes. ",
        "Really?\n",
        "He said no!' ",
        'It says "stop." ',
        "A line\n",
        "Two:\n- ",
        "1. ",
        "## ",
        '"',
        "(",
        "**",
    ],
)
def test_here_a_sentence_starts(before: str) -> None:
    assert starts_sentence(before)


@pytest.mark.parametrize(
    "before", ["in ", "in", "Look: ", "one, ", "(see ", "e.g. ", "red vs. ", "i.e. ", "v1.", "a - ", " word " * 30]
)
def test_here_none_starts(before: str) -> None:
    assert not starts_sentence(before)


def test_words_beside_a_mention_are_kept_apart() -> None:
    assert written_out("in##and", [Mention(2, 4, 3)]) == "in image 3 and"
    assert written_out("####", [Mention(0, 2, 1), Mention(2, 4, 2)]) == "Image 1 image 2"


def test_a_text_without_mentions_stays() -> None:
    assert written_out("NASA  and\n\nESA", []) == "NASA  and\n\nESA"
