"""Any Hugging Face vision tower as a source of features.

CLIP, SigLIP and DINOv2 differ in how many positions stand before those of the patches (class token, registers), in
whether they must be told to stretch their position embeddings for another image size (DINOv2 always does), and in what
lies behind the last layer. Which positions are patches is known from their number.
"""

import inspect
from typing import Any

import torch
from transformers import PreTrainedConfig, PreTrainedModel

from blender.errors import ModelError


def vision_part(config: Any) -> Any:
    """Return the vision tower's own configuration out of one that may hold a text tower, too."""
    return getattr(config, "vision_config", config)


def num_patches(config: PreTrainedConfig, image_size: int) -> int:
    """Return how many patches a square image has.

    Args:
        config: The vision tower's.
        image_size: Pixels of an edge.

    Raises:
        ModelError: The tower does not say its patch size, or no patch fits.
    """
    patch = getattr(config, "patch_size", None)
    if not isinstance(patch, int) or patch > image_size:
        raise ModelError(
            f"{type(config).__name__} has patches of {patch} pixels for images of {image_size}",
            "use a vision tower that cuts images into square patches, such as CLIP, SigLIP or DINOv2",
        )
    return (image_size // patch) ** 2


def tower_features(tower: PreTrainedModel, pixels: torch.Tensor, layer: int, keep_class_token: bool) -> torch.Tensor:
    """Return (N, P, V): the features of images.

    Args:
        tower: The vision tower.
        pixels: (N, C, H, W), normalised.
        layer: Which hidden states; -1 is what the last layer gives, -2 what the one before gives, 0 the embeddings.
        keep_class_token: Keep what stands before the patches: a class token, and registers where there are some.
    """
    config: Any = tower.config
    given = pixels.to(tower.dtype)
    options: dict[str, Any] = {"output_hidden_states": True}
    if _takes_interpolation(tower):
        options["interpolate_pos_encoding"] = tuple(pixels.shape[-2:]) != _native_size(config)
    hidden: torch.Tensor = tower(given, **options).hidden_states[layer]
    patches = num_patches(config, pixels.shape[-1])
    return hidden if keep_class_token else hidden[:, hidden.shape[1] - patches :]


def num_features(config: PreTrainedConfig, image_size: int, keep_class_token: bool) -> int:
    """Return how many features an image has before the projector."""
    return num_patches(config, image_size) + (_num_prefix(config) if keep_class_token else 0)


def _num_prefix(config: Any) -> int:
    if "siglip" in config.model_type:
        return 0
    return 1 + int(getattr(config, "num_register_tokens", 0) or 0)


def _takes_interpolation(tower: PreTrainedModel) -> bool:
    return "interpolate_pos_encoding" in inspect.signature(tower.forward).parameters


def _native_size(config: Any) -> tuple[int, int]:
    return config.image_size, config.image_size


def normalise(pixels: torch.Tensor, scale: float, mean: list[float], std: list[float]) -> torch.Tensor:
    """Make the tower's numbers of bytes; what is no bytes is taken as normalised.

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
