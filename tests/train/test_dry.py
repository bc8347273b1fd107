"""What a dry run says, held against what is known of the models and against real weights."""

import json
import socket

import pytest

from blender.errors import BlenderError
from blender.train.dry import dry_run
from blender.train.events import Begun
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
    begun = next(event for event in told if isinstance(event, Begun))
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
