import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blender.inspection.lint.numbers import find_missing, names_missing
from tests.inspection.lint.blends import ask, details, found


@pytest.mark.parametrize(
    ("text", "num_shown", "phrase"),
    [
        ("image 3 shows a dog", 2, "image 3"),
        ("Look at the third picture.", 2, "the third picture"),
        ("In both images there is a cat", 1, "both images"),
        ("these three images", 2, "these three images"),
        ("The first image and image 12", 1, "image 12"),
        ("the previous image, then image 4", 3, "image 4"),
        ("Image B is nice", 1, "Image B"),
        ("image 1 is nice", 0, "image 1"),
        ("image 3 shows a dog", 3, None),
        ("these three images", 4, None),
        ("the previous image", 1, None),
        ("the images on the wall, and which picture?", 1, None),
        ("the second picture on the wall", 1, None),
        ("in the image two men, in the picture 4 dogs", 1, None),
        ("a photo from 1920, image 2023", 1, None),
    ],
)
def test_phrases_that_name_an_image_which_is_not_there(text, num_shown, phrase):
    assert find_missing(text, num_shown) == phrase


@given(st.integers(1, 60), st.integers(0, 60), st.sampled_from(["image {}", "picture #{}", "Photo {}"]))
def test_a_number_is_missing_when_fewer_images_are_shown(number, num_shown, form):
    text = f"What does {form.format(number)} show?"
    assert (find_missing(text, num_shown) is not None) == (number > num_shown)
    turns = pl.DataFrame({"question": [text], "answer": ["Nothing."], "shown": [num_shown]})
    assert names_missing(turns).to_list() == [number > num_shown]


WORDS = st.sampled_from(
    ["the", "first", "second", "third", "both", "two", "three", "image", "images", "picture", "photos"]
    + ["1", "2", "3", "A", "b", "is", "of", "on", "wall", ".", ",", "and", "other"]
)


@given(st.lists(WORDS, max_size=9), st.integers(0, 4))
def test_the_sieve_lets_everything_pass_that_is_found(words, num_shown):
    text = " ".join(words)
    turns = pl.DataFrame({"question": ["Why?", text], "answer": [text, "So."], "shown": [num_shown, num_shown]})
    assert names_missing(turns).to_list() == [find_missing(text, num_shown) is not None] * 2


def test_a_sample_is_told_with_the_phrase(made):
    made.plain(1, 2, 3)
    made.draw(4)
    made.records().append(ask("4.jpg", ("What do you see?", "Unlike the first image, image 2 shows a dog in a park.")))
    report = made.lint()
    assert found(report) == {"image_number_missing": 1}
    assert details(report, "image_number_missing") == [
        "‘image 2’, and 1 image is shown by then, in the answer "
        "“Unlike the first image, image 2 shows a dog in a park.”"
    ]
