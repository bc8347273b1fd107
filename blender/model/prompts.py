"""Prompts: the tokens of a conversation up to the answer, and its images, as ``generate`` takes them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from blender.encoding.encoded import EncodedText


@dataclass(frozen=True)
class Prompt:
    """A conversation up to where the model is to answer.

    ``I`` images, ``C`` channels, ``H`` height, ``W`` width.
    """

    text: EncodedText
    #: (I, C, H, W) uint8, or normalised numbers; image 0 of the text is the first
    pixels: torch.Tensor

    def __len__(self) -> int:
        return len(self.text)


def batch_prompts(prompts: Sequence[Prompt], pad_id: int, device: torch.device | str) -> dict[str, Any]:
    """Make the inputs of ``generate`` from prompts, padded on the left.

    Args:
        prompts: At least one.
        pad_id: Token id at padding.
        device: Of the model's embedding.

    Returns:
        ``input_ids``, ``attention_mask`` and ``image_index``, each (B, T), and ``pixels``, (N, C, H, W), if there are
        any.
    """
    length = max(map(len, prompts))
    shape = len(prompts), length
    ids, image_index = np.full(shape, pad_id, dtype=np.int64), np.full(shape, -1, dtype=np.int64)
    mask = np.zeros(shape, dtype=np.int64)
    num_images = 0
    for row, prompt in enumerate(prompts):
        start = length - len(prompt)
        ids[row, start:], mask[row, start:] = prompt.text.input_ids, 1
        shown = prompt.text.image_index.astype(np.int64)
        image_index[row, start:] = np.where(shown >= 0, shown + num_images, -1)
        num_images += len(prompt.pixels)
    made: dict[str, Any] = {
        "input_ids": torch.from_numpy(ids).to(device),
        "attention_mask": torch.from_numpy(mask).to(device),
        "image_index": torch.from_numpy(image_index),
    }
    if num_images:
        made["pixels"] = torch.cat([prompt.pixels for prompt in prompts]).to(device)
    return made
