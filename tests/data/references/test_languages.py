import pytest

from blender.data.references.languages import is_english
from tests.data.references.reading import reason

FOREIGN = [
    "¿Qué se ve en la imagen?",
    "Hay un perro y un gato en la mesa.",
    "Que voit-on dans cette image ?",
    "Le chien est sur la table avec un chat.",
    "Was sieht man auf dem Bild?",
    "Der Hund ist auf dem Tisch und schläft.",
    "O que se vê na imagem?",
    "Cosa si vede nella foto?",
    "Il cane è sul tavolo con un gatto.",
    "Wat staat er op de foto?",
    "Co jest na zdjęciu?",
    "Resimde ne var?",
    "Vad visar bilden?",
    "Mitä kuvassa on, ja mitä ihmiset tekevät siinä?",
    "Apa yang ada di gambar ini?",
    "Có gì trong hình ảnh này?",
    "Что изображено на картинке?",
    "Що зображено на малюнку?",
    "图片里有什么？",
    "この画像には何が写っていますか。",
    "이 사진에는 무엇이 있나요?",
    "ماذا يوجد في الصورة؟",
    "इस तस्वीर में क्या है?",
    "Τι δείχνει η εικόνα;",
    "מה רואים בתמונה?",
    "ในภาพมีอะไร",
]
ENGLISH = [
    "What is in the image?",
    "A dog.",
    "Yes.",
    "Red.",
    "Two dogs lying on a couch next to each other.",
    "Skateboarding in a park.",
    "Black and white cat",
    "Is the man wearing a café apron?",
    "It reads “Crème brûlée – 5 €”.",
    "No, it is not.",
    "white van",
    "A street sign captures a lively moment next to a wooden bench.",
    "42",
    "!?",
]


@pytest.mark.parametrize("text", FOREIGN)
def test_other_languages_are_told_from_english(text):
    assert not is_english(text)


@pytest.mark.parametrize("text", ENGLISH)
def test_english_is_recognised(text):
    assert is_english(text)


def test_words_of_no_language_are_not_recognised():
    assert not is_english("Lorem ipsum dolor sit amet consectetur")


@pytest.mark.parametrize("text", FOREIGN)
def test_in_a_record_of_several_images_another_language_stays_in_front(text):
    assert reason(text, 2) == "language"


@pytest.mark.parametrize("text", FOREIGN)
def test_in_a_record_of_one_image_it_may_move_when_it_counts_and_chooses_nothing(text):
    number = {"Hay un perro y un gato en la mesa.": None}
    assert reason(text, 1) == number.get(text)


@pytest.mark.parametrize(
    "text",
    [
        "¿Qué muestra la segunda imagen?",
        "¿Y la otra?",
        "¿En qué se diferencian ambas?",
        "la première image et l'image 2",
        "Que montre la deuxième photo ?",
        "Was zeigt Bild 2?",
        "Was zeigt das zweite Bild?",
        "Was zeigen beide Bilder?",
        "Cosa mostra la seconda foto?",
        "O que mostra a segunda imagem?",
        "Wat toont de tweede foto?",
        "Co pokazuje drugie zdjęcie?",
        "Что на второй картинке?",
        "Что на картинке 2?",
        "图2中有什么？",
        "图二中有什么？",
        "第二张图片中有什么？",
        "两张图片有什么不同？",
        "前者更亮。",
        "二番目の画像は何ですか。",
        "두 번째 사진에는 무엇이 있나요?",
        "İkinci resimde ne var?",
        "ما الفرق بين الصورتين؟",
        "दूसरी तस्वीर में क्या है?",
        "Picha ya 2 inaonyesha nini?",
        "Što je na drugoj slici?",
    ],
)
def test_it_stays_in_front_when_it_does(text):
    assert reason(text, 1) == "language"
