"""An evaluation, from questions to tables."""

import csv
import json
from itertools import pairwise
from pathlib import Path

import pytest

from blender.core.errors import EvaluationError, FolderError
from blender.evaluate import results, summary
from blender.evaluate.ask import AskOptions
from blender.evaluate.read import read_data
from blender.evaluate.results import fingerprint_of
from blender.evaluate.run import evaluate, name_models
from blender.serve.loading import open_model
from blender.serve.sampling import Sampling
from blender.serve.session import Session
from tests.corpora import contents
from tests.evaluate.conftest import NASTY, write

SHORT = Sampling(max_new_tokens=8)


def open_folder(model):
    return open_model(model.folder, name=model.name, device="cpu")


def run(folders, data, out, *, opening=open_folder, overwrite=False, **options):
    asked = AskOptions(**{"sampling": SHORT, **options})
    return evaluate(name_models(folders), data, out, asked, open_folder=opening, overwrite=overwrite)


def lines(out):
    return [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def blend(drawn):
    return read_data(str(drawn / "blend"), limit=4)


@pytest.fixture(scope="module")
def done(models, blend, tmp_path_factory):
    """An evaluation of two models, with what it found."""
    out = tmp_path_factory.mktemp("done") / "out"
    return out, run(models, [blend], out)


def test_every_question_is_asked_of_every_model_once(done, blend):
    asked = [(line["model"], line["conversation"], line["round"]) for line in lines(done[0])]
    wanted = [
        (model, each.name, number)
        for model in done[1].models
        for each in blend.conversations
        for number in range(1, len(each.rounds) + 1)
    ]
    assert asked == wanted


def test_the_models_own_answers_stand_in_the_history(done, blend, models):
    session = Session(open_model(models[0], device="cpu"))
    mine = [line for line in lines(done[0]) if line["model"] == done[1].models[0]]
    talk = max(blend.conversations, key=lambda each: len(each.rounds))
    images = talk.read()
    for line in [line for line in mine if line["conversation"] == talk.name]:
        shown = [images[number - 1] for number in line["images"]]
        assert session.ask(line["question"], shown, sampling=SHORT).text == line["answer"]


def test_right_answers_stand_in_the_history_when_teacher_forced(blend, models, tmp_path):
    found = run(models[:1], [blend], tmp_path, teacher_forced=True)
    assert any("Teacher-forced" in note for note in found.notes)
    session = Session(open_model(models[0], device="cpu"))
    talk = max(blend.conversations, key=lambda each: len(each.rounds))
    images = talk.read()
    for line in [line for line in lines(tmp_path) if line["conversation"] == talk.name]:
        shown = [images[number - 1] for number in line["images"]]
        assert session.ask(line["question"], shown, sampling=SHORT).text == line["answer"]
        session.amend(line["reference"])


def test_the_published_columns_come_first(conversations, models, tmp_path):
    run(models[:1], [read_data(str(conversations))], tmp_path / "out")
    with (tmp_path / "out" / "results.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0][:4] == ["test_name", "image_path", "question", "answer"]
    assert [row[:3] for row in rows[1:]] == [
        ["two", "photos/0.jpg", "What is it?"],
        ["two", "photos/1.jpg ./photos/2.jpg", "And these?"],
        ["two", "", "Why?"],
        ["one", "photos/3.jpg", "Describe the image."],
        ["none", "", "Who are you?"],
        ["none", "photos/4.jpg", "And this?"],
    ]
    answers = {(line["conversation"], line["round"]): line["answer"] for line in lines(tmp_path / "out")}
    assert [row[3] for row in rows[1:]] == list(answers.values())


def test_a_table_has_all_models_beside_each_other(done):
    with (done[0] / "results.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    pairs = list(zip(rows[0::2], rows[1::2], strict=True))
    assert all(a["question"] == b["question"] and a["test_name"] == b["test_name"] for a, b in pairs)
    assert {(a["model"], b["model"]) for a, b in pairs} == {tuple(done[1].models)}


def test_the_same_evaluation_gives_the_same_files(done, models, blend, tmp_path):
    run(models, [blend], tmp_path / "again")
    for name in ("results.jsonl", "results.csv", "summary.json", "table.html", "run.json"):
        assert (tmp_path / "again" / name).read_bytes() == (done[0] / name).read_bytes(), name


def test_several_conversations_at_once_give_the_same_answers(done, models, blend, tmp_path):
    run(models, [blend], tmp_path / "together", batch_size=3)
    assert (tmp_path / "together" / "results.csv").read_bytes() == (done[0] / "results.csv").read_bytes()


@pytest.mark.parametrize(("num_lines", "num_bytes"), [(0, 0), (0, 100), (1, 0), (1, 100)])
def test_what_was_interrupted_goes_on_where_it_stopped(done, models, blend, tmp_path, num_lines, num_bytes):
    """After a crash between two conversations, in the middle of one, or in the middle of a line."""
    whole = (done[0] / "results.jsonl").read_bytes().splitlines(keepends=True)
    place = next(number for number, each in enumerate(blend.conversations) if number and len(each.rounds) > 1)
    kept = sum(len(each.rounds) for each in blend.conversations[:place]) + num_lines
    (tmp_path / "run.json").write_bytes((done[0] / "run.json").read_bytes())
    (tmp_path / "results.jsonl").write_bytes(b"".join(whole[:kept]) + whole[kept][:num_bytes])
    asked = []

    def opening(place):
        asked.append(place.name)
        return open_folder(place)

    run(models, [blend], tmp_path, opening=opening)
    assert (tmp_path / "results.jsonl").read_bytes() == (done[0] / "results.jsonl").read_bytes()
    assert asked == done[1].models


def test_what_is_done_is_not_asked_again(done, models, blend):
    def opening(place):
        raise AssertionError(f"{place.name} was opened")

    before = (done[0] / "results.jsonl").read_bytes()
    assert run(models, [blend], done[0], opening=opening) == done[1]
    assert (done[0] / "results.jsonl").read_bytes() == before


def test_another_model_and_more_conversations_can_follow(models, drawn, tmp_path):
    few, more = (read_data(str(drawn / "blend"), limit=limit) for limit in (1, 2))
    run(models[:1], [few], tmp_path)
    before = lines(tmp_path)
    found = run(models, [more], tmp_path)
    assert lines(tmp_path)[: len(before)] == before
    assert found.groups[0].models.keys() == set(found.models)
    assert len({figures.questions for figures in found.groups[0].models.values()}) == 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"sampling": Sampling(max_new_tokens=9)}, "sampling was"),
        ({"teacher_forced": True}, "teacher_forced was False and is True"),
        ({"loss": False}, "loss was True"),
        ({"weights": "bfloat16"}, "weights was 'auto' and is 'bfloat16'"),
    ],
)
def test_answers_to_other_options_are_not_mixed(done, models, blend, change, words):
    before = (done[0] / "results.jsonl").read_bytes()
    with pytest.raises(EvaluationError, match=words):
        run(models, [blend], done[0], **change)
    assert (done[0] / "results.jsonl").read_bytes() == before


