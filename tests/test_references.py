import re

import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from blender.references import COARSE, rewrite_references, unresolvable


def behind(text, num_images, num_before=2):
    """The text of a record of ``num_images`` images, behind ``num_before`` others."""
    numbers = range(num_before + 1, num_before + num_images + 1)
    return rewrite_references(text, numbers, num_before + num_images).text


ONE_IMAGE = {
    "the first image": "image 3",
    "The first image shows a dog.": "Image 3 shows a dog.",
    "First image: a dog.": "Image 3: a dog.",
    "THE FIRST IMAGE": "IMAGE 3",
    "What is in the 1st picture?": "What is in picture 3?",
    "image 1": "image 3",
    "Image 1: a dog": "Image 3: a dog",
    "image #1, image no. 1, image number 1 and image1": "image #3, image no. 3, image number 3 and image3",
    "image one shows": "image 3 shows",
    "Image A shows a dog.": "Image 3 shows a dog.",
    "What does image a show? In image a, a dog.": "What does image 3 show? In image 3, a dog.",
    "the last image and the final photo": "image 3 and photo 3",
    "the first image's colour": "image 3's colour",
    "the first given image": "image 3",
    "the very first picture": "picture 3",
}

TWO_IMAGES = {
    "The first image shows a dog, while the second image has two.": "Image 3 shows a dog, while image 4 has two.",
    "In the second image, a cat.": "In image 4, a cat.",
    "a second image": "image 4",
    "the second picture": "picture 4",
    "the second image's colour": "image 4's colour",
    "Only the first image shows a bus.": "Only image 3 shows a bus.",
    "first and second images": "images 3 and 4",
    "the first and the second image": "images 3 and 4",
    "the first or second image": "image 3 or 4",
    "the first or the last image": "image 3 or 4",
    "the first two images": "images 3 and 4",
    "images 2 and 1": "images 4 and 3",
    "pictures 1 & 2": "pictures 3 & 4",
    "image 1 vs. 2": "image 3 vs. 4",
    "image 1 and 2 show": "image 3 and 4 show",
    "from image 1 to image 2": "from image 3 to image 4",
    "image two": "image 4",
    "image number two": "image number 4",
    "Image B": "Image 4",
    "the image B": "the image 4",
    "image a shows a dog and image b shows a cat": "image 3 shows a dog and image 4 shows a cat",
    "in image a a man, in image b nobody": "in image 3 a man, in image 4 nobody",
    "images A and B": "images 3 and 4",
    "a dog in image B and a cat in image A": "a dog in image 4 and a cat in image 3",
    "image b's colour": "image 4's colour",
    "both images": "both images 3 and 4",
    "Both images show a dog.": "Both images 3 and 4 show a dog.",
    "Both of the images": "Both of images 3 and 4",
    "both image 1 and image 2": "both image 3 and image 4",
    "The two pictures": "Pictures 3 and 4",
    "What is the difference between the two images?": "What is the difference between images 3 and 4?",
    "between two images": "between images 3 and 4",
    "between images": "between images 3 and 4",
    "these two photos": "photos 3 and 4",
    "All images are dark.": "All of images 3 and 4 are dark.",
    "not all of the images": "not all of images 3 and 4",
    "Each image shows": "Each of images 3 and 4 shows",
    "each of the images": "each of images 3 and 4",
    "in every image": "in every one of images 3 and 4",
    "either image": "either of images 3 and 4",
    "Neither image shows": "Neither of images 3 and 4 shows",
    "Which image is darker?": "Which of images 3 and 4 is darker?",
    "Which of the two images shows a dog?": "Which of images 3 and 4 shows a dog?",
    "which of the images": "which of images 3 and 4",
    "Which image or images": "Which of images 3 and 4",
    "which image(s)": "which of images 3 and 4",
    "the images, these images, those images": "images 3 and 4, images 3 and 4, images 3 and 4",
    "the given images": "images 3 and 4",
    "the second of the images": "the second of images 3 and 4",
    "the two\nimages": "images 3 and 4",
}

FOUR_IMAGES = {
    "images 1, 2, and 4": "images 3, 4, and 6",
    "images 3 and 1": "images 5 and 3",
    "images 2-4": "images 4-6",
    "images 2 to 4": "images 4 to 6",
    "images A–C": "images 3–5",
    "images a, b and d": "images 3, 4 and 6",
    "images 1-3 and 4": "images 3-5 and 6",
    "images 1, 2, 3 show": "images 3, 4, 5 show",
    "in images 1 and 2, 3 men are standing": "in images 3 and 4, 3 men are standing",
    "the first three images": "images 3, 4 and 5",
    "the last two images": "images 5 and 6",
    "first, second and third images": "images 3, 4 and 5",
    "the first to third images": "images 3 to 5",
    "which two images": "which two of images 3, 4, 5 and 6",
    "all four images": "all of images 3, 4, 5 and 6",
    "two of the images": "two of images 3, 4, 5 and 6",
    "Compare the images.": "Compare images 3, 4, 5 and 6.",
}


