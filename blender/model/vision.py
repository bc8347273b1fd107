"""Any Hugging Face vision tower as a source of features.

CLIP, SigLIP and DINOv2 differ in how many positions come before those of the patches (class token, registers), in
whether they take an option to stretch position embeddings for another image size (DINOv2 always does), and in what
follows the last layer. The last positions are those of the patches, whose number is known; a tower that gives another
number is refused before a weight is loaded (:func:`check_tower`).
"""

import inspect
import json
from functools import lru_cache
from typing import Any

import torch
from transformers import AutoModel, PreTrainedConfig, PreTrainedModel

from blender.core.errors import ModelError
from blender.encoding.patches import config_name, num_patches, square_edge
from blender.model.meta_errors import META_ERRORS, explain_meta_error

_WANTED = "use a vision tower that cuts images into square patches, such as CLIP, SigLIP or DINOv2"


def vision_part(config: Any) -> Any:
    """Return the vision tower's own configuration out of one that may hold a text tower, too."""
    return getattr(config, "vision_config", config)


def native_size(config: Any) -> int | None:
    """Return the pixels of an image's edge that a vision tower was made for; None where it does not say."""
    return square_edge(getattr(config, "image_size", None))


def check_tower(config: Any, image_size: int | None = None, keep_class_token: bool = False) -> None:
    """Check, without any weights, that a vision tower gives one feature for each patch of an image.

    The tower is made and run on the meta device, where tensors have shapes but no values.

    Args:
        config: The vision tower's.
        image_size: Pixels of an edge; the tower's own when None.
        keep_class_token: Whether what comes before the patches is used, too.

    Raises:
        ModelError: It does not.
    """
    size = image_size or native_size(config)
    if size is None:
        raise ModelError(
            f"{config_name(config)} cannot be a vision tower here: it has no image size of its own", _WANTED
        )
    _check_shapes(config.__class__, config.to_json_string(use_diff=False), size, keep_class_token)


@lru_cache(maxsize=32)
def _check_shapes(kind: Any, content: str, size: int, keep_class_token: bool) -> None:
    config = kind.from_dict(json.loads(content))
    hidden, width = _run_without_weights(config, size), getattr(config, "hidden_size", None)
    found = " x ".join(map(str, hidden.shape))
    refused = f"{config_name(config)} cannot be a vision tower here: two images of {size} pixels become {found} numbers"
    if hidden.dim() != 3 or len(hidden) != 2 or hidden.shape[-1] != width:
        raise ModelError(f"{refused}, and a list of features of width {width} for each image is expected", _WANTED)
    patches = num_patches(config, size)
    wanted = num_features(config, size, keep_class_token)
    if hidden.shape[1] < patches or (keep_class_token and hidden.shape[1] != wanted):
        raise ModelError(f"{refused}, and {wanted} features for each image are expected", _WANTED)


def _run_without_weights(config: Any, size: int) -> torch.Tensor:
    """Return the tower's last hidden states of two images, on the meta device."""
    try:
        with torch.device("meta"):
            tower: Any = AutoModel.from_config(config)  # type: ignore[no-untyped-call]
            pixels = torch.empty((2, 3, size, size), dtype=tower.dtype)
            hidden: torch.Tensor = tower.eval()(pixels, **_options(tower, pixels)).hidden_states[-1]
            return hidden
    except META_ERRORS as error:
        reason = explain_meta_error(error, f"images of {size} pixels")
        raise ModelError(f"{config_name(config)} cannot be a vision tower here: {reason}", _WANTED) from error


def tower_features(tower: PreTrainedModel, pixels: torch.Tensor, layer: int, keep_class_token: bool) -> torch.Tensor:
    """Return (N, P, V): the features of images.

    Args:
        tower: The vision tower.
        pixels: (N, C, H, W), normalised.
        layer: Which hidden states; -1 is what the last layer gives, -2 what the one before gives, 0 the embeddings.
        keep_class_token: Keep what comes before the patches: a class token, and registers where there are some.
    """
    hidden: torch.Tensor = tower(pixels.to(tower.dtype), **_options(tower, pixels)).hidden_states[layer]
    patches = num_patches(tower.config, pixels.shape[-1])
    return hidden if keep_class_token else hidden[:, hidden.shape[1] - patches :]


def num_features(config: PreTrainedConfig, image_size: int, keep_class_token: bool) -> int:
    """Return how many features an image has before the projector."""
    return num_patches(config, image_size) + (_num_prefix(config) if keep_class_token else 0)


def _num_prefix(config: Any) -> int:
    if "siglip" in config.model_type:
        return 0
    return 1 + int(getattr(config, "num_register_tokens", 0) or 0)


def _options(tower: PreTrainedModel, pixels: torch.Tensor) -> dict[str, Any]:
    """Return the keyword arguments of a tower's forward."""
    options: dict[str, Any] = {"output_hidden_states": True}
    if "interpolate_pos_encoding" in inspect.signature(tower.forward).parameters:
        options["interpolate_pos_encoding"] = pixels.shape[-1] != native_size(tower.config)
    return options


def normalise(pixels: torch.Tensor, scale: float, mean: list[float], std: list[float]) -> torch.Tensor:
    """Normalise bytes as the tower wants them; other numbers are returned as they are.

    Args:
        pixels: (N, C, H, W).
        scale: Of a byte.
        mean: Per channel.
        std: Per channel.
    """
    if pixels.dtype != torch.uint8:
        return pixels
    of_mean, of_std = (torch.tensor(values, device=pixels.device).view(1, -1, 1, 1) for values in (mean, std))
    return torch.addcmul(-of_mean / of_std, pixels.float(), scale / of_std)
