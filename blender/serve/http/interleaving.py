"""Write a question of interleaved texts and images.

Templates show the images of a question before its text, each with its number. So the order of text, image, text,
image is kept by naming each image where it was shown: "Compare image 1 with image 2." If no image is between two
texts, nothing is lost by showing the images first, and the texts stay as they are.
"""

from collections.abc import Sequence

from blender.data.sources.mentions import Mention, written_out

#: a text, or the number of an image in its conversation
Part = str | int
#: placeholder of an image until it is named
_PLACEHOLDER = "\ufffc"
#: characters that may be right before and right behind an image's name, besides white space
_OPENING, _CLOSING = "([{\"'“‘«<-–—/", ".,;:!?)]}\"'”’»>-–—/…"


def write_question(parts: Sequence[Part]) -> str:
    """Write one question of the texts and images of one message, or of several in a row.

    Args:
        parts: Texts and images, in order.
    """
    if not is_interleaved(parts):
        return "\n".join(part for part in parts if isinstance(part, str))
    text, mentions, before = "", [], None
    for part in parts:
        text += _between(before, part)
        if isinstance(part, int):
            mentions.append(Mention(len(text), len(text) + 1, part))
        text += part if isinstance(part, str) else _PLACEHOLDER
        before = part
    return written_out(text, mentions)


def is_interleaved(parts: Sequence[Part]) -> bool:
    """Return whether an image is between two texts."""
    texts = [index for index, part in enumerate(parts) if isinstance(part, str) and part.strip()]
    return bool(texts) and any(isinstance(part, int) for part in parts[texts[0] : texts[-1]])


def _between(before: Part | None, part: Part) -> str:
    """Return the separator of two parts: a line break, unless there is white space or punctuation already."""
    match before, part:
        case None, _:
            return ""
        case int(), int():
            return ", "
        case str(), int():
            return "" if not before or before[-1].isspace() or before[-1] in _OPENING else "\n"
        case int(), str():
            return "" if not part or part[0].isspace() or part[0] in _CLOSING else "\n"
    return "\n"