def test_another_model_of_the_same_name_is_refused(done, models, blend, monkeypatch):
    monkeypatch.setattr("blender.evaluate.run.fingerprint_of", lambda folder: "other")
    with pytest.raises(EvaluationError, match="another model named"):
        run(models, [blend], done[0])


def test_a_model_that_was_trained_on_is_another_model(models, tmp_path):
    import shutil

    from safetensors.torch import load_file, save_file

    shutil.copytree(models[0], tmp_path / "model")
    before = fingerprint_of(tmp_path / "model")
    assert before == fingerprint_of(models[0]) != fingerprint_of(models[1])
    weights = load_file(tmp_path / "model" / "model.safetensors")
    weights["projector.linear.weight"] += 1e-3
    save_file(weights, tmp_path / "model" / "model.safetensors", metadata={"format": "pt"})
    assert fingerprint_of(tmp_path / "model") != before


def test_changed_questions_are_refused_and_can_be_begun_anew(models, photos):
    file = write(photos / "talk.json", {"a": [["What?"]]})
    run(models[:1], [read_data(str(file))], photos / "out")
    write(file, {"a": [["Who?"]]})
    with pytest.raises(EvaluationError, match="another talk: its conversation a has changed"):
        run(models[:1], [read_data(str(file))], photos / "out")
    run(models[:1], [read_data(str(file))], photos / "out", overwrite=True)
    assert [line["question"] for line in lines(photos / "out")] == ["Who?"]


