"""What is kept of a conversation between rounds: the keys and values of its positions.

The next prompt is made anew from the conversation, as it was in training, and compared with what is cached: the
positions that agree are kept, those after them are computed. So nothing can go out of step, whatever was done to the
conversation in between: an answer changed, a round taken back, an old round dropped.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blender.encoding.encoded import EncodedText
from blender.model.kv_cache import crop_cache


@dataclass
class Memory:
    """A cache, and what its positions stand for. ``T`` positions."""

    #: transformers' cache; None for nothing
    cache: Any = None
    #: (T,) token ids
    ids: NDArray[np.int64] | None = None
    #: (T,) serial number of the image, from 1; 0 for text
    images: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return 0 if self.ids is None else len(self.ids)

    def forget(self) -> None:
        """Give the memory back."""
        self.cache = self.ids = self.images = None

    def keep(self, cache: Any, ids: NDArray[np.int64], image_index: NDArray[np.int16], serials: Sequence[int]) -> None:
        """Keep the cache of a prompt and its answer.

        Args:
            cache: What ``generate`` returned.
            ids: Tokens of prompt and answer.
            image_index: (T,) the prompt's, which image of it is at each position; -1 for text.
            serials: Serial numbers of the prompt's images.
        """
        length = int(cache.get_seq_length())
        self.cache, self.ids = cache, ids[:length]
        self.images = np.zeros(length, dtype=np.int64)
        self.images[: len(image_index)] = _serial_per_position(image_index, serials)

    def agree(self, text: EncodedText, serials: Sequence[int]) -> int:
        """Cut what is kept down to what a prompt begins with; return how many positions that is.

        Args:
            text: The prompt. Its last token is never kept: something has to be computed.
            serials: Serial numbers of the prompt's images.
        """
        if self.ids is None or self.images is None:
            return 0
        ids, images = text.input_ids, _serial_per_position(text.image_index, serials)
        most = min(len(self.ids), len(ids) - 1)
        differs = (self.images[:most] != images[:most]) | ((self.ids[:most] != ids[:most]) & (images[:most] == 0))
        length = int(differs.argmax()) if differs.any() else most
        if length < len(self.ids) and not (length and crop_cache(self.cache, length)):
            self.forget()
            return 0
        self.ids, self.images = self.ids[:length], self.images[:length]
        return length


def _serial_per_position(image_index: NDArray[np.int16], serials: Sequence[int]) -> NDArray[np.int64]:
    """Return (T,): the serial number of the image at each position; 0 for text."""
    return np.array([0, *serials], dtype=np.int64)[image_index.astype(np.int64) + 1]
