"""Fill a cache with a long prompt in pieces, so that it can be stopped on the way and takes bounded memory.

One forward over a prompt of 90,000 positions cannot be stopped, and its activations grow with its length. Pieces give
the same keys and values: a piece continues the cache as a further question of a conversation does. The last piece is
left to ``generate``, which wants at least one position for the first new token.

An image is never cut, with any attention: its features come from one call of the vision encoder and one of the
projector, and the model checks that it is whole.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import DynamicCache

#: positions of a piece
PREFILL_CHUNK = 1024
#: called between two pieces with the positions that are cached and those of the prompt; True stops
ShouldStop = Callable[[int, int], bool]


def prefill(
    model: Any,
    inputs: Mapping[str, Any],
    cache: Any = None,
    *,
    chunk: int = PREFILL_CHUNK,
    should_stop: ShouldStop | None = None,
) -> Any:
    """Cache all of a prompt but its last piece; ``generate`` takes the same inputs and the cache.

    ``B`` rows, ``T`` positions, ``N`` images. Without gradients.

    Args:
        model: A ``VisualChatModel``.
        inputs: What ``generate`` takes: ``input_ids`` (B, T), and perhaps ``attention_mask`` (B, T), ``image_index``
            (B, T) and ``pixels`` or ``features`` of (N, …).
        cache: What holds the first positions of the prompt already; an empty one when None.
        chunk: Positions of a piece at most; an image that takes more is one piece.
        should_stop: Called between two pieces; positions that are cached then stay cached.

    Returns:
        The cache; None where it was stopped.

    Raises:
        ModelError: The images do not fit the text.
    """
    cache = DynamicCache() if cache is None else cache
    ids = inputs["input_ids"]
    image_index = inputs.get("image_index")
    borders = _borders(np.full(ids.shape, -1) if image_index is None else image_index.cpu().numpy())
    start, length = int(cache.get_seq_length()), ids.shape[1]
    with torch.no_grad():
        while length - start > chunk:
            end = _end_of_piece(borders, start, chunk)
            if end == length:
                break
            model(**_piece(inputs, start, end), past_key_values=cache, use_cache=True, logits_to_keep=1)
            start = end
            if should_stop is not None and should_stop(start, length):
                return None
    return cache


def _borders(image_index: NDArray[Any]) -> NDArray[np.int64]:
    """Return the ends that a piece may have: positions before which no row's image is cut, and the whole length."""
    before, after = image_index[:, :-1], image_index[:, 1:]
    is_cut = ((before == after) & (after >= 0)).any(0)
    return np.append(np.flatnonzero(~is_cut) + 1, image_index.shape[1])


def _end_of_piece(borders: NDArray[np.int64], start: int, chunk: int) -> int:
    """Return the last border within a piece; the next one where there is none."""
    within = int(np.searchsorted(borders, start + chunk, side="right")) - 1
    following = int(np.searchsorted(borders, start, side="right"))
    return int(borders[max(within, following)])


def _piece(inputs: Mapping[str, Any], start: int, end: int) -> dict[str, Any]:
    """Return the inputs of some positions, with the images that they show."""
    piece: dict[str, Any] = {"input_ids": inputs["input_ids"][:, start:end]}
    if inputs.get("attention_mask") is not None:
        piece["attention_mask"] = inputs["attention_mask"][:, :end]
    if inputs.get("image_index") is not None:
        images = {name: inputs.get(name) for name in ("pixels", "features")}
        piece |= only_shown(inputs["image_index"][:, start:end], images)
    return piece


def only_shown(image_index: torch.Tensor, images: Mapping[str, Any]) -> dict[str, Any]:
    """Return the images that some positions show, and ``image_index`` with their numbers among those.

    Args:
        image_index: (B, T); which image is at each position; -1 for text.
        images: ``pixels`` or ``features`` of all images, (N, …); None for none.
    """
    flat: Any = image_index
    numbers, within = flat.unique(return_inverse=True)
    num_text = int((numbers < 0).any())
    shown = numbers[num_text:]
    chosen = {name: None if some is None else some[shown.to(some.device)] for name, some in images.items()}
    return {"image_index": within - num_text, **chosen}