@pytest.mark.parametrize(
    ("text", "expected", "num_images"),
    [(*pair, n) for n, table in ((1, ONE_IMAGE), (2, TWO_IMAGES), (4, FOUR_IMAGES)) for pair in table.items()],
)
def test_references_are_renumbered(text, expected, num_images):
    assert behind(text, num_images) == expected
    assert unresolvable(text, num_images) is None


@pytest.mark.parametrize(
    ("text", "num_images", "phrase"),
    [
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
        ("the second one", 2, "the second one"),
        ("The first image has one dog, the second has two.", 2, "the second has"),
        ("In the first, a dog.", 2, "In the first"),
        ("The second.", 2, "The second."),
        ("2", 2, "2"),
        ("B.", 2, "B."),
        ("the first photo of the dog", 2, "the first photo"),
        ("his first picture", 2, "first picture"),
        ("the second photo album", 2, "the second photo"),
        ("Images 1 and 3 are dark. These images", 4, "These images"),
    ],
)
def test_what_cannot_be_renumbered_is_named_and_left(text, num_images, phrase):
    assert unresolvable(text, num_images) == phrase
    assert phrase in behind(text, num_images)


def test_the_first_phrase_that_cannot_be_renumbered_is_named():
    assert unresolvable("The first image, the next image, the other image", 2) == "the next image"


@pytest.mark.parametrize(
    "text",
    [
        "In the image a man stands on the left of the image.",
        "In the image 2 men are standing.",
        "In this image, two men; in the picture one can see three.",
        "The picture pictures two dogs.",
        "Picture a beach.",
        "Is this image a good example of a first class picture-perfect day?",
        "At first, the image looks calm.",
        "The first thing in the image is a dog, the second thing a cat.",
        "Satellite images are useful. Images of dogs are common.",
        "Image sizes 1 and 2, 2 dogs, sections A and B.",
        "The pictures on the wall and the first picture hanging above the sofa.",
        "The left image of a mirror, the image on the left.",
        "his first picture, the first photo of the day, the first photo album",
        "a photo c. 1920, a photo f/2.8, image 3D, an 8-bit image, image 8-bit",
        "Describe the following image. This image, that image, the image, an image.",
        "...as seen in the image\n2. The dog\n3. The cat",
        "At first image editing is hard.",
        "The second one is darker; in the second, a dog.",
        "2",
        "Imagery, imagesize, imaginary 2, epic 2, topics 1 and 2, photosynthesis 3",
    ],
)
def test_prose_of_a_record_with_one_image_is_left_alone(text):
    assert rewrite_references(text, [3], 3) == rewrite_references(text, [1], 1)
    assert unresolvable(text, 1) is None


@pytest.mark.parametrize(
    "text",
    [
        "the image, this image, that image, an image, the latter image, the same image",
        "In the image a man stands.",
        "Satellite images are useful.",
        "image sizes 1 and 2",
        "At first, the image looks calm.",
    ],
)
def test_prose_of_a_record_with_several_images_is_left_alone(text):
    assert behind(text, 2) == text
    assert unresolvable(text, 2) is None


def test_each_changed_phrase_is_counted():
    rewrite = rewrite_references("The first image and image 2; both images; the image.", [2, 3], 3)
    assert rewrite.text == "Image 2 and image 3; both images 2 and 3; the image."
    assert rewrite.num_rewritten == 3


def test_only_words_that_change_are_counted():
    assert rewrite_references("image 1 and image 2", [1, 3], 3).num_rewritten == 1


def test_images_shown_apart_keep_their_own_numbers():
    numbers = [2, 5, 6, 9]
    assert rewrite_references("images 1-3, images 2-3, images 3-4", numbers, 9).text == (
        "images 2, 5 and 6, images 5-6, images 6 and 9"
    )
    assert rewrite_references("both images", [4, 2], 5).text == "both images 4 and 2"


def test_all_images_are_spelled_out_when_the_sample_has_shown_more():
    assert rewrite_references("Compare both images.", [1, 2], 3).text == "Compare both images 1 and 2."
    assert rewrite_references("the last image", [1, 2], 3).text == "image 2"


# --- what holds for every text ---------------------------------------------------------------------------------------

NOUNS = ["image", "picture", "photo", "photograph", "pic", "snapshot"]
ORDINALS = ["first", "second", "third", "fourth"]


def listed(numbers):
    *most, last = map(str, numbers)
    return f"{', '.join(most)} and {last}" if most else last


