"""Answers on disk: a line of ``results.jsonl`` for each, written as soon as its conversation is done.

``run.json`` lists the models, the questions and the options. An interrupted evaluation resumes. One with other
questions, other options or another model of the same name is refused: its answers could not be compared with those that
are in the folder.
"""

import csv
import hashlib
import io
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec
from msgspec import Struct

from blender.core.errors import EvaluationError
from blender.core.faults import folder_fault
from blender.core.files import write_whole
from blender.core.folder import FolderKind

RESULTS = "results.jsonl"
RUN = "run.json"
#: the published evaluation's columns come first
_PUBLISHED = ("test_name", "image_path", "question", "answer")
#: how a formula begins in some spreadsheet
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_OWN = (
    ("model", "data", "dataset", "round", "num_images", "reference", "kind", "correct")
    + ("exact", "contained", "f1", "rouge_l")
    + ("loss", "loss_tokens", "finish", "prompt_tokens", "new_tokens", "error")
)


class Result(Struct, frozen=True, kw_only=True):
    """One answer of one model."""

    model: str
    data: str
    dataset: str
    conversation: str
    #: from 1, and how many there are
    round: int
    num_rounds: int
    #: numbers and names of the images newly shown
    images: list[int]
    image_paths: list[str]
    #: images shown so far
    num_images: int
    question: str
    answer: str
    reference: str | None = None
    #: kind of a drawn question, and whether the answer is right by what was drawn
    kind: str | None = None
    correct: bool | None = None
    #: exact, contained, f1 and rouge_l, each from 0 to 1
    scores: dict[str, float] = {}
    #: of the reference: nats, and the tokens that they are summed over
    loss: float | None = None
    loss_tokens: int | None = None
    #: end, marker or length
    finish: str | None = None
    prompt_tokens: int | None = None
    new_tokens: int | None = None
    #: why there is no answer
    error: str | None = None

    @property
    def of(self) -> tuple[str, str, str]:
        """Model, data and conversation."""
        return self.model, self.data, self.conversation


class EvalRun(Struct, frozen=True):
    """The models, questions and options of an evaluation."""

    #: options that every answer depends on
    options: dict[str, Any]
    #: fingerprints of the models, and of the conversations of each data
    models: dict[str, str]
    conversations: dict[str, dict[str, str]]
    version: int = 1


def _is_evaluation(path: Path) -> bool:
    """Recognise the folder of an evaluation by its ``run.json`` or by its first answer."""
    try:
        msgspec.json.decode((path / RUN).read_bytes(), type=EvalRun)
        return True
    except (OSError, msgspec.MsgspecError):
        pass
    try:
        with (path / RESULTS).open("rb") as file:
            msgspec.json.decode(file.readline(), type=Result)
        return True
    except (OSError, msgspec.MsgspecError):
        return False


EVALUATION = FolderKind(
    name="evaluation",
    noun="an evaluation",
    busy="another evaluation is being written into",
    own=(r"results\.(jsonl|csv)", r"summary\.json", r"table\.html", r"run\.json"),
    is_proven=_is_evaluation,
    joins=True,
)


class ResultsFile:
    """Appends results, a conversation at a time.

    Args:
        folder: The evaluation's folder, which is held.
        run: What will be evaluated.

    Raises:
        EvaluationError: The folder holds results of something else.
        FolderError: It cannot be written to.
    """

    def __init__(self, folder: Path, run: EvalRun) -> None:
        self.path = folder / RESULTS
        try:
            merged = _merged(folder, run)
            self.results = _recover(self.path)
            write_result(folder / RUN, [msgspec.json.format(msgspec.json.encode(merged), indent=2) + b"\n"])
            self._file = self.path.open("ab")
        except OSError as error:
            raise folder_fault(error, folder) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._file.close()

    @property
    def done(self) -> set[tuple[str, str, str]]:
        """Model, data and conversation of everything that was asked already."""
        return {result.of for result in self.results}

    def append(self, results: Sequence[Result]) -> None:
        """Write all answers of one conversation."""
        try:
            self._file.write(b"".join(msgspec.json.encode(result) + b"\n" for result in results))
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise folder_fault(error, self.path.parent) from error
        self.results += results


