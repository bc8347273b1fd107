"""Texts with marks that another program left in them: places of media, special tokens, signs of chat templates.

There are hundreds of them and they follow a few patterns, so they are found by pattern: a word for media alone or with
a part such as ``_start`` or a number between angle brackets, anything between ``<|`` and ``|>``, capitals in square
brackets. Tags with attributes, code between backticks and generic types (``List<Image>``) are none.
"""

import re
from itertools import chain

import polars as pl

from blender.data.sample import Sample
from blender.data.sources.quoted import unquoted
from blender.data.template import IMAGE, TEMPLATES
from blender.inspect.lint.check import Check
from blender.inspect.lint.excerpts import excerpt
from blender.inspect.lint.tables import LintTables, flag_rows, hits_in
from blender.inspect.lint.texts import TEXTS, texts_of

#: words that make a mark alone
_MEDIA = "images?|img|videos?|audios?|speech|vision|photos?|pics?|imagehere|videohere|audiohere"
#: words that make one with a part before or behind
_MEDIA_PARTS = f"{_MEDIA}|im|vid|fim|visual|visuals|pictures?|frames?|patch|pixels?|sound|media|clip|point_?cloud"
_BEFORE = "(?:(?:start|end|begin|beginning|fake|token|around|of|global|local|soft|special)[_-])+"
_PART = (
    "here|start|end|begin|bos|eos|pad|patch|tokens?|placeholder|sep|newline|break|context|content|features?|embeds?|"
    "prefix|middle|suffix|soft|unk|tile|thumbnail|local|global"
)
_BEHIND = f"(?:[_-](?:{_PART}))+(?:[_-]?[0-9]+)*|(?:[ _:#-]?[0-9]+)+"
_TAGS = f"(?:{_BEFORE})?(?:{_MEDIA_PARTS})(?:{_BEHIND})|{_BEFORE}(?:{_MEDIA_PARTS})|{_MEDIA}"
#: tags, which may also be code
_TAG = f"</?(?i:{_TAGS})[ ]?/?>"
_OTHERS = (
    r"&lt;(?:image|img|video|audio|\|[a-z_]+\|)&gt;",
    r"<\|[A-Za-z_/][^|<>\s]{0,60}\|>",
    r"<｜[^｜<>\n]{1,60}｜>",
    r"<(?i:pad|unk|bos|eos|sep|cls|eot|eod|eop|sos)>",
    r"<(?:loc|seg|bin|pos|coord|patch_index)_?[0-9]{2,5}>|<row_[0-9]+_col_[0-9]+>|<0x[0-9A-F]{2}>",
    r"</?s>",
    r"\[/?(?:INST|IMG|IMAGE|VIDEO|AUDIO|PIC|PHOTO)(?:[ _#:-]?(?:[0-9]+|START|END|BREAK))?\]",
    r"\[(?:CLS|SEP|MASK|gMASK|UNK|PAD|BOS|EOS)\]",
    r"<</?SYS>>",
    r"<(?:start|end)_of_turn>",
    r"IMAGE#[0-9]",
    r"(?m:^[ \t]*(?:###?[ \t]*)?(?:USER|ASSISTANT|SYSTEM|Human|Assistant|GPT|Instruction|Response)[ \t]*:)",
)
_NO_TAGS = "|".join((*sorted({template.markers for template in TEMPLATES.values()} - {""}), *_OTHERS))
_MARKERS = f"{re.escape(IMAGE)}|{_TAG}|{_NO_TAGS}"
_MARKER_PATTERN = re.compile(_MARKERS)
_TAG_PATTERN = re.compile(_TAG)
_OTHERS_PATTERN = re.compile(_NO_TAGS)


def has_marker(turns: pl.DataFrame) -> pl.Series:
    """Say of each turn whether one of its texts holds a mark of some template."""
    held = pl.any_horizontal(pl.col(TEXTS).str.contains(_MARKERS))
    suspects = turns.select(held.alias("held"))["held"].arg_true().to_list()
    texts = turns[suspects].select(TEXTS).iter_rows()
    found = [
        row for row, row_texts in zip(suspects, texts, strict=True) if any(find_marker(text) for text in row_texts)
    ]
    return flag_rows(turns, found)


def find_marker(text: str) -> re.Match[str] | None:
    """Find the first mark in a text that is not meant as code.

    Args:
        text: A text of a turn.
    """
    found = _MARKER_PATTERN.search(text)
    if found is None or not _TAG_PATTERN.fullmatch(found[0]):
        return found
    real = chain(unquoted(text, _TAG_PATTERN), _OTHERS_PATTERN.finditer(text))
    return min(real, key=lambda match: match.start(), default=None)


def _find(material: LintTables) -> pl.DataFrame:
    return hits_in(material, material.turns.filter("template_marker").select("sample", "turn"))


def _describe(sample: Sample, turn: int) -> str:
    for name, text in texts_of(sample.turns[turn]):
        if found := find_marker(text):
            return f"{found[0].strip()} in the {name} {excerpt(text, found.start())}"
    return ""


CHECKS = (
    Check(
        "template_marker",
        "warning",
        "turns hold marks of a template inside their text",
        "They come from another program's preparation of the data; one for a picture, a video or a sound may mean that "
        "it was not read. They never become structure here, but a model learns to write them. Take them out of the "
        "source's files.",
        _find,
        _describe,
    ),
)
