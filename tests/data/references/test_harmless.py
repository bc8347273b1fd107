import pytest

from blender.data.references import find_unclear_reference, rewrite_references
from tests.data.references.reading import behind, unclear_phrase

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


@pytest.mark.parametrize("text", HARMLESS)
def test_what_points_at_something_else_may_stand_behind_other_images(text):
    assert find_unclear_reference(text, 2) is None
    assert behind(text, 2) == text


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
    assert unclear_phrase(text, 1) is None
