import pytest

from blender.data.references import find_unclear_reference
from tests.data.references.phrases import ALWAYS
from tests.data.references.reading import behind, reason


@pytest.mark.parametrize(("text", "word"), [(text, word) for word, texts in ALWAYS.items() for text in texts])
def test_what_may_name_an_image_and_is_not_understood_stays_in_front(text, word):
    assert reason(text, 1) == word
    for num_images in (1, 2, 4):
        assert find_unclear_reference(text, num_images) is not None
        assert behind(text, num_images) == text
