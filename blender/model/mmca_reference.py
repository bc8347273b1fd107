"""Multi-modal causal attention as the formula says it: slow, and the reference for tests of the fast path.

DeepSpeed-VisualChat (arXiv 2309.14327, section 3.2) gives text and images a softmax of their own, so that neither takes
weight from the other; image positions see only themselves. The released code differs in two things: here a text query
without an image before it gets exactly zero from images, and image queries do not see text.
"""

import torch


def mmca_reference(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    segment_ids: torch.Tensor,
    is_image: torch.Tensor,
    scale: float | None = None,
    position_ids: torch.Tensor | None = None,
    window: int | None = None,
) -> torch.Tensor:
    """Compute multi-modal causal attention with explicit masks.

    ``B`` rows, ``H`` heads, ``K`` key heads (``H`` is a multiple of it), ``T`` positions, ``D`` width.

    Args:
        query: (B, H, T, D).
        key: (B, K, T, D).
        value: (B, K, T, D).
        segment_ids: (B, T); 0 at padding, else the number of the sample in its row.
        is_image: (B, T) bool.
        scale: Of the products; by default one over the root of ``D``.
        position_ids: (B, T); needed with a window.
        window: How many text positions back a text query sees, its own included; None for all.

    Returns:
        (B, H, T, D); zero at padding.
    """
    groups = query.shape[1] // key.shape[1]
    key, value = (tensor.repeat_interleave(groups, dim=1) for tensor in (key, value))
    scores = query @ key.transpose(-1, -2) * (query.shape[-1] ** -0.5 if scale is None else scale)
    same = (segment_ids[:, :, None] == segment_ids[:, None, :]) & (segment_ids > 0)[:, :, None]
    earlier = same.tril()[:, None]
    of_text = earlier & ~is_image[:, None, None, :]
    if window is not None:
        assert position_ids is not None
        of_text = of_text & (position_ids[:, None, None, :] > position_ids[:, None, :, None] - window)
    of_images = earlier & is_image[:, None, None, :]
    attended = masked_softmax(scores, of_text) @ value + masked_softmax(scores, of_images) @ value
    kept = torch.where(is_image[:, None, :, None], value, attended)
    return kept * (segment_ids > 0)[:, None, :, None]


def masked_softmax(scores: torch.Tensor, allowed: torch.Tensor) -> torch.Tensor:
    """Softmax over the allowed keys; all zero where there is none.

    Args:
        scores: (..., Q, K).
        allowed: (..., Q, K) bool.
    """
    none = ~allowed.any(-1, keepdim=True)
    masked = scores.masked_fill(~allowed & ~none, -torch.inf)
    wide = torch.promote_types(scores.dtype, torch.float32)
    return torch.softmax(masked, dim=-1, dtype=wide).to(scores.dtype).masked_fill(none, 0)
