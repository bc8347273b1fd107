"""What a dry run says, held against what is known of the models and against real weights."""

import json
import socket

import pytest

from blender.core.errors import BlenderError
from blender.train.dry_run import dry_run
from blender.train.events import RunStarted
from blender.train.recipe import load_train_recipe
from blender.train.run import train


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*arguments, **options):
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize(
    ("name", "weights", "embedding", "least", "most"),
    [
        ("train-7b", 6_738_415_616, 32000 * 4096, 16e9, 40e9),
        ("train-13b", 13_015_864_320, 32000 * 5120, 5e9, 40e9),
        ("train-70b", 68_976_648_192, 32000 * 8192, 20e9, 80e9),
    ],
)
def test_the_paper_s_recipes_are_worked_out_from_their_shapes(name, weights, embedding, least, most):
    found = dry_run(load_train_recipe(name), 8)
    assert found.weights["language"] == weights, "as published"
    assert found.trained["embedding"] == embedding
    assert set(found.trained) == {"projector", "embedding"}
    assert found.image_positions == 256
    assert found.plan.rows == 128
    assert least < found.total < most
    assert sum(size for size, _ in found.memory.values()) == found.total


def test_it_counts_the_weights_that_are_trained_then(make, tmp_path):
    recipe = make(train={"language": "lora", "vision": "lora", "lora": {"rank": 4}}, schedule={"steps": 1})
    told = []
    train(recipe, tmp_path, told.append)
    begun = next(event for event in told if isinstance(event, RunStarted))
    found = dry_run(recipe, 1)
    assert found.trained == begun.trained
    assert sum(found.weights.values()) == begun.num_weights


def sizes(**overrides):
    changes = [f"{key.replace('__', '.')}={json.dumps(value)}" for key, value in overrides.items()]
    found = dry_run(load_train_recipe("train-7b", changes), 8)
    return {name: size for name, (size, _) in found.memory.items()}, found


def test_zero_divides_what_it_says_it_divides():
    one, two, three = (sizes(deepspeed__stage=stage)[0] for stage in (1, 2, 3))
    assert one["gradients"] > 8 * two["gradients"]
    assert one["weights"] == two["weights"] == pytest.approx(8 * three["weights"], rel=1e-6)
    assert one["optimizer"] == two["optimizer"] == three["optimizer"]


def test_offloading_moves_memory_to_the_host():
    here, found = sizes(deepspeed__stage=3, deepspeed__offload="all")
    assert here["weights"] == here["optimizer"] == 0
    assert found.host > 1e9


def test_activations_grow_with_rows_and_shrink_with_checkpointing():
    plain, wide, kept = sizes()[0], sizes(batch__micro=8)[0], sizes(gradient_checkpointing=False)[0]
    assert wide["activations"] == 2 * plain["activations"]
    assert kept["activations"] > 5 * plain["activations"]


def test_what_cannot_be_is_refused():
    for change, words in (
        ({"batch__global": 100}, "cannot be divided among 8 ranks"),
        ({"model__shapes__language__model_type": "lamma"}, "lamma"),
    ):
        with pytest.raises(BlenderError, match=words):
            sizes(**change)


def verdict(name="train-7b", gpus=8, memory=80e9, **overrides):
    changes = [f"{key.replace('__', '.')}={json.dumps(value)}" for key, value in overrides.items()]
    return dry_run(load_train_recipe(name, changes), gpus, int(memory))


def test_states_of_a_model_trained_in_full_are_those_of_the_zero_paper():
    """2 bytes of weights and 12 of optimizer state (arXiv 1910.02054, section 3.1), and gradients in fp32."""
    weights, numbers = 6_738_415_616 + 303_179_776 + 4_206_592, 6_738_415_616 + 4_206_592
    for stage, divided in ((1, (1, 1, 8)), (2, (1, 8, 8)), (3, (8, 8, 8))):
        found = verdict(train__language="full", deepspeed__stage=stage)
        memory = {name: size for name, (size, _) in found.memory.items()}
        assert sum(found.weights.values()) == pytest.approx(weights, rel=1e-4)
        assert memory["weights"] == pytest.approx(2 * weights / divided[0], rel=1e-4)
        # stage 1 keeps 16-bit gradients beside those in fp32
        of_number = 6 if stage == 1 else 4
        assert memory["gradients"] == pytest.approx(of_number * numbers / divided[1], rel=1e-4)
        assert memory["optimizer"] == pytest.approx(12 * numbers / divided[2], rel=1e-4)


