"""Cross entropy of the trained tokens alone.

Which positions are trained is known before the language model's head runs, so logits are made for those only, in one
call of the head: with ZeRO-3 every rank has to call it as often as the others. The entropy is computed in float32, a
few rows at a time, so that the only large tensors are the logits and their gradient.
"""

from typing import Any

import torch

#: label of positions that no loss falls on
IGNORED = -100
#: logits that are converted to float32 at once: 64 MB
_AT_ONCE = 1 << 24


def find_trained(labels: torch.Tensor, segment_ids: torch.Tensor) -> torch.Tensor:
    """Return (K, 2) int64: row and position of each trained label.

    The first position of a sample is never trained: there is nothing to predict it from.

    Args:
        labels: (B, T); -100 where nothing is trained; not shifted.
        segment_ids: (B, T); 0 at padding, else the number of the sample in its row.
    """
    trained = labels != IGNORED
    trained[:, 0] = False
    trained[:, 1:] &= (segment_ids[:, 1:] == segment_ids[:, :-1]) & (segment_ids[:, 1:] > 0)
    return trained.nonzero()


class _Entropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *arguments: Any) -> torch.Tensor:
        logits, targets = arguments
        totals = torch.cat([part.float().logsumexp(-1) for part in logits.split(_rows(logits))])
        ctx.save_for_backward(logits, targets, totals)
        picked: torch.Tensor = logits.gather(1, targets[:, None])[:, 0].float()
        return totals - picked

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, None]:
        logits, targets, totals = ctx.saved_tensors
        result = torch.empty_like(logits)
        size = _rows(logits)
        parts = zip(*(tensor.split(size) for tensor in (logits, targets, totals, grad, result)), strict=True)
        for some, wanted, total, weight, target in parts:
            share = some.float().sub_(total[:, None]).exp_()
            share[torch.arange(len(wanted), device=wanted.device), wanted] -= 1
            target.copy_(share.mul_(weight[:, None]))
        return result, None


def _rows(logits: torch.Tensor) -> int:
    return max(1, _AT_ONCE // logits.shape[1])


def token_losses(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return (K,) float32: the cross entropy of each token.

    Args:
        logits: (K, V).
        targets: (K,) int64.
    """
    if not len(targets):
        return logits.float().sum(-1)
    losses: torch.Tensor = _Entropy.apply(logits, targets)  # type: ignore[no-untyped-call]
    return losses


def finish_logits(config: Any, logits: torch.Tensor) -> torch.Tensor:
    """Scale or cap logits as the language model's own class does after its head.

    Args:
        config: The language model's; Cohere scales its logits, Granite divides them, Gemma caps them.
        logits: (..., V).
    """
    if (scale := getattr(config, "logit_scale", None)) is not None:
        logits = logits * scale
    if (divisor := getattr(config, "logits_scaling", None)) is not None:
        logits = logits / divisor
    if (cap := getattr(config, "final_logit_softcapping", None)) is not None:
        logits = torch.tanh(logits / cap) * cap
    return logits
