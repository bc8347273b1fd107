"""Read the conversations to ask: from a conversation file, SparklesEval's dialogues, or a split of a blend."""

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import msgspec

from blender.core.errors import EvaluationError
from blender.data import records
from blender.data.images.files import is_remote
from blender.data.records import Skip
from blender.data.sources.annotations import Annotations, open_annotations
from blender.data.sources.sparkles import read_sparkles
from blender.evaluate.conversation_file import read_conversation_file
from blender.evaluate.conversations import EvalConversation, EvalData, Question
from blender.evaluate.drawn_checks import DrawnCheck, DrawnQuestion, QuestionKey, find_questions, read_questions
from blender.evaluate.images import ImageFinder, make_reader, open_finder
from blender.shards.reader import Blend, open_blend


def read_data(
    location: str,
    *,
    images: str | None = None,
    split: str = "eval",
    questions: Path | None = None,
    limit: int | None = None,
) -> EvalData:
    """Read the conversations that models will be asked.

    Args:
        location: A conversation file, a file of Sparkles dialogues, or the folder of a blend.
        images: Store of a file's images: a folder, .zip, .tar, .parquet or base64 .json.
        split: Which split of a blend.
        questions: ``questions.json`` of a drawn corpus, for a blend of it; by default that of the corpus
            that the blend names as its source.
        limit: Read only the first so many conversations.

    Raises:
        EvaluationError: It cannot be read, or an image is missing.
        SourceError: The file is no JSON.
        ShardError: The folder is no finished blend.
    """
    if not is_remote(location) and Path(location).is_dir():
        return _read_blend(open_blend(location), split, questions, limit)
    annotations = open_annotations(location, "sparkles")
    name = Path(location).name.removesuffix(".gz").partition(".")[0]
    if annotations.data.lstrip()[:1] == b"{" and not location.removesuffix(".gz").endswith((".jsonl", ".ndjson")):
        return read_conversation_file(annotations, name, images, limit)
    return _read_dialogues(annotations, name, images, limit)


class _Named(msgspec.Struct):
    evaluation_id: str | int | None = None


def _read_dialogues(annotations: Annotations, name: str, images: str | None, limit: int | None) -> EvalData:
    path = annotations.path
    folder = Path(path).parent
    finder = open_finder([images] if images else [folder.parent / "images", folder / "images", folder])
    conversations, skipped = list[EvalConversation](), list[str]()
    for record, own in zip(read_sparkles(annotations), _own_names(annotations), strict=False):
        if isinstance(record, Skip):
            skipped.append(f"{path}, dialogue {own or record.record.id} is not asked: {record.detail}")
        elif limit is None or len(conversations) < limit:
            conversations.append(_dialogue(path, name, own or record.records[0].id, record, finder))
    if not conversations:
        raise EvaluationError(f"{path} holds no dialogue that can be asked", skipped[0] if skipped else None)
    return EvalData(name, _uniquely_named(conversations), tuple(skipped))


def _own_names(annotations: Annotations) -> Iterator[str | None]:
    """Yield the names in the file, then None for ever; the reader reports what is wrong with the file."""
    try:
        named = msgspec.json.decode(annotations.data, type=list[_Named])
    except msgspec.MsgspecError:
        named = []
    yield from (None if each.evaluation_id is None else str(each.evaluation_id) for each in named)
    yield from itertools.repeat(None)


def _dialogue(
    path: str, dataset: str, name: str, record: records.Conversation, finder: ImageFinder
) -> EvalConversation:
    whose = f"{path}, dialogue {name}"
    members = [finder.require(each, whose) for each in record.images]
    rounds = [
        Question(
            tuple(turn.images), tuple(record.images[number - 1] for number in turn.images), turn.question, turn.answer
        )
        for turn in record.turns
    ]
    return EvalConversation(name, dataset, tuple(rounds), make_reader(members))


def _uniquely_named(conversations: Sequence[EvalConversation]) -> tuple[EvalConversation, ...]:
    used: Counter[str] = Counter()
    unique = []
    for each in conversations:
        used[each.name] += 1
        unique.append(each if used[each.name] == 1 else replace(each, name=f"{each.name}~{used[each.name]}"))
    return tuple(unique)


def _read_blend(blend: Blend, split: str, questions: Path | None, limit: int | None) -> EvalData:
    rows = [row for row, value in enumerate(blend.rows["split"].to_list()) if value == split][:limit]
    if not rows:
        hint = f"blend again with a share for {split}, or name another split"
        raise EvaluationError(f"the {split} split of {blend.location} has no samples", hint)
    files = [file for source in blend.manifest.recipe.get("sources", {}).values() for file in source.get("files", ())]
    listed = questions or find_questions(files)
    drawn = read_questions(listed) if listed else {}
    conversations = tuple(_sample(blend, row, drawn) for row in rows)
    checks = [question.check for each in conversations for question in each.rounds]
    warnings = () if any(checks) or questions is None else (f"{questions} has no question of this blend",)
    return EvalData(f"{blend.manifest.name}-{split}", conversations, warnings)


def _sample(blend: Blend, row: int, drawn: Mapping[QuestionKey, DrawnQuestion]) -> EvalConversation:
    sample = blend.read_text(row)
    names = [image.name for image in sample.images]
    uses: Counter[int] = Counter()
    rounds = []
    for turn in sample.turns:
        shown = tuple(names[number - 1] for number in turn.images)
        _, file, record = sample.sources[turn.source].split("/", 2)
        key = file, record, uses[turn.source]
        uses[turn.source] += 1
        check = _check(drawn.get(key), turn.answer, names)
        rounds.append(Question(tuple(turn.images), shown, turn.question, turn.answer, check, turn.system))
    return EvalConversation(sample.key, sample.dataset, tuple(rounds), partial(_read_images, blend, row))


def _read_images(blend: Blend, row: int) -> tuple[bytes, ...]:
    return blend[row].images


def _check(question: DrawnQuestion | None, reference: str, names: Sequence[str]) -> DrawnCheck | None:
    """Return the check of an answer; a list by which the reference itself is wrong belongs to another corpus."""
    if question is None or not set(question.images) <= set(names):
        return None
    check = DrawnCheck(question, tuple(names.index(name) + 1 for name in question.images))
    return check if check.is_right(reference) else None
