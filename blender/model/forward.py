"""Run the decoder over a batch: all samples packed into one row for training, or a row each with a KV cache.

Both work out a layout or a plan of attention first, then the embeddings of text and images in its order, and call the
decoder once.
"""

from dataclasses import dataclass, replace
from typing import Any

import torch

from blender.core.errors import ModelError
from blender.model.block_attention import attend_blocks
from blender.model.block_layout import BlockLayout, arrange_packed, arrange_rows
from blender.model.cross_attention import VISIBLE_IMAGES, ImageMemory, VisibleImages, find_visible_images
from blender.model.decoder_attention import ATTEND, Attend
from blender.model.inputs import Positions, index_features
from blender.model.kernels import choose_kernel
from blender.model.kv_cache import (
    CacheAttention,
    CachedPositions,
    attach_positions,
    attend_cache,
    extend_positions,
    plan_cache_attention,
    start_positions,
)
from blender.model.piece_attention import attend_piece, plan_piece
from blender.model.sliding_windows import limit_window


@dataclass(frozen=True)
class ProjectedImages:
    """Images as the projector gives them. ``N`` images of ``P`` positions, ``D`` width."""

    #: (N, P, D); where ``num`` is 0 None, or one blank image that takes part with gradients of zero
    projected: torch.Tensor | None
    num: int


@dataclass(frozen=True)
class ForwardResult:
    """What the decoder gives, in the order of a layout."""

    #: (R, L, D) of the last layer
    states: torch.Tensor
    layout: BlockLayout
    #: per layer and one more (B, T, D), in the order of the batch; None where not asked for
    hidden_states: tuple[torch.Tensor, ...] | None


def forward_packed(
    model: Any, input_ids: torch.Tensor, positions: Positions, images: ProjectedImages, trained: Any, all_states: bool
) -> ForwardResult:
    """Run all samples as one row, without padding.

    ``B`` rows, ``T`` positions, ``K`` trained tokens.

    Args:
        model: The joined model.
        input_ids: (B, T).
        positions: Samples, images and numbers of the positions.
        images: The images that the samples show.
        trained: (K, 2), row and position of each trained label; None where the states of all positions are wanted.
        all_states: Return the hidden states of every layer.

    Raises:
        ModelError: The images do not fit the text.
    """
    attention: Any = model.config.attention
    needed = None
    if attention == "cross":
        needed = torch.zeros_like(positions.segment_ids, dtype=torch.bool)
        if trained is None:
            needed = positions.segment_ids > 0
        else:
            needed[trained[:, 0], trained[:, 1] - 1] = True
    layout = arrange_packed(positions.segment_ids, positions.image_index, attention, needed)
    attend = _attention_over_layout(layout, positions)
    visible = _find_visible(model, layout, positions, images, None)[0]
    return _decode(model, input_ids, positions, layout, images, attend, visible, None, all_states)


def forward_cached(
    model: Any,
    input_ids: torch.Tensor,
    positions: Positions,
    images: ProjectedImages,
    cache: Any,
    cached: CachedPositions | None,
) -> ForwardResult:
    """Run every sample in a row of its own, with a cache.

    ``B`` rows, ``T`` new positions.

    Args:
        model: The joined model.
        input_ids: (B, T).
        positions: Samples, images and numbers of the new positions.
        images: The images that they show.
        cache: A transformers cache; it is extended.
        cached: The positions that it holds; None for none.

    Raises:
        ModelError: As :func:`forward_packed`.
        ValueError: A row holds more than one sample, or the cache drops keys that a sliding window has passed.
    """
    if any(getattr(layer, "is_sliding", False) for layer in getattr(cache, "layers", ())):
        raise ValueError(
            "the cache forgets what a sliding window has left behind; give DynamicCache() without a config"
        )
    if int(positions.segment_ids.max()) > 1:
        raise ValueError("packed samples cannot be cached; give each its row")
    attention: Any = model.config.attention
    new = positions.segment_ids, positions.image_index, positions.position_ids
    if cached is None:
        layout = arrange_rows(*new[:2], attention)
        extended = start_positions(layout, *new, attention)
        attend = _attention_over_layout(layout, positions)
    else:
        layout = BlockLayout(torch.arange(input_ids.numel()).view(input_ids.shape), (), ())
        extended = extend_positions(cached, *new)
        attend = _attention_over_cache(extended, input_ids)
    visible, memory = _find_visible(model, layout, positions, images, cached)
    result = _decode(model, input_ids, positions, layout, images, attend, visible, cache, False)
    attach_positions(cache, replace(extended, image_memory=memory))
    return result


