"""Training runs in this process: what is learnt, written, gone on from and refused."""

import json
import shutil

import pytest
import torch

from blender.core.errors import BlenderError, FolderError, ModelError, TrainError
from blender.model import VisualChatModel, VisualChatProcessor
from blender.serve.loading import open_model
from blender.train import loop
from blender.train.checkpoint import list_checkpoints, read_state
from blender.train.events import CheckpointSaved, EvaluationDone, MetricsLogged, RunEnded, RunStarted
from blender.train.metrics import read_metrics
from blender.train.run import train
from tests.corpora import contents
from tests.train import recipes
from tests.train.recipes import gradients, losses, unchanged_environment

WEIGHTS = "weights-00001-of-00001.safetensors"


def flip(checkpoint, name=WEIGHTS):
    content = bytearray((checkpoint / name).read_bytes())
    content[-1000] ^= 64
    (checkpoint / name).write_bytes(content)


def cut(checkpoint):
    content = (checkpoint / WEIGHTS).read_bytes()
    (checkpoint / WEIGHTS).write_bytes(content[:-1])


def lose(checkpoint):
    (checkpoint / WEIGHTS).unlink()


def lose_state(checkpoint):
    (checkpoint / "state.json").unlink()


def lose_sums(checkpoint):
    (checkpoint / "checksums.json").unlink()


def believe(checkpoint):
    text = (checkpoint / "state.json").read_text()
    (checkpoint / "state.json").write_text(text.replace('"step": 8,', '"step": 9999,', 1))


def kinds(told, kind):
    return [event for event in told if isinstance(event, kind)]


def test_the_loss_falls_and_every_figure_is_told_and_written(whole):
    folder, told = whole
    logged, evaluated = kinds(told, MetricsLogged), kinds(told, EvaluationDone)
    assert [event.step for event in logged] == list(range(1, 9))
    assert [event.step for event in evaluated] == [0, 4, 8]
    assert evaluated[-1].loss < evaluated[1].loss < evaluated[0].loss - 0.3
    assert logged[-1].loss < logged[0].loss - 0.3
    for event in logged:
        assert event.tokens_per_second > event.samples_per_second > 0
        assert 0 <= event.data_wait_share < 1
        assert event.memory > 1e8
        assert event.mfu is None, "nobody knows the peak of this CPU"
        assert event.grad_norm > 0
    assert logged[-1].samples == 64
    assert losses(folder) == {event.step: event.loss for event in logged}
    assert losses(folder, "eval") == {event.step: event.loss for event in evaluated}


def test_the_loss_of_each_dataset_adds_up_to_that_of_all(whole):
    """Means over tokens: between the smallest and the largest, and every dataset of the eval split is there."""
    for event in kinds(whole[1], EvaluationDone):
        assert {"llava", "llava_otter_blend"} <= set(event.datasets)
        assert min(event.datasets.values()) < event.loss < max(event.datasets.values())


def test_rates_follow_the_schedule(whole):
    rates = [event.lr for event in kinds(whole[1], MetricsLogged)]
    assert rates[:3] == [0.005, 0.01, 0.01]
    assert rates[3:] == sorted(rates[3:], reverse=True)


def test_only_projector_and_embedding_are_trained(whole):
    (begun,) = kinds(whole[1], RunStarted)
    assert set(begun.trained) == {"projector", "embedding"}
    assert sum(begun.trained.values()) < begun.num_weights / 2


def test_the_model_opens_again_and_has_what_was_learnt(whole, parts):
    folder, _ = whole
    model = VisualChatModel.from_pretrained(folder / "model")
    start = VisualChatModel.from_parts(*parts, seed=3)
    for name, weight in model.named_parameters():
        trained = name.startswith("projector") or weight is model.get_input_embeddings().weight
        assert torch.equal(weight, dict(start.named_parameters())[name]) is not trained, name
    processor = VisualChatProcessor.from_pretrained(folder / "model")
    assert (processor.template, processor.image_positions) == ("deepspeed-visualchat", model.image_positions)


def test_pictures_and_record_are_left(whole):
    folder, _ = whole
    assert (folder / "loss.png").read_bytes().startswith(b"\x89PNG")
    page = (folder / "loss.html").read_text()
    assert "https://cdn" not in page
    assert json.loads((folder / "recipe.json").read_text())["name"] == "tiny"


def test_the_latest_checkpoints_are_kept(whole):
    folder, told = whole
    assert [path.name for path in list_checkpoints(folder / "checkpoints")] == ["step-00000006", "step-00000008"]
    assert [event.step for event in kinds(told, CheckpointSaved)] == [2, 4, 6, 8]
    assert read_state(folder / "checkpoints" / "step-00000008").eval_loss == kinds(told, EvaluationDone)[-1].loss


