"""An evaluation: every model is asked every conversation; answers, figures and a page are written.

Models are opened one after the other, so that only one has to fit into memory. Conversations whose answers are on disk
are not asked again; a model with nothing left to ask is not opened.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from blender.core.errors import EvaluationError
from blender.core.faults import full_disk_told
from blender.core.folder import hold_folder
from blender.evaluate.ask import AskOptions, ask_all
from blender.evaluate.conversations import EvalConversation, EvalData
from blender.evaluate.models import ModelFolder, name_models
from blender.evaluate.page import table_page
from blender.evaluate.results import EVALUATION, EvalRun, Result, ResultsFile, fingerprint_of, write_csv, write_result
from blender.evaluate.summary import Summary, encode_summary, summarise
from blender.evaluate.swap import swap_images
from blender.serve.loading import LoadedModel

__all__ = ["ModelFolder", "evaluate", "name_models"]

#: called with a station's name, what is done, and what there is to do
Tell = Callable[[str, int, int], None]
#: conversations in the page
NUM_SHOWN = 300


def evaluate(
    models: Sequence[ModelFolder],
    data: Sequence[EvalData],
    out: Path,
    options: AskOptions,
    *,
    open_folder: Callable[[ModelFolder], LoadedModel],
    tell: Tell | None = None,
    overwrite: bool = False,
    num_shown: int = NUM_SHOWN,
) -> Summary:
    """Ask models, and write ``results.jsonl``, ``results.csv``, ``summary.json`` and ``table.html``.

    Args:
        models: The models.
        data: What to ask them.
        out: Folder to write to; an interrupted evaluation in it is resumed.
        options: How to ask.
        open_folder: Opens a model.
        tell: Called with progress.
        overwrite: Delete the answers of an earlier evaluation first.
        num_shown: Conversations to show in the page at most.

    Raises:
        EvaluationError: Data are named alike, lack references, or have too few images to swap; or the folder holds
            an evaluation of something else.
        FolderError: The folder is written to by another evaluation, holds something else, or cannot be written to.
        ModelError: A model cannot be opened.
    """
    _check(data, options)
    if options.swap_images:
        data = [swap_images(each) for each in data]
    run = EvalRun(
        _plain(options),
        {model.name: fingerprint_of(model.folder) for model in models},
        {each.name: each.fingerprints() for each in data},
    )
    with hold_folder(out, EVALUATION) as folder, full_disk_told(out):
        if overwrite:
            folder.clear()
        with ResultsFile(out, run) as file:
            for model in models:
                _ask_model(model, data, options, file, open_folder, tell or (lambda station, done, total: None))
            results = _in_order(file.results, models, data)
        return _write(out, models, data, results, options, num_shown)


def _check(data: Sequence[EvalData], options: AskOptions) -> None:
    names = [each.name for each in data]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise EvaluationError(f"two data are named {twice}", "evaluate them into different folders")
    if options.teacher_forced:
        bare = next((c for each in data for c in each.conversations if not c.has_references), None)
        if bare:
            message = (
                f"conversation {bare.name} of {bare.dataset} has a round without an answer to put into the history"
            )
            raise EvaluationError(message, "leave out --teacher-forced, or give its rounds answers")


def _plain(options: AskOptions) -> dict[str, Any]:
    """Return the options that answers depend on, which the number asked at once is not."""
    plain = asdict(options)
    plain.pop("batch_size")
    return {**plain, "sampling": {**plain["sampling"], "stop": list(options.sampling.stop)}}


def _ask_model(
    model: ModelFolder,
    data: Sequence[EvalData],
    options: AskOptions,
    file: ResultsFile,
    open_folder: Callable[[ModelFolder], LoadedModel],
    tell: Tell,
) -> None:
    finished = file.done
    left = [[c for c in each.conversations if (model.name, each.name, c.name) not in finished] for each in data]
    total = sum(len(each.conversations) for each in data)
    done = total - sum(map(len, left))
    tell(model.name, done, total)
    if done == total:
        return
    loaded = open_folder(model)
    for each, conversations in zip(data, left, strict=True):
        for results in ask_all(loaded, each.name, conversations, options):
            file.append(results)
            done += 1
            tell(model.name, done, total)


def _in_order(results: Sequence[Result], models: Sequence[ModelFolder], data: Sequence[EvalData]) -> list[Result]:
    """Return the results of these models and data, by conversation, round and model."""
    order = {model.name: number for number, model in enumerate(models)}
    pairs = [(each.name, conversation.name) for each in data for conversation in each.conversations]
    rank = {pair: number for number, pair in enumerate(pairs)}
    chosen = [r for r in results if r.model in order and (r.data, r.conversation) in rank]
    return sorted(chosen, key=lambda r: (rank[r.data, r.conversation], r.round, order[r.model]))


def _write(
    out: Path,
    models: Sequence[ModelFolder],
    data: Sequence[EvalData],
    results: Sequence[Result],
    options: AskOptions,
    num_shown: int,
) -> Summary:
    notes = [warning for each in data for warning in each.warnings]
    if options.teacher_forced:
        notes.append("Teacher-forced: each question was asked after the right answers to those before it.")
    if options.swap_images:
        notes.append("Images swapped: each question was asked about other images than its own.")
    summary = summarise([model.name for model in models], [each.name for each in data], results, notes)
    conversations: dict[tuple[str, str], EvalConversation] = {
        (each.name, conversation.name): conversation for each in data for conversation in each.conversations
    }
    write_csv(out / "results.csv", results)
    write_result(out / "summary.json", [encode_summary(summary)])
    page = table_page(summary, results, conversations, num_shown)
    write_result(out / "table.html", (piece.encode() for piece in page))
    return summary