def _attention_over_layout(layout: BlockLayout, positions: Positions) -> Attend:
    """Return attention over a layout; the layout is worked out once for each window that layers have."""
    layouts: dict[int | None, BlockLayout] = {}

    def attend(query: Any, key: Any, value: Any, scale: Any, dropout: float, window: int | None) -> torch.Tensor:
        if window not in layouts:
            layouts[window] = limit_window(layout, positions.position_ids, window).to(query.device)
        return attend_blocks(query, key, value, layouts[window], scale, dropout)

    return attend


def _attention_over_cache(cached: CachedPositions, input_ids: torch.Tensor) -> Attend:
    """Return attention of new positions over a cache, planned once for each window that layers have."""
    plans: dict[int | None, CacheAttention] = {}
    num_new = input_ids.shape[1]
    piece = plan_piece(cached, num_new).to(input_ids.device) if num_new > 1 and len(input_ids) == 1 else None

    def attend(query: Any, key: Any, value: Any, scale: Any, dropout: float, window: int | None) -> torch.Tensor:
        usable = piece is not None and window is None and not torch.is_grad_enabled() and query.dtype == key.dtype
        kernel = choose_kernel(query, key) if usable else None
        if piece is not None and kernel is not None:
            return attend_piece(query, key, value, piece, kernel, scale)
        if window not in plans:
            plans[window] = plan_cache_attention(cached, num_new, input_ids.device, window)
        return attend_cache(query, key, value, plans[window], scale)

    return attend


def _find_visible(
    model: Any,
    layout: BlockLayout,
    positions: Positions,
    images: ProjectedImages,
    cached: CachedPositions | None,
) -> tuple[VisibleImages | None, ImageMemory | None]:
    if model.cross is None:
        return None, None
    memory = None if cached is None else cached.image_memory
    return find_visible_images(layout.order, positions.segment_ids, positions.image_index, images.projected, memory)


def _decode(
    model: Any,
    input_ids: torch.Tensor,
    positions: Positions,
    layout: BlockLayout,
    images: ProjectedImages,
    attend: Attend,
    visible: VisibleImages | None,
    cache: Any,
    all_states: bool,
) -> ForwardResult:
    embeds = _embed(model, input_ids, positions, layout, images)
    position_ids = positions.position_ids.flatten()[layout.order].to(embeds.device)
    num_calls = 0

    def counted(*arguments: Any) -> torch.Tensor:
        nonlocal num_calls
        num_calls += 1
        return attend(*arguments)

    output = model.language.base_model(
        inputs_embeds=embeds, position_ids=position_ids, past_key_values=cache, use_cache=cache is not None,
        output_hidden_states=all_states, **{ATTEND: counted, VISIBLE_IMAGES: visible},
    )  # fmt: skip
    if not num_calls:
        raise ModelError("the language model ignores the attention it is told to use", "use another decoder")
    return ForwardResult(output.last_hidden_state, layout, _in_batch_order(output.hidden_states, layout, input_ids))


def _embed(
    model: Any, input_ids: torch.Tensor, positions: Positions, layout: BlockLayout, images: ProjectedImages
) -> torch.Tensor:
    """Return (R, L, D): embeddings of text and features of images, in the order of the layout."""
    feature_index = torch.from_numpy(index_features(positions, images.num, model.image_positions))
    order = layout.order
    device = model.get_input_embeddings().weight.device
    embeds: torch.Tensor = model.get_input_embeddings()(input_ids.to(device).flatten()[order.to(device)])
    if images.projected is None:
        return embeds
    flat = embeds.flatten(0, 1)
    features = feature_index.flatten()[order.flatten()]
    columns = (features >= 0).nonzero()[:, 0]
    chosen = images.projected.flatten(0, 1)[features[columns].to(device)].to(flat.dtype)
    # with no image position at all the projector still takes part, with gradients of zero
    return flat.index_copy(0, columns.to(device), chosen).view_as(embeds)


def _in_batch_order(states: Any, layout: BlockLayout, input_ids: torch.Tensor) -> tuple[torch.Tensor, ...] | None:
    """Return states in the order of the batch, (B, T, D); zero at positions that the layout leaves out."""
    if states is None:
        return None
    columns = layout.inverse_order(input_ids.numel()).view(input_ids.shape).to(states[0].device)
    return tuple(each.flatten(0, 1)[columns.clamp(min=0)] * (columns >= 0)[..., None] for each in states)