def test_activations_are_the_inputs_of_all_layers_and_two_layers_at_work():
    found = verdict()
    positions = found.plan.micro * found.positions
    inputs = 32 * positions * 4096 * 2
    layer = positions * 2 * (10 * 4096 + 3 * 11008)
    assert found.memory["activations"][0] == inputs + 2 * layer


def test_a_run_that_fits_says_how_much_it_takes():
    found = verdict()
    assert found.verdict.fits
    assert found.total == next(s.total for s in found.verdict.settings if (s.stage, s.offload) == (2, "none"))
    assert not verdict(memory=24e9).verdict.fits


def test_a_run_that_does_not_fit_comes_with_the_first_stage_at_which_it_would():
    found = verdict(gpus=2, train__language="full").verdict
    assert not found.fits
    assert (found.remedy.stage, found.remedy.offload) == (3, "none")
    assert all(not setting.fits for setting in found.settings[: found.settings.index(found.remedy)])
    offloaded = verdict("train-70b", memory=24e9).verdict.remedy
    assert (offloaded.stage, offloaded.offload) == (3, "all")
    assert offloaded.host > 10e9


def test_a_remedy_does_fit_when_it_is_taken():
    remedy = verdict(gpus=2, train__language="full").verdict.remedy
    taken = verdict(gpus=2, train__language="full", deepspeed__stage=remedy.stage, deepspeed__offload=remedy.offload)
    assert taken.verdict.fits
    assert (taken.total, taken.host) == (remedy.total, remedy.host)


def test_no_stage_is_named_where_none_is_enough():
    assert verdict(memory=8e9).verdict.remedy is None


def test_stages_that_the_recipe_cannot_have_are_not_proposed():
    assert 3 not in {s.stage for s in verdict(vision_cache="1GB").verdict.settings}
    assert 0 in {s.stage for s in verdict(precision="fp32").verdict.settings}
    assert 0 not in {s.stage for s in verdict().verdict.settings}


def test_experts_that_are_not_chosen_keep_no_activations():
    shape = {
        "model_type": "mixtral", "vocab_size": 32000, "hidden_size": 256, "intermediate_size": 512,
        "num_hidden_layers": 2, "num_attention_heads": 8, "num_key_value_heads": 2, "num_experts_per_tok": 2,
        "sliding_window": None,
    }  # fmt: skip
    few, many = (verdict(model__shapes__language={**shape, "num_local_experts": n}) for n in (4, 16))
    assert few.memory["activations"] == many.memory["activations"]
    experts = 2 * 12 * (3 * 256 * 512 + 256)
    assert many.weights["language"] - few.weights["language"] == experts


def test_a_decoder_that_cannot_be_used_is_refused_in_a_dry_run():
    shape = {"model_type": "gemma2", "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "head_dim": 8}
    with pytest.raises(BlenderError, match="Gemma2 caps its attention scores"):
        verdict(model__shapes__language={**shape, "num_key_value_heads": 1})


def test_a_tower_that_cannot_be_used_is_refused_in_a_dry_run():
    with pytest.raises(BlenderError, match="SamVision cannot be a vision tower here"):
        verdict(model__shapes__vision={"model_type": "sam_vision_model"}, model__image_size=1024)


def test_shapes_can_be_left_out(tmp_path):
    with pytest.raises(BlenderError, match="no such folder: .*nothing"):
        verdict(model__shapes=None, model__language=str(tmp_path / "nothing"))
