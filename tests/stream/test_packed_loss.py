"""A packed row is as good as its samples alone: a real, tiny Llama gives every sample the same loss in both."""

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from blender.stream.collate import IGNORED, Collator
from blender.stream.encode import encode_sample
from tests.stream.samples import IMAGE_POSITIONS, SPEC, stored_sample, tiny_encoder

WIDTH = 32
CONVERSATIONS = [
    [(1, "What is in the image?", "A cat sits on the mat."), (0, "Who's there?", "A dog.")],
    [(0, "How many dogs?", "42 dogs, 3 cats and the Eiffel tower!")],
    [(2, "What is it?", "It is a cat."), (1, "Really?", "It is the image of a tower.")],
]


@pytest.fixture(scope="module")
def samples():
    encoder = tiny_encoder("gpt2")
    return [
        encode_sample(stored_sample(turns, f"train-{number:09d}", first=4 * number), encoder)
        for number, turns in enumerate(CONVERSATIONS)
    ]


@pytest.fixture(scope="module", params=["sdpa", "eager"])
def model(request):
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=1_000,
        hidden_size=WIDTH,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        attn_implementation=request.param,
        # wide weights, so that it shows what a token looks at
        initializer_range=0.3,
    )
    return LlamaForCausalLM(config).to(torch.float64).eval()


def features(pixels):
    """Make of each image as many feature vectors as it has positions: (N, positions, width)."""
    projection = torch.randn(3 * 16 * 16, IMAGE_POSITIONS * WIDTH, generator=torch.Generator().manual_seed(1))
    flat = pixels.flatten(1).to(torch.float64) / 255
    return (flat @ projection.to(torch.float64) / 20).view(len(pixels), IMAGE_POSITIONS, WIDTH)


def embed(model, batch):
    embedded = model.get_input_embeddings()(batch.input_ids)
    images = features(batch.pixels)
    for number in range(len(batch.pixels)):
        embedded[batch.image_index == number] = images[number]
    return embedded


def within_samples(segment_ids):
    """Return (B, 1, T, T) bool: keys of the query's own sample, up to itself."""
    same = segment_ids[:, None, :, None] == segment_ids[:, None, None, :]
    return same.tril()


def losses(model, rows, attend=within_samples):
    """Return the summed loss of every sample, by key."""
    batch = Collator(pad_id=0, image_shape=SPEC.shape)(rows)
    allowed = attend(batch.segment_ids)
    if model.config._attn_implementation == "eager":
        # which adds to the scores what it is given
        allowed = torch.zeros(allowed.shape, dtype=torch.float64).masked_fill(~allowed, -torch.inf)
    with torch.no_grad():
        logits = model(
            inputs_embeds=embed(model, batch),
            attention_mask=allowed,
            position_ids=batch.position_ids,
        ).logits
    labels = batch.labels[:, 1:]
    each = torch.nn.functional.cross_entropy(
        logits[:, :-1].flatten(0, 1), labels.flatten(), ignore_index=IGNORED, reduction="none"
    ).view(labels.shape)
    return {
        key: each[row][batch.segment_ids[row, 1:] == segment].sum().item()
        for row, keys in enumerate(batch.keys)
        for segment, key in enumerate(keys, start=1)
    }


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
def test_a_packed_sample_has_the_loss_that_it_has_alone(model, samples, order):
    alone = {}
    for sample in samples:
        alone |= losses(model, [[sample]])
    assert min(alone.values()) > 10
    assert losses(model, [[samples[number] for number in order]]) == pytest.approx(alone, rel=1e-9)


def test_without_the_mask_it_has_another(model, samples):
    def careless(segment_ids):
        return torch.ones_like(within_samples(segment_ids)).tril()

    alone, packed = losses(model, [[samples[1]]]), losses(model, [samples], careless)
    assert packed[samples[1].key] != pytest.approx(alone[samples[1].key], rel=1e-2)


def test_padding_changes_no_loss(model, samples):
    together = losses(model, [[sample] for sample in samples])
    assert together == pytest.approx({k: v for s in samples for k, v in losses(model, [[s]]).items()}, rel=1e-9)


def test_another_image_changes_the_loss_of_its_own_sample_alone(model, samples):
    before = losses(model, [samples])
    samples[0].pixels.bitwise_not_()
    after = losses(model, [samples])
    samples[0].pixels.bitwise_not_()
    assert after[samples[0].key] != pytest.approx(before[samples[0].key], rel=1e-6)
    assert {k: after[k] for k in list(after)[1:]} == pytest.approx({k: before[k] for k in list(before)[1:]}, rel=1e-9)
