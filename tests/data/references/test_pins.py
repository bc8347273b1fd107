import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blender.data.references import find_pin, rewrite_references
from tests.data.references.reading import behind, pinned_by, reason
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

#: what keeps a record in front whatever the number of its images: reason → texts
ALWAYS = {
    "spelling": [
        "Image No. two",
        "image #one",
        "image n°2",
        "Picture A/B",
        "photos a) and b)",
        "image twenty",
        "image ii",
        "image-two",
        "slide two",
        "panel a",
        "Images: 1, 2",
        "Image: 2",
        "The dog. Image = 2",
        "Image-1",
        "photo-1",
        "image_1",
        "Img1",
        "img 2",
        "Image I",
        "Image II shows a dog",
        "Picture III",
        "image (2)",
        'Image "B" shows',
        "[image: see image_2]",
        "images-2",
        "Image—1",
        "imageB",
        "picture ②",
        "image １",
        "image number #2",
        "Image **2** shows",
        "img. 3 is the odd one out",
        "Img. 1 has a dog",
        "IMG_0002 shows the sky",
        "image1.jpg shows a cat",
        "photo2.jpeg",
        "image (#2)",
        "Image (No. 2)",
        "Image (i) shows",
        "Image (ii)",
        "image {2}",
        "image <2>",
        "image `2`",
        "Image (one)",
        "ImageNo2",
        "image_no_2",
        "Image no1",
        "image n. 2",
        "image nos. 1 and 2",
        "the B image",
        'the "A" photo',
        "imageTwo",
        "ImageOne",
        "first_image",
        "the_second_image",
        "the no. 2 image",
        "the #2 image",
        "the number two picture",
        "No. 1 photo",
        "the image labelled B",
        "the image marked 'A'",
        "the image numbered 2",
        "the image with number 2",
        "image id: 2",
        "the image at position two",
        "imgae 2 is darker",
        "the second iamge",
        "phto 1",
        "Figure 2a shows",
        "Scene 2 of the play",
        "the **second** image",
        "the <b>first</b> image",
        "Image <b>2</b>",
        "Image&nbsp;2 shows",
        "image 1 &amp; 2",
        "Image\u200b2",
        "Im\u200bage 2 is dark",
        "I\u00admage 2",
        "Image\u202f2",
        "Image\u30002",
        "Image   2",
        "Ｉｍａｇｅ 2",
        "Image \U0001d7d0 is dark",
        "Image ⑵",
        "the image Ⅱ",
        "figure 1 versus figure 2",
        "Fig. 2 shows a dog",
        "figure B is darker",
        "screenshot 2",
        "Screenshot #1",
        "slide 3",
        "1st screenshot",
        "the second screenshot",
        "the last slide",
        "the second and third figures",
        "frame 2 is darker",
        "Panel B shows",
    ],
    "relative": [
        "the twenty-first image",
        "the first (left) image",
        "the eleventh photo",
        "the previous image",
        "the next photo",
        "the other image",
        "every other image",
        "the first pair of images",
        "the second half of the images",
        "the other set of images",
        "odd-numbered images",
        "the even images",
        "the initial image and the subsequent image",
        "before image / after image",
        "the after image",
        "the before picture",
        "the opening photo",
        "the remaining pictures",
        "the second-to-last image",
    ],
    "number": [
        "images 1—2",
        "images 1 thru 2",
        "images 1 until 4",
        "images 1 up to 4",
        "images 1..4",
        "images 1 and/or 2",
        "images 1 ~ 7",
        "image 1/2",
        "image 12",
        "image 2.5",
        "image 1/2",
        "image 1 + 2",
        "Image 1 News",
        "images 1 and 9",
        "photos no. 1 and no. 7",
        "image #1 & #7",
    ],
    "some_image": [
        "I took the first photo at 9 am",
        "She posted the first picture yesterday.",
        "the first image that shows a dog",
        "the first photo which he sent",
        "Every first image",
        "Every second image",
        "every third photo",
        "each fifth image",
    ],
}

