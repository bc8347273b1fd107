import pytest

from blender.data.references import find_unclear_reference
from tests.data.references.phrases import SEVERAL
from tests.data.references.reading import behind, reason

PROSE_OF_ONE = [text for word, texts in SEVERAL.items() if word != "all_images" for text in texts]


@pytest.mark.parametrize(("text", "word"), [(text, word) for word, texts in SEVERAL.items() for text in texts])
def test_what_could_point_at_one_of_several_images_keeps_their_record_in_front(text, word):
    assert reason(text, 2) == word
    assert behind(text, 2) == text


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("In the first picture there's a dog and in the other there's a cat.", "holder"),
        ("the first picture and the second one", "ordinal"),
        ("the dog of image 1 and that of 2", "count"),
        ("all but the first image", "holder"),
        ("Que montre l'image 1 ?", "language"),
    ],
)
def test_a_record_of_one_image_that_counts_its_images_is_read_as_one_of_several(text, word):
    assert reason(text, 1) == word
    assert behind(text, 1) == text


@pytest.mark.parametrize("text", PROSE_OF_ONE)
def test_the_same_words_are_prose_where_there_is_one_image(text):
    assert find_unclear_reference(text, 1) is None
    assert behind(text, 1) == text


def test_the_images_shown_later_make_a_record_one_of_several():
    assert find_unclear_reference("Which one is brighter?", 1) is None
    assert find_unclear_reference("Which one is brighter?", 1, several=True) is not None
