"""What the joined model does with a batch: properties that hold whatever its weights."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from blender.core.errors import ModelError
from blender.model import set_trainable
from tests.model.parts import DECODERS, IMAGE, batch, joined, language_model, shared, trained_batch

ATTENTIONS = ("mmca", "causal", "cross")


def gradients(model, inputs):
    model.zero_grad()
    output = model(**inputs)
    output.loss.backward()
    return output, {name: weight.grad for name, weight in model.named_parameters() if weight.requires_grad}


@pytest.mark.parametrize("kind", list(DECODERS))
@pytest.mark.parametrize("attention", ATTENTIONS)
def test_text_alone_gives_exactly_what_the_plain_language_model_gives(kind, attention):
    inputs = batch("t" * 17)
    model = shared(attention, kind)
    with torch.no_grad():
        wanted = language_model(kind)(input_ids=inputs["input_ids"]).logits
        got = model(inputs["input_ids"]).logits
        cached = model(inputs["input_ids"], use_cache=True).logits
    assert torch.equal(got, wanted)
    assert torch.equal(cached, wanted)


@pytest.mark.parametrize("attention", ATTENTIONS)
@settings(max_examples=15)
@given(data=st.data())
def test_what_comes_later_never_changes_an_earlier_logit(models, attention, data):
    row = data.draw(st.text("tI", min_size=2, max_size=7))
    inputs = batch(row, seed=3)
    length = inputs["input_ids"].shape[1]
    place = data.draw(st.integers(0, length - 1))
    changed = {name: tensor.clone() for name, tensor in inputs.items()}
    image = int(inputs["image_index"][0, place])
    if image >= 0:
        changed["pixels"][image] = 255 - changed["pixels"][image]
        place = int((inputs["image_index"][0] == image).nonzero()[0])
    else:
        changed["input_ids"][0, place] = 3 + (changed["input_ids"][0, place] - 2) % 90
    with torch.no_grad():
        before, after = (models[attention](**some).logits for some in (inputs, changed))
    torch.testing.assert_close(before[:, :place], after[:, :place], rtol=1e-5, atol=1e-5)
    sees = inputs["image_index"][0] < 0 if image >= 0 else torch.ones(length, dtype=torch.bool)
    later = sees & (torch.arange(length) > place) if image >= 0 else torch.arange(length) == place
    if later.any():
        assert (before[:, later] - after[:, later]).abs().amax() > 1e-5


@pytest.mark.parametrize("attention", ["mmca", "causal"])
def test_with_mmca_an_image_changes_no_image_position_but_its_own(models, attention):
    inputs = batch("tItItI")
    changed = {**inputs, "pixels": inputs["pixels"].clone()}
    changed["pixels"][0] = 255 - changed["pixels"][0]
    with torch.no_grad():
        states = [models[attention](**some, output_hidden_states=True).hidden_states for some in (inputs, changed)]
    index = inputs["image_index"][0]
    assert len(states[0]) == DECODERS["llama"].num_hidden_layers + 1
    for layer, (before, after) in enumerate(zip(*states, strict=True)):
        differs = (before != after).any(-1)[0]
        assert differs[index == 0].all()
        others_differ = bool(differs[index > 0].any())
        # causal attention is the control: there later images do look at earlier ones
        assert others_differ == (attention == "causal" and layer > 0)


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_a_sample_has_the_same_losses_alone_padded_and_packed(models, attention):
    model = models[attention]
    samples = ["tItaat", "taaa", "IttaIta", "ta"]
    alone = [trained_batch(sample, seed=number) for number, sample in enumerate(samples)]
    wanted = torch.cat([model(**inputs).token_losses for inputs in alone])

    def join(rows):
        lines, shown, pixels = [], 0, []
        for row in rows:
            parts = [alone[number] for number in row]
            line = {name: [p[name][0] for p in parts] for name in ("input_ids", "labels")}
            line["segment_ids"] = [torch.full_like(p["segment_ids"][0], n) for n, p in enumerate(parts, 1)]
            line["image_index"] = []
            for p in parts:
                line["image_index"].append(torch.where(p["image_index"][0] >= 0, p["image_index"][0] + shown, -1))
                shown += len(p["pixels"])
                pixels.append(p["pixels"])
            lines.append({name: torch.cat(values) for name, values in line.items()})
        fill = {"input_ids": 0, "labels": -100, "segment_ids": 0, "image_index": -1}
        pad = torch.nn.utils.rnn.pad_sequence
        made = {name: pad([line[name] for line in lines], True, fill[name]) for name in fill}
        return {**made, "pixels": torch.cat(pixels)}

    for rows in ([[0], [1], [2], [3]], [[0, 1, 2, 3]], [[0, 1], [2, 3]]):
        output = model(**join(rows))
        torch.testing.assert_close(output.token_losses, wanted, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(output.loss, wanted.mean(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("order", [("tItaa", "IttaIa"), ("IttaIa", "tItaa")])
@pytest.mark.parametrize("attention", ATTENTIONS)
def test_an_image_of_a_packed_row_is_seen_by_its_own_sample_alone(attention, order):
    model = set_trainable(joined(attention), language="full", seed=1)
    inputs = trained_batch("|".join((*order, "ttaa")))
    shown = {int(s): sorted(set(inputs["image_index"][inputs["segment_ids"] == s].tolist()) - {-1}) for s in (1, 2)}

    def of_samples(pixels):
        """Logits, and gradients of its loss alone, of each sample."""
        given_inputs = {**inputs, "pixels": pixels}
        weights = [weight for weight in model.parameters() if weight.requires_grad]
        with torch.no_grad():
            logits = model(**{name: value for name, value in given_inputs.items() if name != "labels"}).logits
        for segment in (1, 2, 3):
            output = model(**given_inputs)
            mine = inputs["segment_ids"][output.trained[:, 0], output.trained[:, 1]] == segment
            grads = torch.autograd.grad(output.token_losses[mine].sum(), weights, allow_unused=True)
            flat = torch.cat([grad.flatten() for grad in grads if grad is not None])
            yield logits[(inputs["segment_ids"] == segment) & (inputs["image_index"] < 0)], flat

    before = list(of_samples(inputs["pixels"]))
    for segment in (1, 2):
        changed = inputs["pixels"].clone()
        changed[shown[segment]] = 255 - changed[shown[segment]]
        for number, (old, new) in enumerate(zip(before, of_samples(changed), strict=True), start=1):
            for one, other in zip(old, new, strict=True):
                if number == segment:
                    assert not torch.allclose(one, other, rtol=1e-2, atol=1e-6)
                else:
                    torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


def test_each_loss_is_told_with_its_row_and_position(models):
    inputs = trained_batch("taat", "Itta|aa")
    output = models["mmca"](**inputs)
    # the first position of a sample has nothing to be predicted from
    assert output.trained.tolist() == [[0, 1], [0, 2], [1, IMAGE + 2], [1, IMAGE + 4]]
    logits = models["mmca"](**{k: v for k, v in inputs.items() if k != "labels"}).logits
    rows, columns = output.trained.T
    wanted = torch.nn.functional.cross_entropy(
        logits[rows, columns - 1], inputs["labels"][rows, columns], reduction="none"
    )
    torch.testing.assert_close(output.token_losses, wanted)
    assert output.token_losses.dtype == torch.float32


@pytest.mark.parametrize("attention", ATTENTIONS)
@pytest.mark.parametrize("rows", [("tIt", "tt"), ("ttt",), ("...",)])
def test_a_batch_in_which_nothing_is_trained_gives_zero_loss_and_zero_gradients(models, attention, rows):
    output, grads = gradients(models[attention].train(), trained_batch(*rows))
    models[attention].eval()
    assert output.loss.item() == 0
    assert all(grad is not None and not grad.any() for grad in grads.values())


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_a_batch_of_text_alone_still_reaches_every_trained_weight(models, attention):
    output, grads = gradients(models[attention], trained_batch("taaa"))
    assert torch.isfinite(output.loss)
    assert all(grad is not None and torch.isfinite(grad).all() for grad in grads.values())
    assert not any(grad.any() for name, grad in grads.items() if name.startswith("projector"))


@pytest.mark.parametrize("attention", ATTENTIONS)
@pytest.mark.parametrize("projector", ["linear", "vit", "perceiver"])
def test_every_trained_weight_learns_from_images(attention, projector):
    model = joined(attention, projector=projector, image_positions=IMAGE)
    _, grads = gradients(model, trained_batch("tIttaa", "taIIta"))
    idle = [name for name, grad in grads.items() if grad is None or not grad.any()]
    # a key's bias moves all scores of a query alike, which a softmax does not notice; nothing else may be idle
    assert all(name.endswith("key.bias") for name in idle)


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_checkpointed_activations_change_nothing(models, attention):
    model = models[attention].train()
    inputs = trained_batch("tItaa|taa", "taI")
    wanted = gradients(model, inputs)[1]
    kept = {name: grad.clone() for name, grad in wanted.items()}
    model.gradient_checkpointing_enable()
    output, got = gradients(model, inputs)
    model.gradient_checkpointing_disable()
    model.eval()
    for name, grad in got.items():
        torch.testing.assert_close(grad, kept[name])
    assert torch.isfinite(output.loss)


def test_a_frozen_vision_tower_keeps_nothing_for_a_backward(models):
    model = models["mmca"].train()
    assert not model.vision.training
    assert not model.encode_images(batch("I")["pixels"]).requires_grad
    model.eval()


def test_images_may_come_as_bytes_numbers_or_features(models):
    model = models["mmca"]
    inputs = batch("tItI")
    wanted = model(**inputs).logits
    pixels = inputs.pop("pixels")
    features = model.encode_images(pixels)
    numbers = (pixels / 255 - 0.5) / 0.5
    torch.testing.assert_close(model(**inputs, features=features).logits, wanted)
    torch.testing.assert_close(model(**inputs, pixels=numbers).logits, wanted)


def test_the_nth_position_of_an_image_takes_its_nth_feature(models):
    inputs = batch("tItI", "Itt")
    with torch.no_grad():
        entered = models["mmca"](**inputs, output_hidden_states=True).hidden_states[0]
        projected = models["mmca"].projector(models["mmca"].encode_images(inputs["pixels"]))
    for number in range(3):
        assert torch.equal(entered[inputs["image_index"] == number], projected[number])


def test_the_nth_image_of_the_tensor_is_the_nth_of_the_text(models):
    inputs = batch("tItI")
    swapped = {**inputs, "pixels": inputs["pixels"].flip(0)}
    index = inputs["image_index"]
    renumbered = {**swapped, "image_index": torch.where(index >= 0, 1 - index, -1)}
    with torch.no_grad():
        one, other, same = (models["mmca"](**some).logits for some in (inputs, swapped, renumbered))
    assert not torch.allclose(one[:, -1], other[:, -1], atol=1e-4)
    torch.testing.assert_close(same, one)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda i: i["image_index"][1, 1 : 1 + IMAGE // 2].fill_(-1), "row 1, sample 2: image 1 takes 2 positions"),
        (lambda i: i.update(pixels=i["pixels"][:1]), "row 1, sample 2 shows image 1, and there are pixels of 1"),
        (lambda i: i.update(pixels=torch.cat([i["pixels"]] * 2)), "image 2 of 4 has pixels and is shown in no row"),
        (lambda i: i.update(pixels=i["pixels"][..., :8]), "images of 16 x 8 pixels for a model of 16 x 16"),
    ],
)
def test_images_that_do_not_fit_the_text_are_told_with_their_sample(models, change, sentence):
    inputs = batch("tIt", "t|Itt")
    inputs["segment_ids"][1] += 0
    change(inputs)
    with pytest.raises(ModelError, match=sentence):
        models["mmca"](**inputs)


def test_trained_weights_alone_change_in_a_step(models):
    model = joined("mmca")
    set_trainable(model)
    before = {name: weight.clone() for name, weight in model.named_parameters()}
    optimizer = torch.optim.SGD([weight for weight in model.parameters() if weight.requires_grad], lr=0.1)
    gradients(model, trained_batch("tItaa"))
    optimizer.step()
    changed = {name for name, weight in model.named_parameters() if not torch.equal(weight, before[name])}
    assert {name.split(".")[0] for name in changed} == {"projector", "language"}
    assert [name for name in changed if name.startswith("language")] == ["language.model.embed_tokens.weight"]
