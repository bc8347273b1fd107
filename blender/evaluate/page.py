"""``table.html``: one file with figures, images and the answers of all models side by side.

It needs no server and no network, and its policy allows none: its style sheet and script are in it and allowed by their
hashes. Texts come from strangers and from models; the template escapes all of them. Images are made small; of many
conversations only some are shown, evenly chosen, and the page says so.
"""

import base64
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from markupsafe import Markup
from PIL import Image, ImageOps

from blender.core.counting import counted
from blender.data.images.decoding import explaining_damage, open_image
from blender.evaluate.conversations import EvalConversation
from blender.evaluate.figures import TITLES, figure_tables
from blender.evaluate.results import Result
from blender.evaluate.summary import Summary
from blender.stream.pixels import to_plain
from blender.web.page import read_asset
from blender.web.policy import content_security_policy
from blender.web.templates import load_template

#: longest edge of an image, in pixels
_EDGE = 320
_QUALITY = 78

_HEADINGS = {"all": "Overall", "dataset": "By dataset", "images": "By number of images shown", "round": "By round"}
_HEADINGS |= {"kind": "Accuracy by kind of question"}
_READING = (
    "Bold is the best of several models. A question that could not be asked counts as wrong.",
    "Accuracy is of questions about drawn pictures alone: answers are compared with what was drawn.",
    "Exact, contained and F1 compare words in lower case, without punctuation and articles, number words as digits. "
    "Contained: the answer holds the reference, word for word.",
    "BLEU is of all answers together, 0 to 100, by sacrebleu. CIDEr-D, 0 to 10, has the words of exact match and not "
    "those of the usual Java tokeniser: compare it within this page only.",
    "Loss is in nats per token of the references, given the references before it; of models with different tokenizers "
    "it cannot be compared.",
)
_ONLY = [
    ("", "all answers"),
    ("wrong", "with a wrong answer"),
    ("differ", "where models differ"),
    ("failed", "not asked"),
]
_FINISHES = {"length": "cut off", "marker": "went on to a marker"}


@dataclass(frozen=True)
class _InlineImage:
    url: str
    width: int
    height: int


@dataclass(frozen=True)
class _PageImage:
    name: str
    #: None where the image cannot be decoded
    thumbnail: _InlineImage | None


@dataclass(frozen=True)
class _PageConversation:
    """A conversation as the template shows it."""

    name: str
    dataset: str
    kinds: list[str]
    wrong: bool
    differ: bool
    failed: bool
    images: list[_PageImage]
    #: the answers of all models to each question
    rounds: list[list[Result]]


def table_page(
    summary: Summary,
    results: Sequence[Result],
    conversations: Mapping[tuple[str, str], EvalConversation],
    num_shown: int,
) -> Iterator[str]:
    """Write the page, piece by piece.

    Args:
        summary: The figures.
        results: All answers.
        conversations: By data and name, for their images.
        num_shown: Conversations to show at most.
    """
    answers: dict[tuple[str, str], list[Result]] = {}
    for result in results:
        answers.setdefault((result.data, result.conversation), []).append(result)
    answered = [key for key in conversations if key in answers]
    chosen = _evenly(answered, num_shown)
    style, script = _asset("style.css"), _asset("filter.js")
    of_shown = f"Shown are {len(chosen):,} of {len(answered):,} conversations, evenly chosen. All are in results.csv."
    page = load_template("blender.evaluate", "templates", "table.html").stream(
        title=f"{', '.join(summary.models)} on {', '.join(summary.data)}",
        policy=content_security_policy(style, script, "img-src data:"),
        style=Markup(style),
        script=Markup(script),
        subtitle=_subtitle(summary, len(answered)),
        notes=summary.notes,
        reading=_READING,
        tables=figure_tables(summary),
        headings=_HEADINGS,
        filters=_filters([result for key in chosen for result in answers[key]]),
        shown_of=of_shown if len(chosen) < len(answered) else None,
        conversations=(_page_conversation(conversations[key], answers[key], summary.models) for key in chosen),
        heading=_round_heading,
        details=_details,
    )
    page.enable_buffering(200)
    return page


def _evenly(keys: Sequence[tuple[str, str]], most: int) -> Sequence[tuple[str, str]]:
    if len(keys) <= most:
        return keys
    return [keys[number * len(keys) // most] for number in range(most)]


def _asset(name: str) -> str:
    return read_asset("blender.evaluate", "assets", name)


def _subtitle(summary: Summary, num_conversations: int) -> str:
    asked = f"{counted(num_conversations, 'conversation')} of {', '.join(summary.data)}"
    return f"{asked}, asked of {', '.join(summary.models)}."


def _filters(results: Sequence[Result]) -> dict[str, list[tuple[str, str]]]:
    """Return the choices of each filter: value and label."""
    datasets, kinds = sorted({r.dataset for r in results}), sorted({r.kind for r in results if r.kind})
    choices = {"dataset": [("", "all datasets"), *zip(datasets, datasets, strict=True)]}
    if kinds:
        choices["kind"] = [("", "all kinds"), *zip(kinds, kinds, strict=True)]
    return {**choices, "only": _ONLY}


def _page_conversation(
    conversation: EvalConversation, results: Sequence[Result], models: Sequence[str]
) -> _PageConversation:
    in_order = sorted(results, key=lambda result: (result.round, models.index(result.model)))
    rounds = [list(answers) for _, answers in groupby(in_order, lambda result: result.round)]
    return _PageConversation(
        name=conversation.name,
        dataset=conversation.dataset,
        kinds=sorted({result.kind for result in results if result.kind}),
        wrong=any(result.correct is False for result in results),
        differ=any(len({result.answer for result in answers}) > 1 for answers in rounds),
        failed=any(result.error for result in results),
        images=_images(conversation),
        rounds=rounds,
    )


def _images(conversation: EvalConversation) -> list[_PageImage]:
    if not conversation.num_images:
        return []
    names = [name for question in conversation.rounds for name in question.names]
    contents = zip(names, conversation.read(), strict=True)
    return [_PageImage(name, _thumbnail(content)) for name, content in contents]


def _thumbnail(content: bytes) -> _InlineImage | None:
    """Make a small copy of an image, in the page itself; None when it cannot be decoded."""
    try:
        with explaining_damage():
            image = open_image(content)
            image.draft(None, (_EDGE, _EDGE))
            upright = ImageOps.exif_transpose(to_plain(image))
            upright.thumbnail((_EDGE, _EDGE), Image.Resampling.LANCZOS)
            written = io.BytesIO()
            upright.save(written, "JPEG", quality=_QUALITY)
    except OSError:
        return None
    url = f"data:image/jpeg;base64,{base64.b64encode(written.getvalue()).decode()}"
    return _InlineImage(url, upright.width, upright.height)


def _round_heading(result: Result) -> str:
    shown = f"shows {', '.join(f'image {number}' for number in result.images)}" if result.images else None
    kind = f"kind {result.kind}" if result.kind else None
    return "; ".join(filter(None, [f"Round {result.round}", shown, kind]))


def _details(result: Result) -> str:
    scores = [f"{TITLES[name]} {value:.2f}" for name, value in result.scores.items()]
    return ", ".join(filter(None, [*scores, _FINISHES.get(result.finish or "")]))
