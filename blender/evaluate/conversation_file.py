"""Read files of conversations in the format of the published evaluation, with references as an extension.

``{"name": [["question", "image path…"], ["question"], …], …}``: a round is a question and the paths of the images that
it shows: in one text, separated by spaces, in a list, or as further items. A path may contain spaces if such a file
exists. A round may also be ``{"question": …, "images": …, "answer": …}``, where the answer is its reference.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from blender.core.errors import EvaluationError
from blender.data.images import ImageStore
from blender.data.images.files import is_remote
from blender.data.sources.annotations import Annotations
from blender.evaluate.conversations import EvalConversation, EvalData, Question
from blender.evaluate.images import ImageFinder, make_reader, open_finder

_SHAPE = 'a file is {"name": [["question", "image path"], ["question"], …], …}'


def read_conversation_file(annotations: Annotations, name: str, images: str | None, limit: int | None) -> EvalData:
    """Read a file of conversations.

    Args:
        annotations: The file.
        name: Name of the data.
        images: Image store; by default the file's folder, then the current folder.
        limit: Read only the first so many conversations.

    Raises:
        EvaluationError: It has another shape, or an image is missing.
    """
    path = annotations.path
    content = _loaded(annotations)
    own = [] if is_remote(path) else [Path(path).parent]
    finder = open_finder([images] if images else [*own, Path.cwd()])
    conversations = [_conversation(path, name, each, rounds, finder) for each, rounds in list(content.items())[:limit]]
    return EvalData(name, tuple(conversations))


def _loaded(annotations: Annotations) -> Mapping[str, Any]:
    path = annotations.path
    try:
        content = json.loads(annotations.data, object_pairs_hook=lambda pairs: _unique(path, pairs))
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise EvaluationError(f"{path} is no JSON: {error}", _SHAPE) from None
    if not isinstance(content, dict) or not content:
        raise EvaluationError(f"{path} holds no conversations", _SHAPE)
    return content


def _unique(path: str, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    entries = dict(pairs)
    if len(entries) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise EvaluationError(f"{path} has two entries named {twice!r}", "give every conversation a name of its own")
    return entries


def _conversation(path: str, dataset: str, name: str, rounds: Any, finder: ImageFinder) -> EvalConversation:
    whose = f"{path}, conversation {name!r}"
    if not isinstance(rounds, list) or not rounds:
        raise EvaluationError(f"{whose} is no list of rounds", _SHAPE)
    members: list[tuple[ImageStore, str]] = []
    questions = []
    for number, entry in enumerate(rounds, start=1):
        where = f"{whose}, round {number}"
        question, shown, answer = _parts(where, entry)
        names = tuple(path for text in shown for path in _paths(text, finder))
        first = len(members) + 1
        members += [finder.require(each, where) for each in names]
        questions.append(Question(tuple(range(first, len(members) + 1)), names, question, answer))
    return EvalConversation(name, dataset, tuple(questions), make_reader(members))


def _parts(where: str, entry: Any) -> tuple[str, list[str], str | None]:
    """Return question, texts that name images, and answer of a round."""
    if isinstance(entry, str):
        entry = [entry]
    if isinstance(entry, list) and entry:
        question, answer, shown = entry[0], None, [text for part in entry[1:] for text in _as_list(part)]
    elif isinstance(entry, dict) and set(entry) <= {"question", "images", "answer"}:
        question, answer, shown = entry.get("question"), entry.get("answer"), _as_list(entry.get("images"))
    else:
        raise EvaluationError(f'{where} is no ["question", "image path"]', _SHAPE)
    if not isinstance(question, str) or not question.strip():
        raise EvaluationError(f"{where} has no question", _SHAPE)
    if not all(isinstance(text, str) for text in shown) or not isinstance(answer, str | None):
        raise EvaluationError(f"{where} has something else than texts beside its question", _SHAPE)
    return question, shown, answer


def _as_list(part: Any) -> list[Any]:
    if part is None:
        return []
    return part if isinstance(part, list) else [part]


def _paths(text: str, finder: ImageFinder) -> list[str]:
    """Split a text into paths, unless the whole text is a path."""
    whole = text.strip()
    return [whole] if whole and finder.has_exactly(whole) else whole.split()
