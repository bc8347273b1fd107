"""Prefix caching: keep the KV cache of a prompt and its answer, and reuse what the next prompt begins with.

Every prompt is encoded anew from its conversation, as in training, and compared with what is cached, token by token and
image by image. The positions that agree are kept, those after them are computed. So the cache cannot go out of step,
whatever was done to the conversation in between: an answer changed, a turn undone, an old turn dropped.
"""

import threading
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blender.model.kv_cache import crop_cache
from blender.serve.images import DIGEST_BYTES
from blender.serve.prepared import PreparedPrompt


@dataclass
class CachedPrefix:
    """A KV cache and the tokens that it holds. ``T`` positions."""

    #: transformers' cache; None if empty
    cache: Any = None
    #: (T,) token ids
    ids: NDArray[np.int64] | None = None
    #: (T,) digest of the image at each position; empty for text
    images: NDArray[np.bytes_] | None = None

    def __len__(self) -> int:
        return 0 if self.ids is None else len(self.ids)

    def clear(self) -> None:
        """Free the memory."""
        self.cache = self.ids = self.images = None

    def store(self, cache: Any, ids: NDArray[np.int64], prompt: PreparedPrompt) -> None:
        """Keep the cache of a prompt and its answer.

        Args:
            cache: What ``generate`` returned.
            ids: Tokens of prompt and answer.
            prompt: The prompt.
        """
        length = int(cache.get_seq_length())
        self.cache, self.ids = cache, ids[:length]
        self.images = np.zeros(length, dtype=f"S{DIGEST_BYTES}")
        digests = prompt.position_digests[:length]
        self.images[: len(digests)] = digests

    def common_length(self, prompt: PreparedPrompt) -> int:
        """Count the positions that a prompt begins with; never its last one, as something has to be computed."""
        if self.ids is None or self.images is None:
            return 0
        most = min(len(self.ids), len(prompt) - 1)
        ids, images = prompt.text.input_ids[:most], prompt.position_digests[:most]
        # token ids at image positions mean nothing
        differs = (self.images[:most] != images) | ((self.ids[:most] != ids) & (images == b""))
        return int(differs.argmax()) if differs.any() else most

    def crop_to(self, prompt: PreparedPrompt) -> int:
        """Cut the cache down to what a prompt begins with; return how many positions that is."""
        length = self.common_length(prompt)
        if self.ids is None or self.images is None:
            return 0
        if length < len(self.ids) and not (length and crop_cache(self.cache, length)):
            self.clear()
            return 0
        self.ids, self.images = self.ids[:length], self.images[:length]
        return length


class PrefixCaches:
    """The caches of the latest conversations. Safe for several threads.

    Args:
        capacity: How many are kept.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._lock = threading.Lock()
        #: with their owners; the least recently used comes first
        self._kept: list[tuple[Hashable, CachedPrefix]] = []

    def __len__(self) -> int:
        return len(self._kept)

    def take(self, owner: Hashable, prompt: PreparedPrompt) -> CachedPrefix:
        """Remove and return the cache of the conversation that a prompt continues; a new one if none is kept.

        A cache is taken if the prompt begins with all of it, or has the same first question. Owners do not share
        caches: the number of cached tokens in their answers would reveal what others ask.
        """
        with self._lock:
            lengths = [kept.common_length(prompt) if holder == owner else 0 for holder, kept in self._kept]
            best = max(lengths, default=0)
            number = lengths.index(best) if best else 0
            if not best or best < min(len(self._kept[number][1]), prompt.first_answer - 1):
                return CachedPrefix()
            return self._kept.pop(number)[1]

    def put(self, owner: Hashable, prefix: CachedPrefix) -> None:
        """Keep a cache for the next question of its conversation, and forget the least recently used one."""
        with self._lock:
            self._kept = [*self._kept, (owner, prefix)][-self._capacity :] if self._capacity else []

    def clear(self) -> None:
        """Free the memory of all caches."""
        with self._lock:
            self._kept.clear()