def test_a_run_that_is_complete_is_left_alone(whole, make):
    told = []
    ended = train(make(), whole[0], told.append)
    assert ended.was_complete
    assert kinds(told, RunStarted) == []


class _Stop(Exception):
    pass


@pytest.fixture(scope="module")
def stopped(content, tmp_path_factory):
    """A run that was stopped one step after the checkpoint of step 4, in the second epoch."""
    run = tmp_path_factory.mktemp("stopped") / "run"

    def stop_after(event):
        if isinstance(event, MetricsLogged) and event.step == 5:
            raise _Stop

    with unchanged_environment(), pytest.raises(_Stop):
        train(recipes.make(content), run, stop_after)
    return run


@pytest.mark.parametrize(
    "deepspeed",
    [{"stage": 0}, {"stage": 1}, {"stage": 2, "offload": "optimizer"}, {"stage": 3}, {"stage": 3, "offload": "all"}],
)
def test_a_run_goes_on_bit_for_bit(whole, stopped, make, tmp_path, deepspeed):
    """At every ZeRO stage, also at another one than before."""
    shutil.copytree(stopped, tmp_path / "run")
    assert max(losses(tmp_path / "run")) == 5
    told = []
    train(make(deepspeed=deepspeed), tmp_path / "run", told.append)
    assert kinds(told, RunStarted)[0].step == 4
    there = losses(tmp_path / "run")
    if deepspeed == {"stage": 0}:
        assert there == losses(whole[0])
        assert losses(tmp_path / "run", "eval") == losses(whole[0], "eval")
    else:
        assert there == pytest.approx(losses(whole[0]), rel=1e-5)


@pytest.mark.parametrize("changes", [{"batch__micro": 8}, {"batch__micro": 1}, {"gradient_checkpointing": True}])
def test_how_a_batch_is_cut_changes_nothing_but_roundings(whole, make, tmp_path, changes):
    train(make(**changes, schedule__steps=3, evaluation=None, schedule__warmup=2, schedule__kind="constant"), tmp_path)
    first = losses(whole[0])
    assert losses(tmp_path)[1] == pytest.approx(first[1], rel=1e-6)
    assert losses(tmp_path)[2] == pytest.approx(first[2], rel=1e-5)
    assert gradients(tmp_path)[1] == pytest.approx(gradients(whole[0])[1], rel=1e-4)


def test_the_loss_is_a_mean_over_the_trained_tokens_of_the_whole_batch(make, tmp_path, monkeypatch):
    """Each sample's tokens weigh alike, however many its micro-batch has."""
    seen = []
    forward = loop.Runner.forward

    def noted(self, batch):
        output = forward(self, batch)
        seen.append(output.token_losses.detach())
        return output

    monkeypatch.setattr(loop.Runner, "forward", noted)
    train(make(batch__micro=1, evaluation=None, schedule={"steps": 1, "warmup": 0}), tmp_path)
    assert len(seen) == 8
    assert len({len(part) for part in seen}) > 1
    assert losses(tmp_path)[1] == pytest.approx(torch.cat(seen).mean().item(), rel=1e-6)
    assert losses(tmp_path)[1] != pytest.approx(torch.stack([part.mean() for part in seen]).mean().item(), rel=1e-4)


def test_adapters_packing_cache_and_everything_else_at_once(make, tmp_path):
    """LoRA in both parts cannot go with a cache, so the tower is frozen; text-only samples are among the rows."""
    changes = {
        "train": {"language": "lora", "lora": {"rank": 4, "dropout": 0.1}},
        "data__pack": True,
        "precision": "bf16",
        "deepspeed": {"stage": 2},
        "vision_cache": "1MB",
        "gradient_checkpointing": True,
        "optimizer": {"lr": 0.01, "lr_embedding": 0.002, "weight_decay": 0.1},
        "schedule": {"steps": 10},
        "batch": {"global": 4, "micro": 2},
    }
    told = []
    train(make(**changes), tmp_path, told.append)
    logged = kinds(told, MetricsLogged)
    # rows differ from step to step, and so do their losses
    first, last = (sum(step.loss for step in steps) / 3 for steps in (logged[:3], logged[-3:]))
    assert last < first - 0.15
    assert set(kinds(told, RunStarted)[0].trained) == {"projector", "embedding", "language"}
    assert logged[0].cache_share < logged[-1].cache_share, "images come again"
    model = VisualChatModel.from_pretrained(tmp_path / "model")
    adapters = [weight for name, weight in model.named_parameters() if "lora_B" in name]
    assert adapters
    assert all(weight.abs().max() > 0 for weight in adapters)