#: what keeps a record of several images in front and is prose in a record of one
SEVERAL = {
    "ordinal": [
        "the first, second and fourth",
        "in the after",
        "before",
        "before and after",
        "before shows a car that the after doesn't",
        "then and now",
        "i) a dog ii) a cat",
        "(i) a dog (ii) a cat",
        "In the first, a dog.",
        "The second.",
        "The former is dark.",
        "the latter image",
        "First, a dog. Second, a cat.",
        "Firstly, a dog; secondly, a cat.",
        "The first dog is larger.",
        "Before: a house.",
        "the second scene",
        "I like the last.",
        "The first shows a dog.",
        "World War II",
    ],
    "letter": [
        "A is brighter than B",
        "A.",
        "The correct choice is A.",
        "A = a dog",
        "A - a dog",
        '"A"',
        "BCAD",
        "2143",
        "B.",
        "b",
        "B is brighter",
        "C and D are alike",
        "(a) a dog",
        "A shows a dog",
        "a) a dog or b)",
        "X is older",
    ],
    "count": [
        "Number 1 is a cat",
        "animal1 has a black beak",
        "2/4",
        "3/4 show dogs",
        "the one showing the dog",
        "(1) a dog (2) a cat",
        "1. A dog",
        "2",
        "Two are dark.",
        "All four show dogs",
        "#1 is a dog",
        "No. 2 shows a cat.",
        "One is dark.",
        "Between the two, I prefer it",
        "1 vs 2",
        "one of them",
        "This one is darker.",
        "Two of these show dogs.",
        "the two scenes",
        "One shows a dog.",
        "image sizes 1 and 2",
        "12 and 3",
        "1) a dog",
    ],
    "holder": [
        "All but one dog",
        "everything",
        "half show dogs",
        "How many dogs are there in total?",
        "How many dogs altogether?",
        "in all",
        "the odd one out",
        "the original",
        "the edited version",
        "in reverse order",
        "What order?",
        "What distinguishes them?",
        "What sets them apart?",
        "both posters",
        "Both are dark.",
        "Which one is brighter?",
        "Which is brighter?",
        "the other is brighter",
        "The other depicts a dog.",
        "the rest",
        "Neither.",
        "Each shows a dog.",
        "In which is it raining?",
        "They are alike.",
        "Describe them.",
        "Do they show dogs?",
        "What do these have in common?",
        "Every scene is dark.",
        "Both scenes are dark.",
        "the other frame",
        "Another shows a dog.",
        "None of them",
        "All are dark.",
        "Some are dark.",
        "A dog and a cat, respectively",
        "Are those of the same place?",
    ],
    "side": [
        "Left: a dog. Right: a cat.",
        "A dog on the right",
        "It is in the middle.",
        "left",
        "Right.",
        "left bird is red",
        "Left bird: red",
        "The left is darker.",
        "the rightmost",
        "From the left: a dog.",
        "on the top",
    ],
    "comparison": [
        "Is it brighter?",
        "What is the difference?",
        "What changed?",
        "What is new?",
        "What is missing?",
        "The car is gone.",
        "The car is no longer there.",
        "The man is not there anymore.",
        "A car has appeared.",
        "The man has left.",
        "There are fewer people.",
        "What was removed?",
        "It's darker now.",
        "Now there are two dogs.",
        "Compare.",
        "Compare images.",
        "How similar is it?",
        "It is darker.",
        "The dog is bigger than the cat.",
        "Is the place the same?",
        "What is different?",
        "It has more dogs than before.",
    ],
    "some_image": [
        "no image shows a dog",
        "What image shows a dog?",
        "How many images show a dog?",
        "multiple images",
        "Look at my images.",
        "An image contains exactly two dogs.",
        "A photo shows a dog.",
        "alternate images",
        "the image I sent earlier",
        "the image before this",
        "the picture from before",
        "the image from the previous turn",
        "the image in second place",
        "the image pair",
        "this image sequence",
        "the second image from the right",
        "the third picture from the left",
        "the darker image",
        "the picture on the left",
        "the black-and-white photo",
        "another image",
        "in one image",
        "the left image",
        "some images",
        "the first image that comes to mind",
        "the first photo he ever took",
        "his first picture",
        "the two street images",
    ],
    "all_images": [
        "Images show dogs.",
        "Are images alike?",
    ],
    "number": ["The Image 1 logo", "in the image two men stand"],
}

