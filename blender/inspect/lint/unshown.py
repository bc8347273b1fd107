"""Texts that speak of a picture where none has been shown: "in the image", "this photo", "The picture shows".

The image of such a record was not read, or is lost. Phrases about pictures in general ("an image in CSS", "the big
picture", "the picture of Dorian Gray") do not count. Besides English, a few other languages are recognised.
"""

import re

import polars as pl

from blender.data.sample import Sample
from blender.inspect.lint.check import Check
from blender.inspect.lint.excerpts import excerpt
from blender.inspect.lint.tables import LintTables, flag_rows, hits_in
from blender.inspect.lint.texts import SYSTEM, texts_and_images

_NOUN = "(?:image|picture|photograph|photo|pic|snapshot|screenshot)s?"
_ONE_WORD = r"(?:[a-z-]+\s+)?"
_SHOWN = "given|provided|attached|above|following|shown|displayed|accompanying|uploaded|presented|depicted"
_SHOWS = "shows?|depicts?|features?|contains?|displays?|portrays?|captures?|presents?|illustrates?|showcases?"
_LOOKS = "describe|caption|analy[sz]e|explain|examine|observe|inspect|interpret|see|look at|looking at|based on"
_ENGLISH = (
    rf"\b(?:this|these)\s+{_ONE_WORD}{_NOUN}\b",
    rf"\bthe\s+(?:{_SHOWN})\s+{_ONE_WORD}{_NOUN}\b",
    rf"\b(?:in|from|at|within|inside)\s+(?:the|both|each)\s+{_ONE_WORD}{_NOUN}\b",
    rf"\b(?:{_LOOKS}),?\s+(?:[a-z]+,?\s+){{0,3}}the\s+{_ONE_WORD}{_NOUN}\b",
    rf"\bthe\s+{_ONE_WORD}{_NOUN}\s+(?:{_SHOWS})\b",
)
_OTHERS = (
    "(?:这|這|该|該|此|上|下)(?:张|張|幅|个|個)?(?:图|圖|照片)|(?:图|圖)(?:片|像)?(?:中|里|裡|上)|照片(?:中|里|裡|上)",
    "この(?:画像|写真|絵|図)|(?:画像|写真)(?:の中|には|では|に写)",
    "이 ?(?:이미지|사진|그림)|(?:이미지|사진|그림)(?:에서|에는| ?속)",
    r"\b(?:en|de)\s+(?:la|esta)\s+(?:imagen|foto|fotografía)\b|\besta\s+(?:imagen|foto)\b",
    r"\b(?:dans|sur|de)\s+(?:l['’]image|la\s+photo|cette\s+(?:image|photo))\b|\bcette\s+(?:image|photo)\b",
    r"\b(?:auf|in)\s+(?:dem|diesem)\s+(?:bild|foto)\b|\bim\s+bild\b|\bdieses\s+(?:bild|foto)\b",
    r"\b(?:na|nesta|desta|da)\s+(?:imagem|foto)\b|\besta\s+imagem\b",
    r"\bnell['’]immagine\b|\bnella\s+foto\b|\bquesta\s+(?:immagine|foto)\b",
    r"на\s+(?:этом\s+|этой\s+)?(?:изображении|картинке|фото|фотографии|рисунке)",
    "في\\s+(?:هذه\\s+)?الصورة",
)
_SPOKEN = "(?i)" + "|".join((*_ENGLISH, *_OTHERS))
_SPOKEN_PATTERN = re.compile(_SPOKEN)
#: what makes a phrase general: in it, and behind it
_IDIOMS = (
    r"\b(?:big|bigger|full|fuller|whole|overall|larger|wider|broader|complete|clear|clearer|motion|mental|public)\s+\w+$",
    r"\b(?:docker|self|brand)\b",
)
_GENERALLY = r"\s+of\s+(?:god|dorian|himself|herself|his|her|their)\b"
_IDIOM = re.compile("|".join(_IDIOMS), re.IGNORECASE)
_GENERAL = re.compile(_GENERALLY, re.IGNORECASE)
#: every text with a general phrase has this; only these few are read by Python, which is slow at it
_DOUBTFUL = "(?i)" + "|".join((_IDIOMS[0].removesuffix(r"\w+$") + _NOUN, _IDIOMS[1], _NOUN + _GENERALLY))


def speaks_of_unshown(turns: pl.DataFrame) -> pl.Series:
    """Say of each turn whether one of its texts speaks of a picture while there is none.

    Questions and answers may speak of the images shown by then, a system text of all images of its sample.
    """
    found: set[int] = set()
    for columns, num_images in (("^(question|answer)$", "shown"), ("^system$", "num_images")):
        if num_images in turns.columns:
            found.update(_without_images(turns, columns, num_images))
    return flag_rows(turns, found)


def _without_images(turns: pl.DataFrame, columns: str, num_images: str) -> list[int]:
    bare = turns.with_row_index("row").filter(pl.col(num_images) == 0).select("row", columns)
    spoken = pl.col(columns).str.contains(_SPOKEN)
    doubtful = pl.col(columns).str.contains(_DOUBTFUL)
    found = bare.filter(pl.any_horizontal(spoken & ~doubtful))["row"].to_list()
    suspects = bare.filter(pl.any_horizontal(spoken & doubtful)).iter_rows()
    return found + [row for row, *texts in suspects if any(map(find_spoken, texts))]


def find_spoken(text: str) -> re.Match[str] | None:
    """Find the first phrase that speaks of a picture at hand.

    Args:
        text: A text of a turn.
    """
    found = _SPOKEN_PATTERN.finditer(text)
    return next((match for match in found if not _is_general(text, match)), None)


def _is_general(text: str, phrase: re.Match[str]) -> bool:
    return bool(_IDIOM.search(phrase[0]) or _GENERAL.match(text, phrase.end()))


def _find(material: LintTables) -> pl.DataFrame:
    return hits_in(material, material.turns.filter("image_not_shown").select("sample", "turn"))


def _describe(sample: Sample, turn: int) -> str:
    for name, text, num_images in texts_and_images(sample, turn):
        if not num_images and (found := find_spoken(text)):
            by_then = "" if name == SYSTEM else " by then"
            return f"‘{found[0]}’, and no image is shown{by_then}, in the {name} {excerpt(text, found.start())}"
    return ""


CHECKS = (
    Check(
        "image_not_shown",
        "warning",
        "turns speak of a picture, and none is shown",
        "The record was about a picture that was not read. See in docs/formats.md under which keys its format names "
        "images; leave the record out where there is none.",
        _find,
        _describe,
    ),
)
