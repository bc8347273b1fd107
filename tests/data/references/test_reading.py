import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blender.data.references import find_unclear_reference, rewrite_references
from tests.data.references.phrases import ALWAYS, SEVERAL
from tests.data.references.reading import behind, unclear_phrase
from tests.data.references.soup import soup

#: text, images of the record, phrase
NAMED = [
    ("Is the second image darker?", 1, "the second image"),
    ("Are both images dark?", 1, "both images"),
    ("Are both images dark?", 3, "both images"),
    ("these three images", 2, "these three images"),
    ("between two images", 3, "between two images"),
    ("In image b, a dog.", 1, "image b"),
    ("image 12", 2, "image 12"),
    ("image 2023", 1, "image 2023"),
    ("image 2.5", 2, "image 2.5"),
    ("image 0", 2, "image 0"),
    ("images 1 and 3", 2, "images 1 and 3"),
    ("the 21st image", 2, "the 21st image"),
    ("the first three images", 2, "the first three images"),
    ("the first few images", 4, "the first few images"),
    ("The previous image was darker.", 1, "The previous image"),
    ("the next image", 2, "the next image"),
    ("the other image", 2, "the other image"),
    ("the second-to-last image", 3, "the second-to-last image"),
    ("Compare the images.", 1, "the images"),
    ("Which image is darker?", 1, "Which image"),
    ("two images", 1, "two images"),
    ("use two images to tell a story", 4, "two images"),
    ("in the left image", 2, "left image"),
    ("the image on the left", 2, "image on the left"),
    ("another image", 2, "another image"),
    ("in one image", 2, "one image"),
    ("is there any image", 2, "any image"),
    ("Which image between 1 and 2 is darker?", 3, "image between 1"),
    ("image (2)", 2, "image (2)"),
    ("the two street images", 2, "the two street images"),
    ("one dog in image 1 and 2 dogs in image 2", 2, "image 1 and 2"),
    ("in the image two men stand", 2, "image two"),
    ("From image one can see a dog.", 2, "image one"),
    ("the second one", 2, "second"),
    ("The first image has one dog, the second has two.", 2, "second"),
    ("In the first, a dog.", 2, "first"),
    ("The second.", 2, "second"),
    ("2", 2, "2"),
    ("B.", 2, "B"),
    ("the first photo of the dog", 2, "the first photo"),
    ("his first picture", 2, "first picture"),
    ("the second photo album", 2, "the second photo"),
    ("Images 1 and 3 are dark. These images", 4, "These images"),
]

CUES = st.sampled_from([text for texts in (*ALWAYS.values(), *SEVERAL.values()) for text in texts])
UNDERSTOOD = st.sampled_from(
    ["Image 1 shows a dog.", "In image 2, a cat sits.", "The first image is dark.", "Are both images dark?"]
)


@pytest.mark.parametrize(("text", "num_images", "phrase"), NAMED)
def test_what_keeps_a_text_in_front_is_named_and_left(text, num_images, phrase):
    assert unclear_phrase(text, num_images) == phrase
    assert behind(text, num_images) == text


def test_the_first_phrase_that_keeps_a_text_in_front_is_named():
    assert unclear_phrase("The first image, the next image, the other image", 2) == "the next image"


@given(CUES, UNDERSTOOD, st.integers(1, 4))
def test_a_cue_beside_understood_references_leaves_nothing_half_rewritten(cue, understood, num_before):
    for text in (f"{cue}\n{understood}", f"{understood}\n{cue}"):
        moved = behind(text, 2, num_before)
        if moved != text:
            # whatever the cue was, it now says which images it means
            assert find_unclear_reference(text, 2) is None
            assert not re.search(r"(?i)(image|photo|picture)s? #?[12]\b(?! of)", moved) or num_before == 1


@given(soup, st.integers(1, 4), st.integers(1, 3))
def test_a_text_is_rewritten_as_a_whole_or_stays_in_front(text, num_images, num_before):
    moved = rewrite_references(text, range(num_before + 1, num_before + num_images + 1), num_before + num_images)
    assert find_unclear_reference(text, num_images) is None or moved.text == text
