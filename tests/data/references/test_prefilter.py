import re
import time

import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from blender.data.references import PREFILTER, find_unclear_reference, must_be_read, rewrite_references
from tests.data.references.reading import behind, unclear_phrase
from tests.data.references.soup import soup


def passes(text):
    return pl.DataFrame({"text": [text]}).select(must_be_read(pl.col("text")))["text"][0]


@given(soup, st.integers(0, 1))
@example("images.", 1)
@example("which image", 0)
@example("\u0131mage 2", 1)
@example('image "b"', 1)
@example("any  of snapshot", 1)
@example("\u212apic 1", 1)
@example("the first couple of given image", 1)
@example("half of images", 1)
@example("before\nimage", 1)
@example("imageB", 1)
@example("Image II", 1)
@example("image ②", 1)
@example("figure\u00a01", 1)
@example("image No. two", 1)
@example("image #one", 1)
@example("photo a)", 1)
@example("image twelve", 1)
@example("image i.", 1)
@example("slide two", 1)
@example("image: 2", 1)
@example("the first (left) image", 1)
@example("the twenty-first image", 1)
def test_whatever_can_be_found_in_a_record_of_one_image_passes(text, num_images):
    if unclear_phrase(text, num_images) is not None or behind(text, num_images) != text:
        assert passes(text)


@given(soup)
@example("image\u0131mage")
@example("\u0131mageone")
def test_python_and_polars_find_the_same(text):
    # the dotless and the dotted I are an i to Python's "(?i)" alone
    text = text.replace("\u0131", "").replace("\u0130", "")
    assert bool(re.search(PREFILTER, text)) == pl.Series([text]).str.contains(PREFILTER)[0]


@given(soup | st.text(), st.integers(0, 4))
def test_the_identity_changes_nothing(text, num_images):
    rewrite = rewrite_references(text, range(1, num_images + 1), num_images)
    assert (rewrite.text, rewrite.num_rewritten) == (text, 0)


@given(soup | st.text(), st.integers(0, 4))
def test_what_keeps_a_text_in_front_is_part_of_it(text, num_images):
    phrase = unclear_phrase(text, num_images)
    assert phrase is None or (phrase and phrase in text)


@pytest.mark.parametrize(
    "text",
    [
        "What do you see in this image?",
        "The image shows a man; on the left side of the picture, two dogs. In the middle of the photo, a car.",
        "The first thing in this image is a dog, the second a cat, and one of the men is pictured in the photo.",
        "All in all, the small picture is a good example of the topics 1 and 2.",
        "Yes.",
        "There is 1 cat, and 2 dogs.",
    ],
)
def test_everyday_prose_is_not_read(text):
    assert not passes(text)


@pytest.mark.parametrize(
    "text", ["¿Cuál es la segunda imagen?", "图1中有什么？", "Was zeigt Bild 2?", "на второй картинке"]
)
def test_other_languages_with_a_sign_are_read(text):
    assert passes(text)


HOSTILE = [
    "image ", "image a ", "in image a man ", "the first ", "first, second, ", "1, ", "image 1, ", "images 1-",
    "a", "A ", "# ",
    "two two ", "two aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa ", "the image on the ", "both of the ", "- ", "\n", " ",
    "(", "fig. ",
    "image-", "second-", "photo or photos ", "each other ", "image number ", "第", "é", "the other ", "which ",
    "of the images ",
    "the next image ", "image 99 ", "1.1", "1,000", "they ", "In which ", "\ue000", "left left ", "'s",
    "most recent ", ". ", "*", "_", "&nbsp;", "\u200b", "<b ", "** ", "image a) ",
]  # fmt: skip


@pytest.mark.parametrize("piece", HOSTILE)
def test_reading_takes_time_in_proportion_to_the_length(piece):
    def seconds(length):
        text = piece * (length // len(piece))
        begun = time.process_time()
        find_unclear_reference(text, 3)
        find_unclear_reference(text, 1)
        return time.process_time() - begun

    # ten times the length may take ten times as long; a square would take a hundred times
    short = min(seconds(1_000) for _ in range(3))
    assert seconds(10_000) < 35 * max(short, 0.004)
