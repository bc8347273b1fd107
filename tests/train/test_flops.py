"""The count of arithmetic, held against PyTorch's own counter where that can see it."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from blender.model import VisualChatModel, set_trainable
from blender.train.flops import count_flops
from blender.train.micro_batches import num_trained
from tests.train.test_micro_batches import make_batch


@pytest.mark.parametrize("language", ["frozen", "full"])
def test_it_is_what_pytorch_counts(parts, language):
    """But for attention, whose half that is masked PyTorch counts, too, and products that only cost memory."""
    model = set_trainable(VisualChatModel.from_parts(*parts, image_size=16), language=language)
    batch = make_batch([[[1, 0]], [[2, 2]], [[0]], [[1], [0]]])
    ids = batch.input_ids % 300
    # as many positions as this model gives to an image, instead of those of the batch
    batch = type(batch)(**{**batch.__dict__, "input_ids": ids, "image_index": torch.full_like(ids, -1)})
    batch = type(batch)(**{**batch.__dict__, "pixels": batch.pixels[:0], "image_owner": batch.image_owner[:0]})
    labels = batch.labels.where(batch.labels < 0, batch.labels % 300)
    with FlopCounterMode(display=False) as counter:
        output = model(ids, segment_ids=batch.segment_ids, position_ids=batch.position_ids, labels=labels)
        output.loss.backward()
    counted = counter.get_flop_counts()["Global"]
    matrices = sum(count for name, count in counted.items() if "attention" not in str(name) and "conv" not in str(name))
    arithmetic = count_flops(model)
    mine = arithmetic.per_position * batch.num_tokens + arithmetic.per_trained * num_trained(batch)
    # one image that stands for nothing goes through tower and projector
    mine += arithmetic.per_image
    assert mine == pytest.approx(matrices, rel=0.1)


def test_images_that_look_at_nothing_cost_no_pairs(parts):
    batch = make_batch([[[2, 0]], [[1]], [[0]], [[0]]])
    costs = {}
    for attention in ("mmca", "causal"):
        model = VisualChatModel.from_parts(*parts, attention=attention)
        costs[attention] = count_flops(model).of(batch, 0)
    assert costs["mmca"] < costs["causal"]