def test_dropout_is_drawn_from_seed_and_step(make, tmp_path):
    """What was drawn before a stop makes no difference to what is drawn after it."""
    changes = {"train": {"language": "lora", "lora": {"dropout": 0.5}}, "schedule": {"steps": 4}, "evaluation": None}
    train(make(**changes), tmp_path / "whole")

    def stop(event):
        if isinstance(event, CheckpointSaved) and event.step == 2:
            raise _Stop

    with pytest.raises(_Stop):
        train(make(**changes), tmp_path / "parts", stop)
    torch.manual_seed(99)
    train(make(**changes), tmp_path / "parts")
    assert losses(tmp_path / "parts") == losses(tmp_path / "whole")


def test_a_loss_that_is_no_number_stops_the_run_and_names_samples(make, tmp_path):
    recipe = make(optimizer={"lr": 1e30, "clip": 0}, schedule={"steps": 6, "warmup": 0}, evaluation=None)
    with pytest.raises(TrainError, match=r"no number at step \d, in train-\d+ of small") as caught:
        train(recipe, tmp_path)
    assert "last checkpoint" in caught.value.hint
    for checkpoint in list_checkpoints(tmp_path / "checkpoints"):
        assert read_state(checkpoint).step < 6


def test_the_best_model_is_written_beside_the_last(make, tmp_path, monkeypatch):
    """A rate below 0 unlearns in the later steps: the earlier model is the better."""
    monkeypatch.setattr(loop.LearningRateSchedule, "share", lambda self, step: 1.0 if step < 4 else -1.0)
    ended = train(make(evaluation={"every": 2}, checkpoints={"every": 2, "keep": 1}), tmp_path)
    evals = losses(tmp_path, "eval")
    best = min((step for step in evals if step), key=evals.get)
    assert best == 4
    names = [path.name for path in list_checkpoints(tmp_path / "checkpoints")]
    assert names == [f"step-{best:08d}", "step-00000008"]
    last, better = (VisualChatModel.from_pretrained(folder) for folder in (ended.model, ended.best))
    assert not torch.equal(last.get_input_embeddings().weight, better.get_input_embeddings().weight)


