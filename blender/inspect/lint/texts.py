"""Texts with characters in them that no person wrote: read in the wrong encoding, or control characters.

UTF-8 that was read as Latin-1 or Windows-1252 shows as pairs and triples such as ``Ã©`` and ``â€™``. Such runs are
read back here, and count when what comes out is a character that texts are made of; ``Spaß“`` and ``CAFÉ’S`` hold the
same pairs and come out as letters that nobody writes.
"""

import re
from collections.abc import Iterator

import polars as pl

from blender.core.characters import CONTROL, find_control
from blender.data.sample import Sample, Turn
from blender.inspect.lint.check import Check
from blender.inspect.lint.excerpts import excerpt
from blender.inspect.lint.tables import LintTables, flag_rows, hits_in

#: what messages call a turn's system text
SYSTEM = "system text"
#: the text columns of a table of turns
TEXTS = "^(question|answer|system)$"
#: what the bytes 80 to 9F are in Windows-1252, where they are anything but control characters
_WINDOWS = {bytes([byte]).decode("cp1252"): byte for byte in range(0x80, 0xA0) if byte not in b"\x81\x8d\x8f\x90\x9d"}
_REST = "[\u0080-\u00bf" + "".join(_WINDOWS) + "]"
_RUN = f"[\u00c2-\u00df]{_REST}|[\u00e0-\u00ef]{_REST}{_REST}|[\u00f0-\u00f4]{_REST}{_REST}{_REST}"
#: control characters that only a wrong encoding brings into a text, and the mark of a lost character
_LOST = "[\u0080-\u0084\u0086-\u009f\ufffd]"
_SIEVE = f"{_RUN}|{_LOST}"
#: what a run may stand for on its own: Western letters and signs, punctuation, symbols, emoji
_ALONE = re.compile(
    "[\u0080-\u00ff\u2000-\u206f\u20a0-\u20cf\u2100-\u27bf\u3000-\u303f\ufe0f\ufeff\ufffd\U0001f000-\U0001faff]"
)
#: what counts when there are several: letters that words are made of
_IN_WORDS = re.compile(
    "[\u0100-\u017f\u0386-\u03ce\u0401-\u045f\u05d0-\u05ea\u0621-\u064a\u0900-\u0dff\u0e01-\u0e5b\u3040-\u30ff"
    "\u4e00-\u9fff\uac00-\ud7a3\uff00-\uff5e]"
)
_RUN_PATTERN = re.compile(_RUN)
_LOST_PATTERN = re.compile(_LOST)
_CONTROLS = re.compile(CONTROL)


def is_mojibake(turns: pl.DataFrame) -> pl.Series:
    """Say of each turn whether one of its texts was read in the wrong encoding."""
    suspects = turns.select(pl.any_horizontal(pl.col(TEXTS).str.contains(_SIEVE)).alias("found"))["found"]
    rows = suspects.arg_true().to_list()
    texts = turns[rows].select(TEXTS).iter_rows()
    found = [row for row, row_texts in zip(rows, texts, strict=True) if any(find_mojibake(text) for text in row_texts)]
    return flag_rows(turns, found)


def has_control(turns: pl.DataFrame) -> pl.Series:
    """Say of each turn whether one of its texts holds a control character that no text needs."""
    held = pl.any_horizontal(pl.col(TEXTS).str.contains(CONTROL))
    return turns.select(held.alias("found"))["found"]


def find_mojibake(text: str) -> re.Match[str] | None:
    """Find the first run of characters that were read in the wrong encoding.

    Args:
        text: A text.

    Returns:
        Where it stands; None where all is well.
    """
    lost = _LOST_PATTERN.search(text)
    if lost:
        return lost
    read_back = [(match, _read_back(match[0])) for match in _RUN_PATTERN.finditer(text)]
    in_words = [match for match, character in read_back if _IN_WORDS.fullmatch(character)]
    alone = [match for match, character in read_back if _ALONE.fullmatch(character)]
    return min(alone + (in_words if len(in_words) > 1 else []), key=lambda match: match.start(), default=None)


def _read_back(run: str) -> str:
    """Read a run of wrongly read characters as the UTF-8 that it was; empty where it was none."""
    content = bytes(_WINDOWS.get(character, ord(character) & 0xFF) for character in run)
    return content.decode("utf-8", "ignore")


def texts_of(turn: Turn) -> Iterator[tuple[str, str]]:
    """Yield the name and the content of each text of a turn."""
    yield "question", turn.question
    yield "answer", turn.answer
    yield SYSTEM, turn.system


def texts_and_images(sample: Sample, turn: int) -> Iterator[tuple[str, str, int]]:
    """Yield the texts of a turn as :func:`texts_of`, each with the number of images that it may speak of.

    These are the images shown up to the turn, and for a system text, which speaks of the conversation as a whole, all
    images of the sample.
    """
    num_shown = sum(len(earlier.images) for earlier in sample.turns[: turn + 1])
    for name, text in texts_of(sample.turns[turn]):
        yield name, text, len(sample.images) if name == SYSTEM else num_shown


def _describe_mojibake(sample: Sample, turn: int) -> str:
    for name, text in texts_of(sample.turns[turn]):
        if found := find_mojibake(text):
            meant = _read_back(found[0]) if not _LOST_PATTERN.match(found[0]) else ""
            hint = f", which was {meant}" if meant.strip() else ""
            return f"{ascii(found[0])}{hint}, in the {name} {excerpt(text, found.start())}"
    return ""


def _describe_control(sample: Sample, turn: int) -> str:
    for name, text in texts_of(sample.turns[turn]):
        if found := find_control(text):
            return f"U+{ord(found[0]):04X} in the {name} {excerpt(_CONTROLS.sub('�', text), found.start())}"
    return ""


def _find_mojibake(material: LintTables) -> pl.DataFrame:
    return hits_in(material, material.turns.filter("mojibake").select("sample", "turn"))


def _find_control(material: LintTables) -> pl.DataFrame:
    return hits_in(material, material.turns.filter("control_character").select("sample", "turn"))


CHECKS = (
    Check(
        "mojibake",
        "warning",
        "turns hold characters that were read in the wrong encoding",
        "The file was decoded wrongly before it came here. Get it anew, or repair it (the library ftfy does), and "
        "blend again.",
        _find_mojibake,
        _describe_mojibake,
    ),
    Check(
        "control_character",
        "warning",
        "turns hold control characters",
        "NUL and its kin end texts early in some programs and move the cursor in terminals; tokenizers make bytes of "
        "them. Take them out of the source's files.",
        _find_control,
        _describe_control,
    ),
)
