"""A sample as the page gets it: the rendered text cut into pieces, each one template, question or answer.

The page shows what is trained and nothing that it made itself: the pieces of a turn, put together, are the spans of the
sample, letter for letter, and an answer piece is a trained span. So the chat view and the rendered view cannot differ.
"""

from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

from blender.data.sample import Sample, Span, Turn
from blender.data.template import TEMPLATES, Template

#: what a piece of text is; ``frame`` is the template's own words
Kind = Literal["frame", "question", "answer"]


class Piece(Struct, frozen=True, gc=False, array_like=True):
    """A run of text of one kind; loss falls on answers."""

    kind: Kind
    text: str


class ImageView(Struct, frozen=True, gc=False, omit_defaults=True):
    """An image of a sample."""

    store: str
    name: str
    width: int
    height: int
    #: number of the picture in a report; None where the page fetches it, or where it cannot be shown
    picture: int | None = None


class TurnView(Struct, frozen=True, gc=False):
    """One round."""

    #: numbers, from 1, of the images newly shown
    images: list[int]
    #: index in the sample's sources; None for a text that could not be parted into turns
    source: int | None
    pieces: list[Piece]


class TokenPiece(Struct, frozen=True, gc=False, array_like=True):
    """One token, or all positions of one image."""

    text: str
    trained: bool
    #: number of the image, from 1; 0 for text
    image: int = 0
    #: positions
    count: int = 1


class TokensView(Struct, frozen=True, gc=False, omit_defaults=True):
    """A sample as a model gets it."""

    #: positions in all, image positions and end tokens included
    positions: int
    image_positions: int
    trained: int
    #: positions allowed; None for no limit
    max_tokens: int | None
    #: positions, turns and images that are left under that limit
    kept_positions: int
    kept_turns: int
    kept_images: int
    pieces: list[TokenPiece]
    #: why the text cannot be trained on
    fault: str | None = None


class SampleView(Struct, frozen=True, gc=False, omit_defaults=True):
    """A sample as the page gets it."""

    key: str
    dataset: str
    split: str
    template: str
    #: ``source/file/record`` of each record that it was made of
    sources: list[str]
    images: list[ImageView]
    turns: list[TurnView]
    #: path of the shard in the blend's folder; empty in a preview
    shard: str = ""
    tokens: TokensView | None = None


def view_of(
    sample: Sample,
    split: str,
    shard: str = "",
    pictures: Sequence[int | None] | None = None,
    tokens: TokensView | None = None,
) -> SampleView:
    """Make the view of a sample.

    Args:
        sample: The sample.
        split: Its split.
        shard: Path of its shard in the blend's folder.
        pictures: Number of the picture of each image, in a report.
        tokens: What a tokenizer made of it.
    """
    numbers = pictures or [None] * len(sample.images)
    return SampleView(
        key=sample.key,
        dataset=sample.dataset,
        split=split,
        template=sample.template,
        sources=sample.sources,
        images=[
            ImageView(image.store, image.name, image.width, image.height, picture)
            for image, picture in zip(sample.images, numbers, strict=True)
        ],
        turns=_turns(sample),
        shard=shard,
        tokens=tokens,
    )


def search_text(sample: Sample) -> str:
    """Return all that a search looks at, in lower case: texts, names of images, and records."""
    texts = [text for turn in sample.turns for text in (turn.system, turn.question, turn.answer) if text]
    return "\n".join([*texts, *(image.name for image in sample.images), *sample.sources]).lower()


def _turns(sample: Sample) -> list[TurnView]:
    if [span.train for span in sample.spans] != [False, True] * len(sample.turns):
        return _unparted(sample)
    template = TEMPLATES.get(sample.template)
    return [
        TurnView(turn.images, turn.source, [*_ask(frame, turn, template), Piece("answer", answer.text)])
        for turn, frame, answer in zip(sample.turns, sample.spans[::2], sample.spans[1::2], strict=True)
    ]


def _unparted(sample: Sample) -> list[TurnView]:
    """Show the spans of another program, which need not come in pairs, as one turn."""
    pieces = [Piece("answer" if span.train else "frame", span.text) for span in sample.spans]
    return [TurnView(list(range(1, len(sample.images) + 1)), None, pieces)]


def _ask(span: Span, turn: Turn, template: Template | None) -> list[Piece]:
    """Find the question in the text before an answer; it stands right before the template's last words."""
    if template is None or not span.text.endswith(template.ask(turn.images, turn.question)):
        return [Piece("frame", span.text)]
    cue = template.question.partition("{question}")[2] + template.answer
    question = template.neutralise(turn.question)
    end = len(span.text) - len(cue)
    parts = (
        Piece("frame", span.text[: end - len(question)]),
        Piece("question", question),
        Piece("frame", cue),
    )
    return [piece for piece in parts if piece.text]
