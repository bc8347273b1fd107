"""What a model is asked with: the tokens of a conversation up to where it is to speak, and the images in them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray


@dataclass(frozen=True)
class Prompt:
    """A conversation that waits for an answer.

    ``T`` positions, ``I`` images, ``C`` channels, ``H`` height, ``W`` width.
    """

    #: (T,) int32
    ids: NDArray[np.int32]
    #: (T,) int64: which of ``pixels`` has its features here; -1 for text
    image: NDArray[np.int64]
    #: (I, C, H, W) uint8
    pixels: torch.Tensor

    def __len__(self) -> int:
        return len(self.ids)


def batch_prompts(prompts: Sequence[Prompt], pad_id: int, device: torch.device | str) -> dict[str, Any]:
    """Make what ``generate`` takes of prompts, padded on the left.

    Args:
        prompts: At least one.
        pad_id: What stands at padding.
        device: Of the model's embedding.

    Returns:
        ``input_ids``, ``attention_mask`` and ``image_index``, each (B, T), and ``pixels``, (N, C, H, W), if there are
        any.
    """
    length = max(map(len, prompts))
    shape = len(prompts), length
    ids, image = np.full(shape, pad_id, dtype=np.int64), np.full(shape, -1, dtype=np.int64)
    mask = np.zeros(shape, dtype=np.int64)
    num_images = 0
    for row, prompt in enumerate(prompts):
        start = length - len(prompt)
        ids[row, start:], mask[row, start:] = prompt.ids, 1
        image[row, start:] = np.where(prompt.image >= 0, prompt.image + num_images, -1)
        num_images += len(prompt.pixels)
    made: dict[str, Any] = {
        "input_ids": torch.from_numpy(ids).to(device),
        "attention_mask": torch.from_numpy(mask).to(device),
        "image_index": torch.from_numpy(image),
    }
    if num_images:
        made["pixels"] = torch.cat([prompt.pixels for prompt in prompts]).to(device)
    return made
