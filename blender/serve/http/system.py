"""The system text of a request, made harmless for the template that shows it."""

import re
from collections.abc import Sequence
from typing import Any

from blender.data.template import IMAGE, Template
from blender.encoding.chat import ChatTemplate

#: what marks places in a text while it is rendered and tokenised
_NONCHARACTERS = re.compile("[\ufdd0-\ufdef]")


def special_tokens(tokenizer: Any) -> tuple[str, ...]:
    """Return all special tokens of a Hugging Face tokenizer, the longest first."""
    added = [token.content for token in tokenizer.added_tokens_decoder.values() if token.special]
    return tuple(sorted({*tokenizer.all_special_tokens, *added}, key=lambda token: (-len(token), token)))


def system_words(text: str | None, template: Template | ChatTemplate, special: Sequence[str]) -> str | None:
    """Return what is said before the first round; None for the template's own words.

    A chat template puts a system text into its structure, where special tokens would count: they are broken there.
    Other templates take a system text as they take any text.

    Args:
        text: As it was sent.
        template: What shows it.
        special: The tokenizer's special tokens.
    """
    if text is None:
        return None
    text = text.strip()
    if not isinstance(template, ChatTemplate):
        return text
    text = _NONCHARACTERS.sub("", text)
    words = sorted({*special, IMAGE}, key=len, reverse=True)
    pattern = re.compile("|".join(re.escape(token) for token in words if len(token) > 1))
    while pattern.search(text):
        text = pattern.sub(lambda match: f"{match[0][0]} {match[0][1:]}", text)
    return text
