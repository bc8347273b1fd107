"""Our attention behind transformers' interface, and the check that a decoder really uses it.

transformers calls the attention function that the configuration names, and passes keyword arguments of the model's
forward on to it. Our function calls the argument :data:`ATTEND`: attention over a layout, over a KV cache, or a
recorder. No mask function is registered under the name, so transformers makes no mask.
"""

import copy
from collections.abc import Callable
from typing import Any

import torch
from transformers import AttentionInterface, AutoModelForCausalLM, PreTrainedConfig

from blender.core.errors import ModelError
from blender.model.meta_errors import META_ERRORS, explain_meta_error
from blender.model.sliding_windows import layer_windows

#: name of our attention in a language model's configuration
ATTENTION_NAME = "visualchat"
#: keyword argument of the decoder's forward that carries an :data:`Attend`
ATTEND = "visualchat_attend"
#: (query, key, value, scale, dropout, window) of shapes (R, H, L, D), (R, K, S, D) twice -> (R, L, H, D)
Attend = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, float | None, float, int | None], torch.Tensor]

#: what some decoders add to attention that fused kernels do not do
_FOREIGN = {"softcap": "caps its attention scores", "s_aux": "has attention sinks", "position_bias": "adds a bias"}
_HINT = "use a decoder such as Llama, Qwen2, Qwen3, Mistral or GPT-NeoX"


def _attention(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: Any = None,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    attend: Attend | None = kwargs.get(ATTEND)
    if attend is None:
        raise _NoAttendError("this language model is part of a VisualChatModel; call that one")
    for name, what in _FOREIGN.items():
        if kwargs.get(name) is not None:
            raise ModelError(f"the language model {_name(module.config)} {what}, which is not supported", _HINT)
    return attend(query, key, value, scaling, dropout, sliding_window), None


AttentionInterface.register(ATTENTION_NAME, _attention)


class _NoAttendError(ValueError):
    """Attention was called without the argument :data:`ATTEND`."""


def check_decoder(config: PreTrainedConfig) -> None:
    """Check, without any weights, that a language model attends through transformers' interface in every layer.

    A model of two layers is made and run on the meta device, where tensors have shapes but no values.

    Raises:
        ModelError: It does not.
    """
    name = _name(config)
    seen: list[int | None] = []

    def record(query: Any, key: Any, value: Any, scale: Any, dropout: Any, window: int | None) -> torch.Tensor:
        seen.append(window)
        if value.shape[-1] != query.shape[-1]:
            reason = f"its values are {value.shape[-1]} wide and its keys {query.shape[-1]}"
            raise ModelError(f"{name} cannot be a decoder here: {reason}", _HINT)
        return query.transpose(1, 2)  # type: ignore[no-any-return]

    _check_kinds(config)
    try:
        short = _shortened(config)
        with torch.device("meta"):
            # experts are multiplied by a kernel that PyTorch has in bfloat16 alone on this device
            model: Any = AutoModelForCausalLM.from_config(short, dtype=torch.bfloat16)  # type: ignore[no-untyped-call]
            use_our_attention(model)
            _check_causal(name, model)
            embeds = torch.empty((1, 4, model.get_input_embeddings().weight.shape[1]), dtype=model.dtype)
            positions = torch.arange(4)[None]
            model.base_model(inputs_embeds=embeds, position_ids=positions, use_cache=False, **{ATTEND: record})
    except ModelError:
        raise
    except _NoAttendError as error:
        reason = "its forward does not pass keyword arguments on to its layers, so they cannot be told how to attend"
        raise ModelError(f"{name} cannot be a decoder here: {reason}", _HINT) from error
    except META_ERRORS as error:
        raise ModelError(f"{name} cannot be a decoder here: {explain_meta_error(error, 'text')}", _HINT) from error
    if len(seen) != short.num_hidden_layers:
        reason = f"{len(seen)} of {short.num_hidden_layers} layers use the attention they are told to"
        raise ModelError(f"{name} cannot be a decoder here: {reason}", _HINT)
    for layer, (window, wanted) in enumerate(zip(seen, layer_windows(short), strict=True)):
        if window != wanted:
            reason = (
                f"layer {layer} looks back over {_positions(window)}, and its configuration says {_positions(wanted)}"
            )
            raise ModelError(f"{name} cannot be a decoder here: {reason}", _HINT)


def _check_causal(name: str, model: Any) -> None:
    if any(getattr(module, "is_causal", True) is False for module in model.modules()):
        raise ModelError(f"{name} cannot be a decoder here: its text looks at what follows", _HINT)


def _check_kinds(config: Any) -> None:
    """Refuse layers that attend in a way of their own, and text that looks ahead."""
    other = sorted(set(getattr(config, "layer_types", None) or ()) - {"full_attention", "sliding_attention"})
    if other:
        raise ModelError(f"{_name(config)} cannot be a decoder here: it has layers of the kind {other[0]}", _HINT)
    if getattr(config, "use_bidirectional_attention", None):
        raise ModelError(f"{_name(config)} cannot be a decoder here: its text looks at what follows", _HINT)


def _name(config: Any) -> str:
    return type(config).__name__.removesuffix("Config")


def _positions(window: int | None) -> str:
    return "all positions" if window is None else f"{window} positions"


def use_our_attention(language: Any) -> None:
    """Set our attention in a language model."""
    language.set_attn_implementation(ATTENTION_NAME)


def _shortened(config: PreTrainedConfig) -> Any:
    """Return a copy with two layers, where all layers are alike."""
    short: Any = copy.deepcopy(config)
    if len(set(getattr(short, "layer_types", None) or ["full_attention"])) == 1 and short.num_hidden_layers > 2:
        short.num_hidden_layers = 2
        if getattr(short, "layer_types", None):
            short.layer_types = short.layer_types[:2]
    return short


def decoder_layers(language: Any) -> Any:
    """Return the list of a language model's layers."""
    wanted = language.config.num_hidden_layers
    for child in language.base_model.children():
        if isinstance(child, torch.nn.ModuleList) and len(child) == wanted:
            return child
    raise ModelError(f"the layers of {type(language).__name__} are not found, so none can be put between them", _HINT)