def test_tensorboard_has_the_figures(make, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train(make(logging={"every": 1, "tensorboard": True}, schedule={"steps": 2}, checkpoints={"every": None}), tmp_path)
    board = EventAccumulator(str(tmp_path / "tensorboard"))
    board.Reload()
    written = [event.value for event in board.Scalars("train/loss")]
    assert written == pytest.approx(list(losses(tmp_path).values()), rel=1e-6)
    assert "eval/datasets/llava" in board.Tags()["scalars"]


@pytest.fixture
def no_weights(monkeypatch):
    """Fail when any weight is loaded."""

    def refuse(*arguments, **options):
        raise AssertionError("weights were loaded")

    monkeypatch.setattr(VisualChatModel, "from_parts", refuse)


def edit(folder, file, **changes):
    path = folder / file
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.usefixtures("no_weights")
class TestBeforeAnyWeightIsLoaded:
    """Each fault gets one sentence."""

    @pytest.fixture
    def own_parts(self, parts, tmp_path):
        shutil.copytree(parts[0].parent, tmp_path / "own")
        return tmp_path / "own"

    def refused(self, recipe, out, kind=BlenderError):
        with pytest.raises(kind) as caught:
            train(recipe, out)
        return str(caught.value)

    def test_an_unknown_model_type(self, make, own_parts, tmp_path):
        edit(own_parts / "language", "config.json", model_type="lamma")
        assert "lamma" in self.refused(make(model__language=str(own_parts / "language")), tmp_path / "out")

    def test_a_model_that_is_no_decoder(self, make, parts, tmp_path):
        words = self.refused(make(model__language=str(parts[1])), tmp_path / "out")
        assert "decoder" in words

    def test_a_part_that_is_not_there(self, make, tmp_path):
        words = self.refused(make(model__language=str(tmp_path / "nowhere")), tmp_path / "out")
        assert "no such folder" in words

    def test_a_tokenizer_larger_than_the_embedding(self, make, own_parts, tmp_path):
        edit(own_parts / "language", "config.json", vocab_size=300)
        words = self.refused(make(model__language=str(own_parts / "language")), tmp_path / "out")
        assert "tokenizer has 400 tokens, and the language model's embedding 300 rows" in words

    def test_a_blend_of_another_template(self, make, tmp_path):
        words = self.refused(make(template="plain"), tmp_path / "out", TrainError)
        assert "written with the template deepspeed-visualchat, and the recipe says plain" in words

    def test_a_blend_that_is_none(self, make, tmp_path):
        assert "not a finished blend" in self.refused(make(data__blends=str(tmp_path)), tmp_path / "out")

    def test_rows_longer_than_the_model_has_positions(self, make, tmp_path):
        words = self.refused(make(data__max_tokens=4096), tmp_path / "out", TrainError)
        assert "data.max_tokens is 4096, and the language model has 2048 positions" in words

    def test_an_image_that_takes_all_positions(self, make, tmp_path):
        assert "an image takes 4 positions" in self.refused(make(data__max_tokens=4), tmp_path / "out", TrainError)

    def test_shapes_for_dry_runs_that_are_not_the_parts(self, make, tmp_path):
        recipe = make(model__shapes={"language": {"hidden_size": 64}})
        assert "says hidden_size is 64" in self.refused(recipe, tmp_path / "out", TrainError)

    def test_fp16_without_a_gpu(self, make, tmp_path):
        recipe = make(precision="fp16", deepspeed={"stage": 1})
        assert "fp16 needs a GPU" in self.refused(recipe, tmp_path / "out", TrainError)

    def test_weights_and_biases_that_is_not_installed(self, make, tmp_path, monkeypatch):
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
        recipe = make(logging={"tensorboard": False, "wandb": {"project": "mine"}})
        assert "asks for wandb, which is not installed" in self.refused(recipe, tmp_path / "out", TrainError)

    def test_a_folder_that_holds_something_else(self, make, tmp_path):
        (tmp_path / "thesis.tex").write_text("")
        assert "holds something else" in self.refused(make(), tmp_path, FolderError)

    @pytest.mark.parametrize("name", ["model/a.safetensors", "checkpoints/step-1/a", "best/a.json", "wandb/a", "a.txt"])
    def test_a_strangers_folder_loses_nothing(self, make, tmp_path, name):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("precious")
        for overwrite in (True, False):
            with pytest.raises(FolderError, match="something else than a training run"):
                train(make(), tmp_path, overwrite=overwrite)
            assert contents(tmp_path) == {name: b"precious"}

    @pytest.mark.parametrize("name", ["model/notes.md", "checkpoints/step-00000008/extra.bin", "best/mine/a.json", "a"])
    def test_a_strangers_file_in_a_run_that_would_be_deleted(self, make, whole, tmp_path, name):
        shutil.copytree(whole[0], tmp_path / "run")
        (tmp_path / "run" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "run" / name).write_text("precious")
        before = contents(tmp_path / "run")
        with pytest.raises(FolderError, match=f"something else than a training run: {name}"):
            train(make(schedule={"steps": 2}), tmp_path / "run", overwrite=True)
        assert contents(tmp_path / "run") == before

    def test_a_url_as_the_folder(self, make, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        assert "s3://bucket/run is a URL" in self.refused(make(), "s3://bucket/run", FolderError)
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize(
        ("damage", "words"),
        [
            (flip, "weights-00001-of-00001.safetensors is damaged: its bytes are not those that were written"),
            (cut, r"weights-00001-of-00001.safetensors has [\d,]+ bytes, and had"),
            (lose, "weights-00001-of-00001.safetensors is missing"),
            (lose_state, "state.json cannot be read: No such file"),
            (believe, "state.json (has|is damaged)"),
            (lose_sums, "checksums.json is missing"),
        ],
    )
    def test_a_damaged_checkpoint(self, make, whole, tmp_path, damage, words):
        """Nothing falls back to the checkpoint before, which the hint names."""
        run = shutil.copytree(whole[0], tmp_path / "run")
        damage(run / "checkpoints" / "step-00000008")
        before = contents(run)
        with pytest.raises(TrainError, match=words) as caught:
            train(make(), run)
        assert "step-00000008 to go on from step-00000006" in caught.value.hint
        assert contents(run) == before

    def test_a_finished_run_whose_model_is_damaged(self, make, whole, tmp_path):
        run = shutil.copytree(whole[0], tmp_path / "run")
        flip(run / "model", "trained.safetensors")
        with pytest.raises(TrainError, match=r"trained\.safetensors is damaged") as caught:
            train(make(), run)
        assert "writes it anew" in caught.value.hint

    def test_a_run_of_another_recipe(self, make, whole, tmp_path):
        shutil.copytree(whole[0], tmp_path / "run")
        words = self.refused(make(optimizer={"lr": 0.1}, model__projector="vit"), tmp_path / "run", TrainError)
        assert "optimizer.lr was 0.01 and is 0.1" in words
        assert 'model.projector was "linear" and is "vit"' in words

    def test_a_blend_that_is_not_the_checkpoint_s(self, make, whole, blend, tmp_path):
        shutil.copytree(whole[0], tmp_path / "run")
        recipe = make(data__blends={"first": str(blend), "second": str(blend)}, schedule__steps=8)
        assert "the stream state was made" in self.refused(recipe, tmp_path / "run")

    def test_a_deepspeed_json_that_contradicts_the_recipe(self, make, tmp_path):
        (tmp_path / "ds.json").write_text('{"zero_optimization": {"stage": 3}}')
        recipe = make(deepspeed={"stage": 0, "config": str(tmp_path / "ds.json")})
        assert "zero_optimization.stage is 3, and the recipe makes it 0" in self.refused(recipe, tmp_path / "out")


def test_a_model_that_was_removed_is_written_anew(make, whole, tmp_path):
    run = shutil.copytree(whole[0], tmp_path / "run")
    shutil.rmtree(run / "model")
    train(make(), run)
    assert contents(run / "model") == contents(whole[0] / "model")


@pytest.mark.parametrize("name", ["trained.safetensors", "tokenizer.json", "config.json"])
def test_a_damaged_model_is_not_opened(whole, tmp_path, name):
    folder = shutil.copytree(whole[0] / "model", tmp_path / "model")
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    for open_it in (open_model, VisualChatModel.from_pretrained):
        with pytest.raises(ModelError, match=f"{name} is damaged") as caught:
            open_it(folder)
        assert "remove checksums.json" in caught.value.hint


def test_a_checkpoint_of_another_model_is_refused(make, whole, blend, parts, tmp_path):
    """The recipe is the same, the parts behind its folders are not."""
    from blender import open_blend
    from blender.train.tiny_models import make_tiny_parts

    texts = ["".join(span.text for span in open_blend(blend)[row].sample.spans) for row in range(20)]
    language, vision = make_tiny_parts(tmp_path / "wider", texts, width=64, vocabulary=400, image_size=32)
    shutil.copytree(whole[0], tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "model")
    recipe = make(model__language=str(language), model__vision=str(vision))
    with pytest.raises(TrainError, match="is of another model: its .* is 400 x 32, and this one's 400 x 64"):
        train(recipe, tmp_path / "run")


def test_another_run_is_deleted_when_told_so(make, whole, tmp_path):
    shutil.copytree(whole[0], tmp_path / "run")
    train(make(schedule={"steps": 2}, evaluation=None), tmp_path / "run", overwrite=True)
    assert [line["step"] for line in read_metrics(tmp_path / "run")] == [1, 2]


def test_a_full_disk_is_told_and_the_run_goes_on_afterwards(make, whole, mount_disk):
    disk = mount_disk(8 << 20)
    size = sum(path.stat().st_size for path in (whole[0] / "checkpoints" / "step-00000008").iterdir())
    (disk / "ballast").write_bytes(bytes((8 << 20) - size * 3 // 2))
    with pytest.raises(FolderError, match=f"^no space left in {disk / 'run'} "):
        train(make(), disk / "run")
    kept = list_checkpoints(disk / "run" / "checkpoints")
    assert [path.name for path in kept] == ["step-00000002"]
    (disk / "ballast").unlink()
    train(make(), disk / "run")
    assert losses(disk / "run") == losses(whole[0])


def test_two_runs_never_write_into_one_folder(make, tmp_path):
    def again(event):
        if isinstance(event, RunStarted):
            with pytest.raises(FolderError, match="right now"):
                train(make(), tmp_path)
            raise _Stop

    with pytest.raises(_Stop):
        train(make(), tmp_path, again)


def test_samples_that_cannot_be_used_are_counted_over_stops(make, tmp_path):
    ended = train(make(data__max_tokens=40, schedule={"epochs": 1}, evaluation=None), tmp_path)
    assert isinstance(ended, RunEnded)
    assert ended.skipped["too_long"] > 0
    assert read_state(list_checkpoints(tmp_path / "checkpoints")[-1]).skipped == dict(ended.skipped)


def test_workers_give_the_same_run(make, whole, tmp_path):
    changes = {"schedule": {"steps": 8, "warmup": 2}, "evaluation": None, "data__workers": 2}
    train(make(**changes), tmp_path)
    assert losses(tmp_path) == losses(whole[0])
