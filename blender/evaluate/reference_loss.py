"""The loss of a model on the right answers, round by round, computed as in training.

The model sees the whole conversation with its references, so the loss does not depend on the model's own answers.
"""

from dataclasses import dataclass

import numpy as np
import torch

from blender.data.sample import Turn
from blender.evaluate.conversations import EvalConversation
from blender.serve.images import decode_input_image
from blender.serve.loading import LoadedModel


@dataclass(frozen=True)
class ReferenceLoss:
    """Loss of one round's reference."""

    #: nats, summed over the answer's tokens and its end token
    total: float
    num_tokens: int


def reference_losses(
    loaded: LoadedModel, conversation: EvalConversation, images: tuple[bytes, ...]
) -> list[ReferenceLoss]:
    """Return the loss of each round's reference; only of the first rounds where the model has no room for all.

    Args:
        loaded: The model.
        conversation: A conversation with a reference for every round.
        images: The bytes of its image files.

    Raises:
        SessionError: An image cannot be read.
    """
    rounds = [
        Turn(list(each.images), each.question, each.reference or "", 0, each.system) for each in conversation.rounds
    ]
    text = loaded.encoder.text.encode(loaded.template.render(rounds)).keep_turns(loaded.max_tokens)
    if not len(text):
        return []
    decoded = [
        decode_input_image(content, f"image {number}", loaded.encoder.pixels).pixels
        for number, content in enumerate(images[: text.num_images], start=1)
    ]
    ids = torch.from_numpy(text.input_ids.astype(np.int64))[None]
    labels = ids.masked_fill(~torch.from_numpy(text.loss_mask)[None], -100)
    device = loaded.model.get_input_embeddings().weight.device
    pixels = torch.from_numpy(np.stack(decoded)).to(device) if decoded else None
    with torch.inference_mode():
        image_index = torch.from_numpy(text.image_index.astype(np.int64))[None]
        output = loaded.model(ids.to(device), image_index=image_index, pixels=pixels, labels=labels)
    losses, positions = output.token_losses.double().cpu().numpy(), output.trained[:, 1].cpu().numpy()
    which = np.searchsorted(text.turn_ends, positions, side="right")
    return [
        ReferenceLoss(round(float(losses[which == number].sum()), 6), int((which == number).sum()))
        for number in range(len(text.turn_ends))
    ]
