"""How many patches a vision encoder cuts an image into, from its configuration alone. Knows no torch."""

from typing import Any

from blender.core.errors import BlenderError, ModelError

_HINT = "use a vision encoder that cuts images into square patches, such as CLIP, SigLIP or DINOv2"


def num_patches(config: Any, height: int, width: int | None = None, error: type[BlenderError] = ModelError) -> int:
    """Return how many patches an image has.

    Args:
        config: The vision encoder's configuration.
        height: Pixels of an image.
        width: Pixels of an image; as the height when None.
        error: What is raised.

    Raises:
        BlenderError: The configuration names no patch size, or no patch fits.
    """
    width = height if width is None else width
    patch = square_edge(getattr(config, "patch_size", None))
    if not patch or not 0 < patch <= min(height, width):
        name, size = config_name(config), getattr(config, "patch_size", None)
        raise error(f"{name} has patches of {size} pixels for images of {height}", _HINT)
    return (height // patch) * (width // patch)


def square_edge(size: Any) -> int | None:
    """Return the edge of a square that a configuration gives as one number or as two equal ones; else None."""
    edges = [size] if isinstance(size, int) else list(size or [])
    return edges[0] if edges and all(edge == edges[0] and isinstance(edge, int) for edge in edges) else None


def config_name(config: Any) -> str:
    """Return what a configuration's model is called in messages, such as ``CLIPVision``."""
    return type(config).__name__.removesuffix("Config")