#: what may stand behind other images, though its record has several
HARMLESS = [
    "the image, this image, that image, an image, the same image",
    "In the image a man stands.",
    "Satellite images are useful.",
    "At first, the image looks calm.",
    "Two dogs are playing with a ball.",
    "There are 2 dogs and three small white cats.",
    "12 people are standing in line.",
    "Twenty-one people, 3.5 metres, 10:30 am, 50% and $5.",
    "It was taken in 2019, or in the 1920s.",
    "The people say they are not there.",
    "The dogs look at each other.",
    "No one is in the street.",
    "One can see a dog.",
    "One of the dogs is asleep.",
    "On the one hand it is dark, on the other hand it is warm.",
    "Each person has an umbrella.",
    "Other people are waiting.",
    "Another man is waiting.",
    "Both men are waiting.",
    "All of the people are waiting.",
    "A man stands on the left side of the road.",
    "To the right of the car there is a dog.",
    "He raises his left hand.",
    "The dog is next to a tree, right behind the house.",
    "It is on the second floor.",
    "She won first place.",
    "A dog and a cat, which is asleep.",
    "It is a room in which people sit.",
    "More than two dogs are there.",
    "Which dog is asleep?",
    "Yes.",
    "A dog.",
    "0",
    "The rest of the room is dark.",
]


@pytest.mark.parametrize(("text", "num_images", "phrase"), NAMED)
def test_what_keeps_a_text_in_front_is_named_and_left(text, num_images, phrase):
    assert pinned_by(text, num_images) == phrase
    assert behind(text, num_images) == text


def test_the_first_phrase_that_keeps_a_text_in_front_is_named():
    assert pinned_by("The first image, the next image, the other image", 2) == "the next image"


@pytest.mark.parametrize("num_images", [1, 2, 4])
@pytest.mark.parametrize("text", [text for texts in ALWAYS.values() for text in texts])
def test_what_may_name_an_image_and_is_not_understood_stays_in_front(text, num_images):
    assert find_pin(text, num_images) is not None
    assert behind(text, num_images) == text


@pytest.mark.parametrize(("text", "word"), [(text, word) for word, texts in ALWAYS.items() for text in texts])
def test_the_reason_is_said_in_a_word(text, word):
    assert reason(text, 1) == word


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


PROSE_OF_ONE = [text for word, texts in SEVERAL.items() if word != "all_images" for text in texts]


@pytest.mark.parametrize("text", PROSE_OF_ONE)
def test_the_same_words_are_prose_where_there_is_one_image(text):
    assert find_pin(text, 1) is None
    assert behind(text, 1) == text


@pytest.mark.parametrize("text", HARMLESS)
def test_what_points_at_something_else_may_stand_behind_other_images(text):
    assert find_pin(text, 2) is None
    assert behind(text, 2) == text


def test_the_images_shown_later_make_a_record_one_of_several():
    assert find_pin("Which one is brighter?", 1) is None
    assert find_pin("Which one is brighter?", 1, several=True) is not None


@pytest.mark.parametrize(
    "text",
    [
        "It is a lively scene. One of the cows is asleep. A scene: two dogs. In this frame, a man.",
        "What is in the image A. cat B. dog",
        "What is in the image (A) a cat (B) a dog",
        "What is in this picture 1) a cat 2) a dog",
        "Rate the image 1 to 5.",
        "Give a short and clear explanation of the subsequent image.",
        "Two pictures hang on the wall.",
        "The second figure from the left; a figure eight.",
        "The <b>man</b> in the *first* row of the image &amp; a dog.",
        "The figure is a man; the figure on the left is a woman. A frame 2 m wide. Four panels.",
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
    assert pinned_by(text, 1) is None


# --- what holds for every text ---------------------------------------------------------------------------------------

SIGNS = st.sampled_from([text for texts in (*ALWAYS.values(), *SEVERAL.values()) for text in texts])
UNDERSTOOD = st.sampled_from(
    ["Image 1 shows a dog.", "In image 2, a cat sits.", "The first image is dark.", "Are both images dark?"]
)


@given(SIGNS, UNDERSTOOD, st.integers(1, 4))
def test_a_sign_beside_understood_references_leaves_nothing_half_rewritten(sign, understood, num_before):
    for text in (f"{sign}\n{understood}", f"{understood}\n{sign}"):
        moved = behind(text, 2, num_before)
        if moved != text:
            # whatever the sign was, it now says which images it means
            assert find_pin(text, 2) is None
            assert not re.search(r"(?i)(image|photo|picture)s? #?[12]\b(?! of)", moved) or num_before == 1


@given(soup, st.integers(1, 4), st.integers(1, 3))
def test_a_text_is_rewritten_as_a_whole_or_stays_in_front(text, num_images, num_before):
    moved = rewrite_references(text, range(num_before + 1, num_before + num_images + 1), num_before + num_images)
    assert find_pin(text, num_images) is None or moved.text == text