def test_two_evaluations_never_write_into_one_folder(models, blend, tmp_path):
    def opening(place):
        with pytest.raises(FolderError, match="another evaluation is being written into .* right now"):
            run(models[:1], [blend], tmp_path / "out")
        return open_folder(place)

    run(models[:1], [blend], tmp_path / "out", opening=opening)
    asked = [(line["conversation"], line["round"]) for line in lines(tmp_path / "out")]
    assert len(asked) == len(set(asked))


@pytest.mark.parametrize("name", ["results.jsonl", "run.json", "results.csv", "summary.json", "table.html"])
@pytest.mark.parametrize("overwrite", [True, False])
def test_a_strangers_file_of_one_of_our_names_is_left_alone(models, blend, tmp_path, name, overwrite):
    (tmp_path / name).write_text("precious")
    with pytest.raises(FolderError, match=f"something else than an evaluation: {name}"):
        run(models[:1], [blend], tmp_path, overwrite=overwrite)
    assert contents(tmp_path) == {name: b"precious"}


def test_a_url_as_the_folder_is_refused(models, blend, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FolderError, match="s3://bucket/x is a URL"):
        run(models[:1], [blend], Path("s3://bucket/x"))
    assert not list(tmp_path.iterdir())


def test_a_conversation_that_outgrows_the_model_does_not_keep_others_from_being_asked(models, photos):
    talk = {
        "long": [["Hi."], ["What?" + " Well?" * 900], ["And?"]],
        "short": [["What is it?", "photos/0.jpg"]],
    }
    data = read_data(str(write(photos / "talk.json", talk)))
    for size in (1, 2):
        found = run(models[:1], [data], photos / f"out{size}", batch_size=size)
        first, second, third, other = lines(photos / f"out{size}")
        assert first["error"] is None
        assert "and the model has room for 1,024" in second["error"]
        assert third["error"] == "round 2 could not be asked"
        assert other["error"] is None
        assert found.groups[0].models[found.models[0]].failed == 2
        assert any("2 of 4 questions could not be asked" in note for note in found.notes)


def test_teacher_forcing_needs_right_answers(conversations, models, tmp_path):
    with pytest.raises(EvaluationError, match="conversation two of talk has a round without an answer"):
        run(models[:1], [read_data(str(conversations))], tmp_path / "out", teacher_forced=True)


def test_figures_are_those_of_the_answers(done):
    out, found = done
    by_model = {model: [line for line in lines(out) if line["model"] == model] for model in found.models}
    for group in found.groups:
        key = {
            "all": lambda line: "all",
            "dataset": lambda line: line["dataset"],
            "images": lambda line: str(line["num_images"]),
            "round": lambda line: str(line["round"]),
            "kind": lambda line: line["kind"],
        }[group.by]
        for model, figures in group.models.items():
            some = [line for line in by_model[model] if key(line) == group.value]
            checked = [line["correct"] for line in some if line["kind"]]
            assert figures.questions == len(some) > 0
            assert figures.f1 == pytest.approx(sum(line["scores"]["f1"] for line in some) / len(some))
            tokens = sum(line["loss_tokens"] for line in some)
            assert figures.loss == pytest.approx(sum(line["loss"] for line in some) / tokens)
            assert figures.checked == len(checked)
            assert figures.accuracy == (pytest.approx(sum(checked) / len(checked)) if checked else None)
    for by in ("dataset", "images", "round"):
        total = sum(g.models[found.models[0]].questions for g in found.groups if g.by == by)
        assert total == len(by_model[found.models[0]])
    assert json.loads((out / "summary.json").read_text())["models"] == found.models


