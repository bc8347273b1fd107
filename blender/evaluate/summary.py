"""Figures of answers: overall, and by kind of question, dataset, number of images and round, model by model.

Every figure is a mean over the answers that it is defined for. A question that a model could not be asked counts as
wrong where its answer could have been checked, so that a model gains nothing by refusing.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from blender.core.counting import counted
from blender.evaluate.metrics import bleu, cider, missing_libraries
from blender.evaluate.results import Result


class Scores(Struct, frozen=True):
    """Scores of some answers of one model."""

    #: questions, and how many of them could not be asked
    questions: int
    failed: int
    #: questions that have a reference
    references: int
    #: shares of the answers to questions with a reference
    exact: float | None
    contained: float | None
    #: means over them, from 0 to 1
    f1: float | None
    rouge_l: float | None
    #: of them together, from 0 to 100
    bleu: float | None
    #: CIDEr-D, mean over them, from 0 to 10
    cider: float | None
    #: nats per token of the references, end tokens included
    loss: float | None
    perplexity: float | None
    #: questions whose answer was checked by what was drawn, and the share that was right
    checked: int
    accuracy: float | None


class Group(Struct, frozen=True):
    """Some questions, and how each model answered them."""

    #: all, kind, dataset, images or round
    by: str
    value: str
    #: by model, in the order asked
    models: dict[str, Scores]


class Summary(Struct, frozen=True):
    """The figures of an evaluation."""

    models: list[str]
    data: list[str]
    groups: list[Group]
    #: what was not computed and why, what could not be asked, how to read the figures
    notes: list[str]


#: how answers are put into groups; None for not in any
_GROUPINGS: dict[str, Callable[[Result], str | int | None]] = {
    "all": lambda result: "all",
    "kind": lambda result: result.kind,
    "dataset": lambda result: result.dataset,
    "images": lambda result: result.num_images,
    "round": lambda result: result.round,
}


def summarise(models: Sequence[str], data: Sequence[str], results: Sequence[Result], notes: Sequence[str]) -> Summary:
    """Make figures.

    Args:
        models: Names, in order.
        data: Names of what was asked.
        results: All answers of these models to these data.
        notes: Further notes for the reader.
    """
    rare = {model: _rarities([result for result in results if result.model == model]) for model in models}
    groups = []
    for by, key in _GROUPINGS.items():
        values = {value for result in results if (value := key(result)) is not None}
        for value in sorted(values, key=lambda value: (isinstance(value, str), value)):
            chosen = [result for result in results if key(result) == value]
            figures = {model: _figures([r for r in chosen if r.model == model], rare[model]) for model in models}
            groups.append(Group(by, str(value), figures))
    libraries = list(missing_libraries().values()) if any(result.reference is not None for result in results) else []
    return Summary(list(models), list(data), groups, [*notes, *libraries, *_gaps(results), *_failures(results)])


def _rarities(results: Sequence[Result]) -> dict[tuple[str, str, int], float]:
    """Return the CIDEr of each answer; the rarity of words is taken from all references."""
    scored = [result for result in results if result.reference is not None]
    scores = cider([result.answer for result in scored], [result.reference or "" for result in scored])
    return {_key(result): score for result, score in zip(scored, scores or [], strict=False)}


def _key(result: Result) -> tuple[str, str, int]:
    return result.data, result.conversation, result.round


def _figures(results: Sequence[Result], rare: dict[tuple[str, str, int], float]) -> Scores:
    scored = [result for result in results if result.reference is not None]
    checked = [result for result in results if result.kind is not None]
    tokens = sum(result.loss_tokens or 0 for result in results)
    loss = sum(result.loss or 0.0 for result in results) / tokens if tokens else None
    answers, references = [r.answer for r in scored], [r.reference or "" for r in scored]
    return Scores(
        questions=len(results),
        failed=sum(result.error is not None for result in results),
        references=len(scored),
        **{
            name: _mean([_score(result, name) for result in scored]) for name in ("exact", "contained", "f1", "rouge_l")
        },
        bleu=bleu(answers, references) if scored else None,
        cider=_mean([rare.get(_key(result)) for result in scored]),
        loss=loss,
        perplexity=None if loss is None else math.exp(min(loss, 700.0)),
        checked=len(checked),
        accuracy=_mean([float(bool(result.correct)) for result in checked]),
    )


def _score(result: Result, name: str) -> float | None:
    if result.error is not None:
        return None if name in missing_libraries() else 0.0
    return result.scores.get(name)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return math.fsum(known) / len(known) if known else None


def _gaps(results: Sequence[Result]) -> list[str]:
    scored = [result for result in results if result.reference is not None]
    known = sum(result.loss is not None for result in scored)
    if known in (0, len(scored)):
        return []
    computed = f"the loss is computed for {known:,} of {counted(len(scored), 'reference')}"
    return [f"{computed}: the others are beyond a model's length, or in conversations that lack a reference"]


def _failures(results: Sequence[Result]) -> list[str]:
    failed = [result for result in results if result.error]
    if not failed:
        return []
    first = failed[0]
    example = f"{first.data}, {first.conversation}, round {first.round}, {first.model}: {first.error}"
    return [f"{len(failed):,} of {counted(len(results), 'question')} could not be asked; the first is {example}"]


def encode_summary(summary: Summary) -> bytes:
    """Return a summary as indented JSON."""
    plain: Any = msgspec.to_builtins(summary)
    return msgspec.json.format(msgspec.json.encode(plain), indent=2) + b"\n"
