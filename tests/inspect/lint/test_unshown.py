import polars as pl
import pytest

from blender.inspect.lint.unshown import find_spoken, speaks_of_unshown
from blender.recipe.lint import Suppression
from tests.inspect.lint.blends import ask, details, found


@pytest.mark.parametrize(
    "text",
    [
        "What is in the image?",
        "Describe this photo.",
        "Describe the following picture in detail.",
        "What do you see in these pictures?",
        "Look at the picture and tell me more.",
        "Please describe, in short, the main image.",
        "The image features a man on a horse.",
        "The photograph shows two dogs.",
        "What is the man in the left image doing?",
        "How many people are there in both images?",
        "IN THE IMAGE a man walks",
        "图中有什么？",
        "这张图片里有几只狗？",
        "この画像には何がありますか",
        "이 사진에서 무엇이 보이나요?",
        "¿Qué se ve en la imagen?",
        "Que voit-on dans l’image ?",
        "Was ist auf dem Bild zu sehen?",
        "O que há na imagem?",
        "Cosa si vede nell'immagine?",
        "Что изображено на картинке?",
    ],
)
def test_a_picture_that_is_spoken_of_is_found(text):
    assert find_spoken(text)
    turns = pl.DataFrame({"question": [text, "Why?", text], "answer": ["A dog.", text, "A dog."], "shown": [0, 0, 1]})
    assert speaks_of_unshown(turns).to_list() == [True, True, False]


@pytest.mark.parametrize(
    "text",
    [
        "How do I resize an image in Python?",
        "Set the width of the image to 100%.",
        "Images are stored as arrays of pixels.",
        "In the big picture, this does not matter.",
        "Man was made in the image of God.",
        "Who wrote The Picture of Dorian Gray?",
        "She imagined a picture of the sea.",
        "Pull the latest docker image.",
        "The photo editor was late.",
    ],
)
def test_speaking_of_pictures_in_general_is_fine(text):
    assert find_spoken(text) is None
    turns = pl.DataFrame(
        {"question": [text, f"{text} And what is in this photo?"], "answer": ["Yes."] * 2, "shown": [0, 0]}
    )
    assert speaks_of_unshown(turns).to_list() == [False, True]


def test_it_is_told_with_the_phrase(made):
    made.plain(1)
    made.records().append(
        ask(None, ("What is in this photo?", "A red ball, it seems to me."), ("Why?", "I do not know."))
    )
    report = made.lint()
    assert found(report) == {"image_not_shown": 1}
    assert details(report, "image_not_shown") == [
        "‘this photo’, and no image is shown by then, in the question “What is in this photo?”"
    ]


def test_a_system_text_may_speak_of_the_images_of_the_whole_sample(made):
    def record(system, *images):
        first, *rest = [{"from": "human", "value": "Why?"}, {"from": "gpt", "value": "So it is, as far as I can tell."}]
        last = [{"from": "human", "value": "And this?" + "\n<image>" * len(images)}, {"from": "gpt", "value": "A dog."}]
        turns = [{"from": "system", "value": system}, first, *rest, *last]
        return {"id": system, "conversations": turns, **({"image": images[0]} if images else {})}

    made.draw(0)
    made.records().extend([record("Answer about this photo."), record("Describe the image.", "0.jpg")])
    made.keep_system_texts()
    report = made.lint(suppress=[Suppression(check="answer_one_word")])
    assert found(report)["image_not_shown"] == 1
    assert details(report, "image_not_shown") == [
        "‘this photo’, and no image is shown, in the system text “Answer about this photo.”"
    ]
