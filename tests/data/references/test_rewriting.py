import pytest
from hypothesis import given
from hypothesis import strategies as st

from blender.data.references import rewrite_references
from tests.data.references.reading import behind, unclear_phrase

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
    "the first among the images": "the first among images 3 and 4",
    "the second of the images": "the second of images 3 and 4",
    "the two\nimages": "images 3 and 4",
    "image #1 & #2": "image #3 & #4",
    "**Image 1**: a dog. __Image 2__: a cat.": "**Image 3**: a dog. __Image 4__: a cat.",
    "<td>Image 1</td><td>Image 2</td>": "<td>Image 3</td><td>Image 4</td>",
    "&lt;image 1&gt; and &lt;image 2&gt;": "&lt;image 3&gt; and &lt;image 4&gt;",
    "| Image 1 | Image 2 |\n|---|---|": "| Image 3 | Image 4 |\n|---|---|",
    "In\u200b image 2, a *small* dog &amp; a cat\u2009!": "In\u200b image 4, a *small* dog &amp; a cat\u2009!",
    "pictures #1 and #2": "pictures #3 and #4",
    "images #1-#2": "images #3-#4",
    "Images #1 to #2": "Images #3 to #4",
    "image #1, #2": "image #3, #4",
    "image #1 vs. #2": "image #3 vs. #4",
    "photos no. 1 and no. 2": "photos no. 3 and no. 4",
    "photos No. 1 & No. 2": "photos No. 3 & No. 4",
    "Image number 1 and number 2": "Image number 3 and number 4",
    "pictures 1 and #2": "pictures 3 and #4",
    "In image 2, a ring is in the top left.": "In image 4, a ring is in the top left.",
    "Image 1 has 2 dogs and image 2 has 1 dog.": "Image 3 has 2 dogs and image 4 has 1 dog.",
    "In Image A there is a dog; image 2 is darker.": "In Image 3 there is a dog; image 4 is darker.",
    "Image 1 has one dog and image 2 has none.": "Image 3 has one dog and image 4 has none.",
    "Neither: image 1 and image 2 both show two dogs.": "Neither: image 3 and image 4 both show two dogs.",
    "In image 1, a ring is in the top left; in image 2, it is gone.": (
        "In image 3, a ring is in the top left; in image 4, it is gone."
    ),
    "Which is brighter, image 1 or image 2?": "Which is brighter, image 3 or image 4?",
    "The one in image 2 is older than the one in image 1.": "The one in image 4 is older than the one in image 3.",
    "Two people in image 1 look at each other.": "Two people in image 3 look at each other.",
    "At first, image 2 looks calm.": "At first, image 4 looks calm.",
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
    "images #1, #2 and #4": "images #3, #4 and #6",
    "images #2-#4": "images #4-#6",
}


@pytest.mark.parametrize(
    ("text", "expected", "num_images"),
    [(*pair, n) for n, table in ((1, ONE_IMAGE), (2, TWO_IMAGES), (4, FOUR_IMAGES)) for pair in table.items()],
)
def test_references_are_renumbered(text, expected, num_images):
    assert behind(text, num_images) == expected
    assert unclear_phrase(text, num_images) is None


def test_each_changed_phrase_is_counted():
    rewrite = rewrite_references("The first image and image 2; both images; the image.", [2, 3], 3)
    assert rewrite.text == "Image 2 and image 3; both images 2 and 3; the image."
    assert rewrite.num_rewritten == 3


def test_only_words_that_change_are_counted():
    assert rewrite_references("image 1 and image 2", [1, 3], 3).num_rewritten == 1


def test_a_text_that_is_not_understood_as_a_whole_is_not_rewritten_in_part():
    assert behind("Image 1 is dark, the other is bright.", 2) == "Image 1 is dark, the other is bright."
    assert behind("la première image et l'image 2", 2) == "la première image et l'image 2"


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


#: text of which no word points at anything
plain = st.text(alphabet=" \t,;:'\"“”*()", max_size=30) | st.sampled_from(
    ["A dog is lying there", "There are 2 dogs on a table", "What are the people in this scene doing", "It is 10:30 am"]
)


@given(sentences(), plain, plain, st.integers(1, 4))
def test_nothing_but_the_references_changes(sentence, before, after, num_before):
    text = f"{before} . {sentence[0][0]} . {after}"
    assert behind(text, 4, num_before) == f"{before} . {meant(sentence, num_before)} . {after}"
    assert unclear_phrase(text, 4) is None


@given(sentences(), st.integers(1, 4), st.integers(1, 4))
def test_moving_twice_is_moving_once(sentence, near, far):
    text = sentence[0][0]
    once = rewrite_references(text, range(near + 1, near + 5), near + 4).text
    twice = rewrite_references(once, range(far + 1, far + near + 5), far + near + 4).text
    assert twice == behind(text, 4, near + far)
