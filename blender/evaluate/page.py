"""``table.html``: one file with figures, pictures and the answers of all models side by side.

It needs no server and no network, and its policy allows none: style and script stand in it and are named by their
hashes. Texts come from strangers and from models; they are escaped wherever they stand. Pictures are made small; of
many conversations only some are shown, evenly chosen, and the page says so.
"""

import base64
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby

from PIL import Image, ImageOps

from blender.data.images.decoding import explaining_damage, open_image
from blender.evaluate.conversations import EvalConversation
from blender.evaluate.markup import Markup, join, tag
from blender.evaluate.results import Result
from blender.evaluate.summary import Group, Summary
from blender.stream.pixels import to_plain
from blender.web.page import read_asset
from blender.web.policy import content_security_policy

#: longest edge of a picture, in pixels
_EDGE = 320
_QUALITY = 78

#: figure → its title, decimals, and whether more is better
_FIGURES: Mapping[str, tuple[str, int, bool | None]] = {
    "questions": ("questions", 0, None),
    "failed": ("not asked", 0, None),
    "accuracy": ("accuracy", 3, True),
    "exact": ("exact", 3, True),
    "contained": ("contained", 3, True),
    "f1": ("F1", 3, True),
    "rouge_l": ("ROUGE-L", 3, True),
    "bleu": ("BLEU", 2, True),
    "cider": ("CIDEr", 3, True),
    "loss": ("loss", 4, False),
    "perplexity": ("perplexity", 2, False),
}
_TITLES = {"all": "Overall", "dataset": "By dataset", "images": "By number of images shown", "round": "By round"}
_TITLES |= {"kind": "Accuracy by kind of question"}


