"""A prompt with everything that the model needs to answer it, ready before its turn and in any process."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from blender.encoding.encoded import EncodedText
from blender.encoding.image_processor import PixelSpec
from blender.model.prompts import Prompt
from blender.serve.images import DIGEST_BYTES, InputImage


@dataclass(frozen=True)
class PreparedPrompt:
    """Tokens and images of a prompt. ``T`` positions, ``I`` images, ``C`` channels, ``H`` height, ``W`` width."""

    text: EncodedText
    #: (I, C, H, W) uint8: the images that ``text`` shows; an array, as a tensor would cross processes through a file
    pixels: NDArray[np.uint8]
    #: of each image
    digests: tuple[bytes, ...]

    def __len__(self) -> int:
        return len(self.text)

    @property
    def prompt(self) -> Prompt:
        """The prompt as the model takes it."""
        return Prompt(self.text, torch.from_numpy(self.pixels))

    @property
    def position_digests(self) -> "np.ndarray[tuple[int], np.dtype[np.bytes_]]":
        """(T,) bytes: the digest of the image at each position; empty for text."""
        return np.array([b"", *self.digests], dtype=f"S{DIGEST_BYTES}")[self.text.image_index.astype(np.int64) + 1]

    @property
    def first_answer(self) -> int:
        """Position where the first answer begins: the end of the prompt unless there are earlier turns."""
        return int(self.text.loss_mask.argmax()) if self.text.loss_mask.any() else len(self)


def prepare_prompt(text: EncodedText, images: Sequence[InputImage], spec: PixelSpec) -> PreparedPrompt:
    """Join the tokens of a prompt with its images.

    Args:
        text: The tokens.
        images: The images that they show, in order.
        spec: Gives the shape of an image where there are none.
    """
    pixels = [image.pixels for image in images]
    stacked = np.stack(pixels) if pixels else np.empty((0, *spec.shape), dtype=np.uint8)
    return PreparedPrompt(text, stacked, tuple(image.digest for image in images))
