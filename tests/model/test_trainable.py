"""What is trained, how fast, and what does not decay."""

import pytest
import torch

from blender.core.errors import ModelError
from blender.model import parameter_groups, set_trainable, trainable_parameters
from tests.model.parts import joined, trained_batch


def names(model):
    return {group: len(members) for group, members in trainable_parameters(model).items()}


def test_projector_and_embedding_are_trained_unless_told_otherwise():
    assert names(joined()) == {"projector": 4, "embedding": 1}


def test_a_tied_head_is_trained_with_the_embedding():
    model = joined(text={"tie_word_embeddings": True})
    assert names(model) == {"projector": 4, "embedding": 1}
    assert model.get_output_embeddings().weight.requires_grad
    assert not joined().get_output_embeddings().weight.requires_grad


def test_the_layers_of_cross_attention_are_trained_with_the_projector():
    model = joined("cross")
    assert set(names(model)) == {"projector", "cross", "embedding"}
    assert set(names(set_trainable(model, projector=False))) == {"embedding"}


def test_new_layers_of_cross_attention_start_closed():
    from blender.model.cross_attention import CrossLayer, VisibleRange

    layer = CrossLayer(16)
    states, images = torch.randn(1, 5, 16), torch.randn(2, 3, 16)
    assert torch.equal(layer(states, images, [VisibleRange(0, 2, 5, (0, 1))]), states)


@pytest.mark.parametrize("part", ["language", "vision"])
def test_adapters_are_all_that_is_trained_of_their_part(part):
    model = set_trainable(joined(), **{part: "lora"}, lora={"r": 2})
    members = trainable_parameters(model)[part]
    assert members and all("lora_" in name for name, _ in members)
    assert set(names(model)) == {"projector", "embedding", part}


def test_new_adapters_change_nothing_and_come_from_their_seed():
    inputs = trained_batch("tIta")
    wanted = joined()(**inputs).loss
    model, again = (set_trainable(joined(), language="lora", seed=3) for _ in range(2))
    torch.testing.assert_close(model(**inputs).loss, wanted)
    states = model.state_dict(), again.state_dict()
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_the_head_has_no_adapter():
    model = set_trainable(joined(), language="lora")
    assert not any("lm_head" in name for name, _ in trainable_parameters(model)["language"])


def test_parts_can_be_trained_in_full():
    model = set_trainable(joined(), language="full", vision="full")
    assert all(weight.requires_grad for weight in model.parameters())
    model.train()
    assert model.vision.training
    output = model(**trained_batch("tIta"))
    output.loss.backward()
    assert model.vision.embeddings.patch_embedding.weight.grad.any()


@pytest.mark.parametrize(
    ("how", "sentence"),
    [
        ({"language": "some"}, "there is no way 'some' to train the language.*frozen, full, lora"),
        ({"language": "lora", "lora": {"rank": 3}}, "adapters of the language cannot be made"),
        ({"vision": "lora", "lora": {"target_modules": ["nothing"]}}, "adapters of the vision cannot be made"),
    ],
)
def test_ways_that_do_not_exist_are_refused(how, sentence):
    with pytest.raises(ModelError, match=sentence):
        set_trainable(joined(), **how)


def test_other_adapters_than_there_are_and_full_training_with_adapters_are_refused():
    model = set_trainable(joined(), language="lora", lora={"r": 2})
    with pytest.raises(ModelError, match="adapters with other settings"):
        set_trainable(model, language="lora", lora={"r": 4})
    with pytest.raises(ModelError, match="is to be trained in full"):
        set_trainable(model, language="full")


def test_every_trained_weight_is_in_one_group_of_the_optimizer():
    model = set_trainable(joined("cross"), language="full", vision="lora")
    groups = parameter_groups(model, lr=1e-3, lr_projector=2e-3, lr_embedding=3e-3, lr_vision=4e-3, weight_decay=0.1)
    held = [id(weight) for group in groups for weight in group["params"]]
    assert sorted(held) == sorted(id(weight) for weight in model.parameters() if weight.requires_grad)
    rates = {group["name"].split()[0]: group["lr"] for group in groups}
    assert rates == {"projector": 2e-3, "cross": 2e-3, "embedding": 3e-3, "language": 1e-3, "vision": 4e-3}
    for group in groups:
        decays = [weight.dim() > 1 and group["name"] != "embedding (no decay)" for weight in group["params"]]
        assert all(one == (group["weight_decay"] == 0.1) for one in decays)