_READING = (
    "Bold is the best of several models. A question that could not be asked counts as wrong.",
    "Accuracy is told of questions about drawn pictures alone, by what was drawn.",
    "Exact, contained and F1 compare words in lower case, without punctuation and articles, number words as digits. "
    "Contained: the answer holds the reference, word for word.",
    "BLEU is of all answers together, 0 to 100, by sacrebleu. CIDEr-D, 0 to 10, has the words of exact match and not "
    "those of the usual Java tokeniser: compare it within this page only.",
    "Loss is in nats per token of the references, given the references before it; of models with different tokenizers "
    "it cannot be compared.",
)


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
        conversations: By data and name, for their pictures.
        num_shown: Conversations to show at most.
    """
    by_place: dict[tuple[str, str], list[Result]] = {}
    for result in results:
        by_place.setdefault((result.data, result.conversation), []).append(result)
    places = [place for place in conversations if place in by_place]
    chosen = _evenly(places, num_shown)
    title = f"{', '.join(summary.models)} on {', '.join(summary.data)}"
    yield "<!doctype html>\n" + tag("html", _head(title), lang="en").removesuffix("</html>") + "<body>"
    yield _top(summary, len(places))
    yield tag("h2", "Answers") + _filters([r for place in chosen for r in by_place[place]])
    if len(chosen) < len(places):
        told = f"Shown are {len(chosen):,} of {len(places):,} conversations, evenly chosen. All are in results.csv."
        yield tag("p", told, class_="faint")
    for place in chosen:
        yield _conversation(conversations[place], by_place[place], summary.models)
    yield tag("script", Markup(_asset("filter.js"))) + "</body></html>\n"


def _evenly(places: Sequence[tuple[str, str]], most: int) -> Sequence[tuple[str, str]]:
    if len(places) <= most:
        return places
    return [places[number * len(places) // most] for number in range(most)]


def _head(title: str) -> Markup:
    policy = content_security_policy(_asset("style.css"), _asset("filter.js"), "img-src data:")
    return tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", title),
        tag("style", Markup(_asset("style.css"))),
    )


def _asset(name: str) -> str:
    return read_asset("blender.evaluate", "assets", name)


def _top(summary: Summary, num_conversations: int) -> Markup:
    what = f"{num_conversations:,} conversations of {', '.join(summary.data)}"
    return join(
        tag("h1", "Evaluation"),
        tag("p", f"{what}, asked of {', '.join(summary.models)}.", class_="faint"),
        *(tag("p", note, class_="faint") for note in summary.notes),
        tag(
            "details", tag("summary", "How to read the figures"), *(tag("p", line, class_="faint") for line in _READING)
        ),
        *(_figures(by, list(groups), summary.models) for by, groups in groupby(summary.groups, lambda group: group.by)),
    )


def _figures(by: str, groups: Sequence[Group], models: Sequence[str]) -> Markup | None:
    """Make a table of each figure that is known of any group; a row for each group and model."""
    if len(groups) == 1 and by != "all":
        return None
    chosen = ["questions", "accuracy"] if by == "kind" else list(_FIGURES)
    known = [name for name in chosen if is_known(groups, models, name)]
    rows = [_row(group, model, models, known) for group in groups for model in models]
    heads = [tag("th", "" if by == "all" else by, scope="col"), tag("th", "model", scope="col", class_="text")]
    heads += [tag("th", _FIGURES[name][0], scope="col") for name in known]
    table = tag("table", tag("thead", tag("tr", *heads)), tag("tbody", *rows))
    return join(tag("h2", _TITLES[by]), tag("div", table, class_="scroll", tabindex="0"))


def _row(group: Group, model: str, models: Sequence[str], names: Iterable[str]) -> Markup:
    first = group.value if model == models[0] else ""
    cells = [tag("td", say_figure(group, model, name), class_=_class(group, model, models, name)) for name in names]
    return tag("tr", tag("th", first, scope="row"), tag("td", model, class_="text"), *cells)


def _value(group: Group, model: str, name: str) -> float | None:
    value: float | None = getattr(group.models[model], name)
    return value


def is_known(groups: Sequence[Group], models: Sequence[str], name: str) -> bool:
    """Say whether a figure is worth a column: it is known of some group, and counts of failures are not all zero."""
    values = [_value(group, model, name) for group in groups for model in models]
    return any(values) if name == "failed" else any(value is not None for value in values)


def say_figure(group: Group, model: str, name: str) -> str:
    """Return a figure as people read it; empty where there is none."""
    value = _value(group, model, name)
    return "" if value is None else f"{value:,.{_FIGURES[name][1]}f}"


def figure_titles() -> dict[str, str]:
    """Return the title of every figure."""
    return {name: title for name, (title, _, _) in _FIGURES.items()}


def _class(group: Group, model: str, models: Sequence[str], name: str) -> str | None:
    """Mark the best of several models."""
    more = _FIGURES[name][2]
    known = {one: value for one in models if (value := _value(group, one, name)) is not None}
    if more is None or len(known) < 2 or model not in known:
        return None
    best = max(known.values()) if more else min(known.values())
    return "best" if known[model] == best and len(set(known.values())) > 1 else None


def _filters(results: Sequence[Result]) -> Markup:
    datasets, kinds = sorted({r.dataset for r in results}), sorted({r.kind for r in results if r.kind})
    only = [("wrong", "with a wrong answer"), ("differ", "where models differ"), ("failed", "not asked")]
    return tag(
        "div",
        tag("input", type="search", name="text", placeholder="words", aria_label="words to look for"),
        _choice("dataset", [("", "all datasets"), *((name, name) for name in datasets)]),
        _choice("kind", [("", "all kinds"), *((name, name) for name in kinds)]) if kinds else None,
        _choice("only", [("", "all answers"), *only]),
        tag("output"),
        class_="filters",
        hidden=True,
    )


def _choice(name: str, options: Iterable[tuple[str, str]]) -> Markup:
    return tag("select", *(tag("option", told, value=value) for value, told in options), name=name, aria_label=name)


def _conversation(conversation: EvalConversation, results: Sequence[Result], models: Sequence[str]) -> Markup:
    rounds = {number: list(some) for number, some in groupby(_sorted(results, models), lambda result: result.round)}
    said = [{result.answer for result in some} for some in rounds.values()]
    return tag(
        "section",
        tag("h3", conversation.name),
        tag("p", conversation.dataset, class_="faint"),
        _pictures(conversation),
        *(_round(conversation, number, some) for number, some in rounds.items()),
        class_="conversation",
        data_dataset=conversation.dataset,
        data_kinds=" ".join(sorted({result.kind for result in results if result.kind})),
        data_wrong=_flag(any(result.correct is False for result in results)),
        data_differ=_flag(any(len(answers) > 1 for answers in said)),
        data_failed=_flag(any(result.error for result in results)),
    )


def _sorted(results: Sequence[Result], models: Sequence[str]) -> list[Result]:
    return sorted(results, key=lambda result: (result.round, models.index(result.model)))


def _flag(value: bool) -> str:
    return "1" if value else "0"


def _pictures(conversation: EvalConversation) -> Markup | None:
    if not conversation.num_images:
        return None
    names = [name for question in conversation.rounds for name in question.names]
    contents = conversation.read()
    shown = (_figure(number, *pair) for number, pair in enumerate(zip(names, contents, strict=True), start=1))
    return tag("div", *shown, class_="pictures")


def _figure(number: int, name: str, content: bytes) -> Markup:
    picture = _small_picture(content) or tag("p", "cannot be shown", class_="error")
    return tag("figure", picture, tag("figcaption", tag("b", f"image {number}"), f" {name}"))


def _small_picture(content: bytes) -> Markup | None:
    """Make a small picture, in the page itself; None for one that cannot be decoded."""
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
    place = f"data:image/jpeg;base64,{base64.b64encode(written.getvalue()).decode()}"
    return tag("img", src=place, alt="", width=upright.width, height=upright.height, loading="lazy")


def _round(conversation: EvalConversation, number: int, results: Sequence[Result]) -> Markup:
    first = results[0]
    shown = f"shows {', '.join(f'image {n}' for n in first.images)}" if first.images else None
    kind = f"kind {first.kind}" if first.kind else None
    return tag(
        "div",
        tag("p", "; ".join(filter(None, [f"Round {number}", shown, kind])), class_="faint"),
        tag("p", first.question, class_="question"),
        tag("div", _reference(first.reference), *map(_answer, results), class_="answers"),
        class_="round",
    )


def _reference(text: str | None) -> Markup | None:
    if text is None:
        return None
    return tag("div", tag("p", "reference", class_="who"), tag("p", text, class_="said"), class_="answer reference")


def _answer(result: Result) -> Markup:
    verdict = {True: "right", False: "wrong", None: None}[result.correct]
    scores = [f"{figure_titles()[name]} {value:.2f}" for name, value in result.scores.items()]
    ends = {"length": "cut off", "marker": "went on to a marker"}.get(result.finish or "")
    said = tag("p", result.error, class_="said error") if result.error else tag("p", result.answer, class_="said")
    return tag(
        "div",
        tag("p", result.model, " ", tag("span", verdict, class_="verdict") if verdict else None, class_="who"),
        said,
        tag("p", ", ".join(filter(None, [*scores, ends])), class_="faint"),
        class_=" ".join(filter(None, ["answer", verdict])),
    )