def fingerprint_of(folder: Path) -> str:
    """Return a hash that changes when the model in a folder changes, without reading all of its weights.

    Of every file of weights some evenly spaced pieces are read; other files are read whole.
    """
    state = hashlib.sha256()
    for path in sorted(path for path in folder.iterdir() if path.suffix in (".json", ".safetensors", ".jinja")):
        size = path.stat().st_size
        state.update(f"{path.name} {size}\n".encode())
        step = max(1 << 16, size // 256) if path.suffix == ".safetensors" else 1 << 16
        with path.open("rb") as file:
            for start in range(0, size, step):
                file.seek(start)
                state.update(file.read(1 << 16))
    return state.hexdigest()[:16]


def _merged(folder: Path, run: EvalRun) -> EvalRun:
    """Add a run to the one that the folder holds."""
    try:
        earlier = msgspec.json.decode((folder / RUN).read_bytes(), type=EvalRun)
    except FileNotFoundError:
        if (folder / RESULTS).exists():
            raise EvaluationError(f"{folder} holds {RESULTS} and no {RUN}", "choose another --out") from None
        return run
    except msgspec.MsgspecError as error:
        raise EvaluationError(f"{folder / RUN} is damaged: {error}", "begin anew with --overwrite") from None
    fault = _difference(earlier, run)
    if fault:
        raise EvaluationError(f"{folder} holds results of {fault}", "choose another --out, or begin with --overwrite")
    conversations = {
        name: {**earlier.conversations.get(name, {}), **run.conversations.get(name, {})}
        for name in [*earlier.conversations, *run.conversations]
    }
    return EvalRun(run.options, {**earlier.models, **run.models}, conversations)


def _difference(earlier: EvalRun, run: EvalRun) -> str | None:
    for key in sorted({*earlier.options, *run.options}):
        before, now = earlier.options.get(key), run.options.get(key)
        if before != now:
            return f"another run: {key} was {before!r} and is {now!r}"
    for model in run.models:
        if earlier.models.get(model, run.models[model]) != run.models[model]:
            return f"another model named {model}"
    for data, conversations in run.conversations.items():
        before = earlier.conversations.get(data, {})
        changed = next(
            (name for name in conversations if before.get(name, conversations[name]) != conversations[name]), None
        )
        if changed is not None:
            return f"another {data}: its conversation {changed} has changed"
    return None


def _recover(path: Path) -> list[Result]:
    """Read the answers; a conversation that a crash left incomplete is removed from the file."""
    if not path.exists():
        return []
    results, waiting = list[Result](), list[Result]()
    size = good = 0
    for number, line in enumerate(path.read_bytes().splitlines(keepends=True), start=1):
        if not line.endswith(b"\n"):
            break
        try:
            waiting.append(msgspec.json.decode(line, type=Result))
        except msgspec.MsgspecError as error:
            raise EvaluationError(f"{path}, line {number}: {error}", "begin anew with --overwrite") from None
        size += len(line)
        if waiting[-1].round == waiting[-1].num_rounds:
            results += waiting
            waiting, good = [], size
    os.truncate(path, good)
    return results


def write_result(path: Path, pieces: Iterable[bytes]) -> None:
    """Write a file into the folder of an evaluation, whole or not at all.

    Raises:
        FolderError: It cannot be written.
    """
    try:
        write_whole(path, pieces)
    except OSError as error:
        raise folder_fault(error, path.parent) from error


def _inert(cell: object) -> object:
    """Return a cell that no spreadsheet takes for a formula; answers come from anywhere."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA) else cell


def write_csv(path: Path, results: Iterable[Result]) -> None:
    """Write a table of all answers; the published evaluation's four columns come first.

    The images of a round are in one column, separated by spaces, as in the published files. A text that a spreadsheet
    would take for a formula gets an apostrophe before it; ``results.jsonl`` has it unchanged.
    """
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow([*_PUBLISHED, *_OWN])
    for result in results:
        plain = {**msgspec.structs.asdict(result), **result.scores}
        first = [result.conversation, " ".join(result.image_paths), result.question, result.answer]
        own = ["" if plain.get(name) is None else plain[name] for name in _OWN]
        writer.writerow([_inert(cell) for cell in (*first, *own)])
    # a byte-order mark would help some spreadsheets and hurt every other reader
    write_result(path, [text.getvalue().encode()])
