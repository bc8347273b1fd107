"""Conversations that are shown others' pictures."""

import json
from dataclasses import replace

import pytest

from blender.core.errors import EvaluationError
from blender.evaluate.ask import AskOptions
from blender.evaluate.read import read_data
from blender.evaluate.run import evaluate, name_models
from blender.evaluate.swap import swap_images
from blender.serve.loading import open_model
from blender.serve.sampling import Sampling
from blender.serve.session import Session

SHORT = Sampling(max_new_tokens=4)


def open_folder(model):
    return open_model(model.folder, name=model.name, device="cpu")


@pytest.fixture(scope="module")
def data(drawn):
    return read_data(str(drawn / "blend"), limit=6)


def names_of(conversation):
    return [name for question in conversation.rounds for name in question.names]


def test_every_image_is_another_one_and_all_else_stays(data):
    swapped = swap_images(data)
    assert sum(each.num_images for each in data.conversations) > 6
    for before, after in zip(data.conversations, swapped.conversations, strict=True):
        assert not set(names_of(before)) & set(names_of(after))
        assert [(each.images, each.question, each.reference, each.check) for each in before.rounds] == [
            (each.images, each.question, each.reference, each.check) for each in after.rounds
        ]
        assert len(after.read()) == before.num_images


def test_the_names_are_those_of_what_is_shown(data):
    files = {name: file for each in data.conversations for name, file in zip(names_of(each), each.read(), strict=True)}
    for each in swap_images(data).conversations:
        assert list(each.read()) == [files[name] for name in names_of(each)]


def test_too_few_other_images_are_told(drawn):
    alone = read_data(str(drawn / "blend"), limit=1)
    with pytest.raises(EvaluationError, match="the others have 0 to swap them for"):
        swap_images(alone)


def test_models_are_shown_them_and_results_say_so(data, models, tmp_path):
    asked = AskOptions(sampling=SHORT, swap_images=True, loss=False)
    summary = evaluate(name_models(models[:1]), [data], tmp_path, asked, open_folder=open_folder)
    assert any("Images swapped" in note for note in summary.notes)
    lines = [json.loads(line) for line in (tmp_path / "results.jsonl").read_text().splitlines()]
    first, session = swap_images(data).conversations[0], Session(open_model(models[0], device="cpu"))
    images = first.read()
    for line, question in zip(lines, first.rounds, strict=False):
        assert tuple(line["image_paths"]) == question.names
        shown = [images[number - 1] for number in question.images]
        assert session.ask(question.question, shown, sampling=SHORT).text == line["answer"]
    with pytest.raises(EvaluationError, match="swap_images was True and is False"):
        evaluate(name_models(models[:1]), [data], tmp_path, replace(asked, swap_images=False), open_folder=open_folder)
