"""An evaluation: every model is asked every conversation, and everything is written down.

Models are opened one after the other, so that only one has to fit into memory. What is on disk already is not asked
again; a model of which nothing is left to ask is not even opened.
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
    places: Sequence[ModelFolder],
    data: Sequence[EvalData],
    out: Path,
    options: AskOptions,
    *,
    open_place: Callable[[ModelFolder], LoadedModel],
    tell: Tell | None = None,
    overwrite: bool = False,
    num_shown: int = NUM_SHOWN,
) -> Summary:
    """Ask models, and write ``results.jsonl``, ``results.csv``, ``summary.json`` and ``table.html``.

    Args:
        places: The models.
        data: What to ask them.
        out: Folder to write to; what another run of the same left there is gone on with.
        options: How to ask.
        open_place: Opens a model.
        tell: Called as it goes on.
        overwrite: Begin anew.
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
        {place.name: fingerprint_of(place.folder) for place in places},
        {each.name: each.fingerprints() for each in data},
    )
    with hold_folder(out, EVALUATION) as folder, full_disk_told(out):
        if overwrite:
            folder.clear()
        with ResultsFile(out, run) as file:
            for place in places:
                _ask_model(place, data, options, file, open_place, tell or (lambda station, done, total: None))
            results = _in_order(file.results, places, data)
        return _write(out, places, data, results, options, num_shown)


def _check(data: Sequence[EvalData], options: AskOptions) -> None:
    names = [each.name for each in data]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise EvaluationError(f"two data are named {twice}", "evaluate them into different folders")
    if options.teacher_forced:
        bare = next((c for each in data for c in each.conversations if not c.has_references), None)
        if bare:
            told = f"conversation {bare.name} of {bare.dataset} has a round without an answer to put into the history"
            raise EvaluationError(told, "leave out --teacher-forced, or give its rounds answers")


def _plain(options: AskOptions) -> dict[str, Any]:
    """Return what answers depend on; how many are asked at once they do not."""
    plain = asdict(options)
    plain.pop("batch_size")
    return {**plain, "sampling": {**plain["sampling"], "stop": list(options.sampling.stop)}}


def _ask_model(
    place: ModelFolder,
    data: Sequence[EvalData],
    options: AskOptions,
    file: ResultsFile,
    open_place: Callable[[ModelFolder], LoadedModel],
    tell: Tell,
) -> None:
    finished = file.done
    left = [[c for c in each.conversations if (place.name, each.name, c.name) not in finished] for each in data]
    total = sum(len(each.conversations) for each in data)
    done = total - sum(map(len, left))
    tell(place.name, done, total)
    if done == total:
        return
    loaded = open_place(place)
    for each, conversations in zip(data, left, strict=True):
        for results in ask_all(loaded, each.name, conversations, options):
            file.append(results)
            done += 1
            tell(place.name, done, total)


def _in_order(results: Sequence[Result], places: Sequence[ModelFolder], data: Sequence[EvalData]) -> list[Result]:
    """Return what was asked for now, by conversation, round and model."""
    models = {place.name: number for number, place in enumerate(places)}
    pairs = [(each.name, conversation.name) for each in data for conversation in each.conversations]
    rank = {pair: number for number, pair in enumerate(pairs)}
    chosen = [r for r in results if r.model in models and (r.data, r.conversation) in rank]
    return sorted(chosen, key=lambda r: (rank[r.data, r.conversation], r.round, models[r.model]))


def _write(
    out: Path,
    places: Sequence[ModelFolder],
    data: Sequence[EvalData],
    results: Sequence[Result],
    options: AskOptions,
    num_shown: int,
) -> Summary:
    notes = [warning for each in data for warning in each.warnings]
    if options.teacher_forced:
        notes.append("Teacher-forced: each question was asked after the right answers to those before it.")
    if options.swap_images:
        notes.append("Images swapped: each question was asked of other images than it is about.")
    summary = summarise([place.name for place in places], [each.name for each in data], results, notes)
    conversations: dict[tuple[str, str], EvalConversation] = {
        (each.name, conversation.name): conversation for each in data for conversation in each.conversations
    }
    write_csv(out / "results.csv", results)
    write_result(out / "summary.json", [encode_summary(summary)])
    page = table_page(summary, results, conversations, num_shown)
    write_result(out / "table.html", (piece.encode() for piece in page))
    return summary