@st.composite
def sentences(draw, num_images=4):
    """A sentence with ``{}`` for its references, each as the record writes it and as the images that it means."""
    noun, k, other = draw(st.sampled_from(NOUNS)), *draw(st.permutations(range(1, num_images + 1)))[:2]
    every = range(1, num_images + 1)
    low, high = sorted((k, other))
    return draw(
        st.sampled_from(
            [
                (f"In {noun} {k}, a dog sits.", "In {n} {}, a dog sits.", [[k]]),
                (f"In the {ORDINALS[k - 1]} {noun}, a dog sits.", "In {n} {}, a dog sits.", [[k]]),
                (f"{noun.title()} {'ABCD'[k - 1]} shows a dog.", "{N} {} shows a dog.", [[k]]),
                (f"The {k}{['st', 'nd', 'rd', 'th'][k - 1]} {noun}'s sky", "{N} {}'s sky", [[k]]),
                (f"Are {noun}s {k} and {other} alike?", "Are {n}s {} and {} alike?", [[k], [other]]),
                (f"{noun}s {low} to {high} show dogs", "{n}s {} to {} show dogs", [[low], [high]]),
                (f"Are all four {noun}s alike?", "Are all of {n}s {} alike?", [every]),
                (f"Which {noun} is darker?", "Which of {n}s {} is darker?", [every]),
                (f"Which two of the {noun}s are dark?", "Which two of {n}s {} are dark?", [every]),
                (f"What do these {noun}s share?", "What do {n}s {} share?", [every]),
                (f"The last two {noun}s are dark.", "{N}s {} are dark.", [[3, 4]]),
                (f"The final {noun} is dark.", "{N} {} is dark.", [[4]]),
                (f"Is this {noun} dark, with 2 dogs and a man?", "Is this {n} dark, with 2 dogs and a man?", []),
            ]
        )
    ), noun


def meant(sentence, num_before):
    (_, template, references), noun = sentence
    spelled = [listed(k + num_before for k in reference) for reference in references]
    return template.replace("{n}", noun).replace("{N}", noun.title()).format(*spelled)


plain = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=30).filter(
    lambda text: not re.search("(?i)im|pic|ph|snap|the", text)
)


@given(sentences(), plain, plain, st.integers(1, 4))
def test_nothing_but_the_references_changes(sentence, before, after, num_before):
    text = f"{before} . {sentence[0][0]} . {after}"
    assert behind(text, 4, num_before) == f"{before} . {meant(sentence, num_before)} . {after}"
    assert unresolvable(text, 4) is None


@given(sentences(), st.integers(1, 4), st.integers(1, 4))
def test_moving_twice_is_moving_once(sentence, near, far):
    text = sentence[0][0]
    once = rewrite_references(text, range(near + 1, near + 5), near + 4).text
    twice = rewrite_references(once, range(far + 1, far + near + 5), far + near + 4).text
    assert twice == behind(text, 4, near + far)


WORDS = [
    *("image", "images", "Image", "PICTURES", "photo", "photograph", "pics", "pic", "snapshot", "image(s)", "images'"),
    *(
        "the",
        "a",
        "The",
        "A",
        "b",
        "B",
        "these",
        "both",
        "all",
        "of",
        "each",
        "which",
        "any",
        "every",
        "between",
        "from",
    ),
    *("first", "second", "2nd", "last", "final", "most recent", "previous", "other", "another", "one", "two", "three"),
    *(
        "1",
        "2",
        "3",
        "12",
        "2.5",
        "#",
        "no.",
        "number",
        "and",
        "or",
        "to",
        "-",
        ",",
        "&",
        "vs.",
        "given",
        "left",
        "few",
    ),
    *("is", "shows", "can", "street", "dogs", "on", "wall", "in", "at", "his", "'s", "(2)", '"b"', "pair", "couple of"),
    *(
        ".",
        "\n",
        "\u00a0",
        "\r\n",
        "\t",
        "\u017f",
        "\u0131mage",
        "\u212a",
        "é",
        "second-to-last",
        "top",
        "your",
        "one.",
    ),
]
soup = st.lists(st.tuples(st.sampled_from(WORDS), st.sampled_from(["", " ", " ", " ", "  ", "\n"])), max_size=9).map(
    lambda words: "".join(word + gap for word, gap in words)
)


@given(soup, st.integers(0, 4))
@example("images.", 1)
@example("which image", 0)
@example("\u0131mage 2", 1)
@example('image "b"', 2)
@example("any  of snapshot", 3)
@example("\u212apic 1", 1)
@example("the first couple of given image", 2)
def test_whatever_can_be_found_passes_the_sieve(text, num_images):
    found = unresolvable(text, num_images) is not None or behind(text, num_images) != text
    if found:
        assert re.search(COARSE, text)
        assert pl.Series([text]).str.contains(COARSE)[0]


@given(soup | st.text(), st.integers(0, 4))
def test_the_identity_changes_nothing(text, num_images):
    rewrite = rewrite_references(text, range(1, num_images + 1), num_images)
    assert (rewrite.text, rewrite.num_rewritten) == (text, 0)


@given(soup, st.integers(1, 4))
def test_a_phrase_that_cannot_be_renumbered_is_part_of_the_text(text, num_images):
    phrase = unresolvable(text, num_images)
    assert phrase is None or (phrase and phrase in text)


@pytest.mark.parametrize(
    "text",
    [
        "What do you see in this image?",
        "The image shows a man; on the left side of the picture, two dogs. In the middle of the photo, a car.",
        "The first thing in this image is a dog, the second a cat, and one of the men is pictured in the photo.",
        "All in all, the small picture is a good example of the topics 1 and 2.",
    ],
)
def test_everyday_prose_does_not_pass_the_sieve(text):
    assert not re.search(COARSE, text)
    assert not pl.Series([text]).str.contains(COARSE)[0]
