"""Running the decoder over a batch: all samples as one row for training, or a row each with a cache for generation."""

from dataclasses import dataclass, replace
from typing import Any

import torch

from blender.core.errors import ModelError
from blender.model.blocks import attend_blocks
from blender.model.cross import SHOWN, Gallery, Shown, show
from blender.model.inputs import Positions, place_features
from blender.model.layout import Layout, lay_out, lay_out_rows
from blender.model.past import Past, Step, attend_cached, begin, extend, plan_step, remember
from blender.model.register import ATTEND, Attend
from blender.model.windows import narrow


@dataclass(frozen=True)
class Images:
    """Projected images."""

    #: (N, P, D); one image that stands for nothing when ``num`` is 0; or None
    projected: torch.Tensor | None
    num: int


@dataclass(frozen=True)
class Run:
    """What the decoder gives: (R, L, D) states, in places of a layout."""

    states: torch.Tensor
    layout: Layout
    hidden_states: tuple[torch.Tensor, ...] | None


def _in_order(states: Any, layout: Layout, shape: tuple[int, ...]) -> tuple[torch.Tensor, ...] | None:
    """Return states in the order of the batch, (B, T, D); zero where there is no place."""
    if states is None:
        return None
    places = layout.places(shape[0] * shape[1]).view(shape).to(states[0].device)
    return tuple(s.flatten(0, 1)[places.clamp(min=0)] * (places >= 0)[..., None] for s in states)


def _embed(model: Any, input_ids: torch.Tensor, positions: Positions, layout: Layout, images: Images) -> torch.Tensor:
    """Return (R, L, D): embeddings of text and features of images, place by place."""
    placed = place_features(positions, images.num, model.image_positions)
    order = layout.order
    device = model.get_input_embeddings().weight.device
    embeds: torch.Tensor = model.get_input_embeddings()(input_ids.to(device).flatten()[order.to(device)])
    if images.projected is None:
        return embeds
    flat = embeds.flatten(0, 1)
    wanted = torch.from_numpy(placed).flatten()[order.flatten()]
    places = (wanted >= 0).nonzero()[:, 0]
    rows = images.projected.flatten(0, 1)
    chosen = rows[wanted[places].to(device)].to(flat.dtype)
    # with no place to go to, the projector still takes part, with gradients of zero
    return flat.index_copy(0, places.to(device), chosen).view_as(embeds)


def run_flat(
    model: Any, input_ids: torch.Tensor, positions: Positions, images: Images, trained: Any, all_states: bool
) -> Run:
    """Run all samples as one row, without padding.

    ``B`` rows, ``T`` positions, ``K`` trained tokens.

    Args:
        model: The joined model.
        input_ids: (B, T).
        positions: What stands where.
        images: What is shown.
        trained: (K, 2), row and position of each label that is learnt from; None where all positions are wanted.
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
    layout = lay_out(positions.segment_ids, positions.image_index, attention, needed)
    attend = _attend_layout(layout, positions)
    shown = _show(model, layout, positions, images, None)[0]
    return _decode(model, input_ids, positions, layout, images, attend, shown, None, all_states)


def run_cached(
    model: Any, input_ids: torch.Tensor, positions: Positions, images: Images, cache: Any, past: Past | None
) -> Run:
    """Run every sample in a row of its own, with a cache.

    ``B`` rows, ``T`` positions.

    Args:
        model: The joined model.
        input_ids: (B, T); what is new.
        positions: What stands where.
        images: What is newly shown.
        cache: Where keys and values go, and where they come from.
        past: What is in the cache; None for nothing.

    Raises:
        ModelError: As :func:`run_flat`.
        ValueError: A row holds more than one sample, or the cache forgets what a sliding window has left behind.
    """
    if any(getattr(layer, "is_sliding", False) for layer in getattr(cache, "layers", ())):
        raise ValueError(
            "the cache forgets what a sliding window has left behind; give DynamicCache() without a config"
        )
    if int(positions.segment_ids.max()) > 1:
        raise ValueError("packed samples cannot be cached; give each its row")
    attention: Any = model.config.attention
    given = positions.segment_ids, positions.image_index, positions.position_ids
    if past is None:
        layout = lay_out_rows(*given[:2], attention)
        now = begin(layout, *given, attention)
        attend = _attend_layout(layout, positions)
    else:
        order = torch.arange(input_ids.numel()).view(input_ids.shape)
        layout = Layout(order, (), ())
        now = extend(past, *given)
        attend = _attend_cache(now, input_ids)

    shown, gallery = _show(model, layout, positions, images, past)
    run = _decode(model, input_ids, positions, layout, images, attend, shown, cache, False)
    remember(cache, replace(now, gallery=gallery))
    return run


def _attend_layout(layout: Layout, positions: Positions) -> Attend:
    """Return attention over a layout, made once for each window that layers have."""
    layouts: dict[int | None, Layout] = {}

    def attend(query: Any, key: Any, value: Any, scale: Any, dropout: float, window: int | None) -> torch.Tensor:
        if window not in layouts:
            layouts[window] = narrow(layout, positions.position_ids, window).to(query.device)
        return attend_blocks(query, key, value, layouts[window], scale, dropout)

    return attend


def _attend_cache(past: Past, input_ids: torch.Tensor) -> Attend:
    """Return attention of new positions over a cache, planned once for each window that layers have."""
    steps: dict[int | None, Step] = {}

    def attend(query: Any, key: Any, value: Any, scale: Any, dropout: float, window: int | None) -> torch.Tensor:
        if window not in steps:
            steps[window] = plan_step(past, input_ids.shape[1], input_ids.device, window)
        return attend_cached(query, key, value, steps[window], scale, dropout)

    return attend


def _show(
    model: Any, layout: Layout, positions: Positions, images: Images, past: Past | None
) -> tuple[Shown | None, Gallery | None]:
    if model.cross is None:
        return None, None
    before = None if past is None else past.gallery
    return show(layout.order, positions.segment_ids, positions.image_index, images.projected, before)


def _decode(
    model: Any,
    input_ids: torch.Tensor,
    positions: Positions,
    layout: Layout,
    images: Images,
    attend: Attend,
    shown: Shown | None,
    cache: Any,
    all_states: bool,
) -> Run:
    embeds = _embed(model, input_ids, positions, layout, images)
    numbers = positions.position_ids.flatten()[layout.order].to(embeds.device)
    calls: list[None] = []

    def counted(*arguments: Any) -> torch.Tensor:
        calls.append(None)
        return attend(*arguments)

    made = model.language.base_model(
        inputs_embeds=embeds, position_ids=numbers, past_key_values=cache, use_cache=cache is not None,
        output_hidden_states=all_states, **{ATTEND: counted, SHOWN: shown},
    )  # fmt: skip
    if not calls:
        raise ModelError("the language model ignores the attention it is told to use", "use another decoder")
    return Run(made.last_hidden_state, layout, _in_order(made.hidden_states, layout, input_ids.shape))