def test_the_loss_is_that_of_training(done, blend, models):
    """Over a whole conversation at once, by the model's own loss of the encoded sample."""
    import torch

    from blender.shards.reader import open_blend
    from blender.stream.collate import Collator
    from blender.stream.encode import encode_sample

    loaded = open_model(models[0], device="cpu")
    source = open_blend(blend.conversations[0].read.args[0].path)
    for each in blend.conversations:
        encoded = encode_sample(source[each.name], loaded.encoder)
        batch = Collator(0, loaded.encoder.pixels.shape)([[encoded]])
        with torch.inference_mode():
            made = loaded.model(
                batch.input_ids, position_ids=batch.position_ids, segment_ids=batch.segment_ids,
                image_index=batch.image_index, pixels=batch.pixels, labels=batch.labels,
            )  # fmt: skip
        mine = [ln for ln in lines(done[0]) if ln["conversation"] == each.name and ln["model"] == done[1].models[0]]
        assert sum(line["loss"] for line in mine) == pytest.approx(float(made.token_losses.sum()), rel=1e-4)
        ends = [0, *loaded.encoder.text.encode(loaded.template.render(source[each.name].sample.turns)).turn_ends]
        trained = encoded.text.loss_mask.tolist()
        per_round = [sum(trained[start:end]) for start, end in pairwise(ends)]
        assert [line["loss_tokens"] for line in mine] == per_round


def test_references_beyond_the_models_length_have_no_loss_and_are_told(models, photos):
    talk = {"a": [{"question": "Hi.", "answer": "Hello."}, {"question": "What?", "answer": "Well, " * 900}]}
    found = run(models[:1], [read_data(str(write(photos / "talk.json", talk)))], photos / "out")
    assert [line["loss"] is None for line in lines(photos / "out")] == [False, True]
    assert any("the loss is computed for 1 of 2 references" in note for note in found.notes)


def test_without_a_loss_there_is_none(conversations, models, blend, tmp_path):
    assert run(models[:1], [blend], tmp_path, loss=False).groups[0].models[name_models(models[:1])[0].name].loss is None
    assert lines(tmp_path)[0]["loss"] is None


def test_draws_do_not_depend_on_the_company(models, blend, tmp_path):
    drawn_alone = Sampling(max_new_tokens=8, temperature=1.0, seed=3)
    for size in (1, 3):
        run(models[:1], [blend], tmp_path / str(size), sampling=drawn_alone, batch_size=size)
    assert (tmp_path / "1" / "results.csv").read_bytes() == (tmp_path / "3" / "results.csv").read_bytes()


def test_models_are_called_by_what_tells_them_apart(tmp_path):
    for name in ("a/final", "b/final", "b/best"):
        (tmp_path / name).mkdir(parents=True)
    assert [p.name for p in name_models([tmp_path / "a/final", tmp_path / "b/best"])] == ["final", "best"]
    assert [p.name for p in name_models([tmp_path / "a/final", tmp_path / "b/final"])] == ["a/final", "b/final"]
    with pytest.raises(EvaluationError, match="named twice"):
        name_models([tmp_path / "a/final", tmp_path / "a/../a/final"])
    with pytest.raises(EvaluationError, match="no folder"):
        name_models([tmp_path / "c"])


def test_two_data_of_one_name_are_refused(models, blend, tmp_path):
    with pytest.raises(EvaluationError, match="two data are named demo-eval"):
        run(models[:1], [blend, blend], tmp_path)


def test_a_metric_without_its_library_is_told_in_the_summary(done, monkeypatch):
    monkeypatch.setattr(summary, "missing_libraries", lambda: {"bleu": "bleu is not computed: because"})
    monkeypatch.setattr(summary, "bleu", lambda answers, references: None)
    told = summary.summarise(["m"], ["d"], [], [])
    assert told.notes == []
    plain = {**lines(done[0])[0], "model": "m"}
    result = results.Result(**plain)
    assert "bleu is not computed: because" in summary.summarise(["m"], ["d"], [result], []).notes


def test_texts_that_look_like_markup_are_asked_as_text(models, photos):
    data = read_data(str(write(photos / "talk.json", {NASTY: [[NASTY + " ### Answer: <image>", "photos/0.jpg"]]})))
    run(models[:1], [data], photos / "out")
    page = (photos / "out" / "table.html").read_text()
    assert NASTY not in page
    assert page.count("<script") == 1
    assert lines(photos / "out")[0]["conversation"] == NASTY
