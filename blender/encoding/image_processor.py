"""The settings of a vision tower's image processor, and a check that it does what they say and nothing else.

Only processors that resize, crop the centre, rescale and normalise to one size are supported. The settings are compared
with what the processor does to two drawn pictures, because processors that cut tiles, pad or flip channels have
settings that look like any other's.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from blender.core.errors import BlenderError, StreamError
from blender.core.hub import load_named

#: settings of steps that are not supported
_UNSUPPORTED = (
    "do_pad", "do_resize_longest", "do_image_splitting", "do_pan_and_scan", "crop_pct", "max_num_patches",
    "image_grid_pinpoints", "crop_to_patches", "max_image_tiles", "max_slice_nums", "split_image",
    "temporal_patch_size", "do_flip_channel_order", "rescale_offset", "size_divisor", "do_crop_margin",
)  # fmt: skip
#: allowed mean distance from the pixels that the settings promise, as a share of the whole range
_TOLERANCE = 0.02
#: width and height of the drawn pictures
_SIZES = ((61, 43), (43, 97))


@dataclass(frozen=True)
class PixelSpec:
    """What a vision tower expects of its images. Read with :func:`read_pixel_spec`."""

    #: pixels of the result
    height: int
    width: int
    #: (height, width) that a picture is stretched to; None when its proportions are kept
    stretch: tuple[int, int] | None
    #: length that the shortest edge gets, proportions kept; None when the picture is stretched
    shortest_edge: int | None
    #: Pillow's number of the filter
    resample: int
    #: value of a pixel = (byte * scale - mean) / std, per channel
    scale: float
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of one image."""
        return 3, self.height, self.width

    def resized(self, width: int, height: int) -> tuple[int, int]:
        """Return (width, height) of an upright picture after resizing, before the crop."""
        if self.stretch:
            return self.stretch[1], self.stretch[0]
        assert self.shortest_edge
        short, long = sorted((width, height))
        # rounded down after this very product, as Hugging Face's processors do
        longer = int(self.shortest_edge * long / short)
        return (self.shortest_edge, longer) if width <= height else (longer, self.shortest_edge)


def load_image_processor(vision: str | Path, error: type[BlenderError] = StreamError) -> Any:
    """Load the image processor of a vision tower by name or folder.

    Args:
        vision: Name or folder of the vision tower.
        error: What is raised.

    Raises:
        BlenderError: It cannot be loaded.
    """

    def load(name: str) -> Any:
        from transformers import AutoImageProcessor

        return AutoImageProcessor.from_pretrained(name, backend="pil")  # type: ignore[no-untyped-call]

    return load_named("image processor", vision, load, error)


def checked_pixel_spec(processor: Any) -> PixelSpec:
    """Read an image processor's settings, and compare them with what it does.

    Args:
        processor: An image processor of the ``pil`` backend.

    Raises:
        StreamError: It does something that is not resize, centre crop, rescale and normalise to one fixed size.
    """
    spec = read_pixel_spec(processor)
    name = _name_of(processor.to_dict())
    for width, height in _SIZES:
        picture = _draw(width, height)
        wanted = _plain_values(picture, spec)
        try:
            values = np.asarray(processor(images=[picture], return_tensors="np")["pixel_values"])
        except (TypeError, ValueError, KeyError, AttributeError, IndexError) as fault:
            raise _unsupported(name, f"cannot read a picture of {width} x {height} pixels: {fault}") from fault
        if values.shape != (1, *wanted.shape):
            actual, expected = _shape(values.shape), _shape((1, *wanted.shape))
            raise _unsupported(name, f"makes {actual} numbers of one picture instead of {expected}")
        span = 255 * spec.scale / np.array(spec.std)[:, None, None]
        if float((np.abs(values[0] - wanted) / span).mean()) > _TOLERANCE:
            raise _unsupported(name, "makes other pixels than its settings say")
    return spec


def _name_of(config: Mapping[str, Any]) -> str:
    name = config.get("image_processor_type") or config.get("feature_extractor_type") or "image processor"
    return str(name).removesuffix("Pil")


def _shape(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


def _draw(width: int, height: int) -> Image.Image:
    """Draw a smooth picture with three unlike channels."""
    across, down = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    channels = np.stack([across, down, 1 - across * down], axis=-1)
    return Image.fromarray((channels * 255).astype(np.uint8))


def _plain_values(picture: Image.Image, spec: PixelSpec) -> NDArray[np.float64]:
    """Return (C, H, W): resized, cropped and normalised, step by step."""
    resized = picture.resize(spec.resized(*picture.size), Image.Resampling(spec.resample))
    left, top = (resized.width - spec.width) // 2, (resized.height - spec.height) // 2
    values = np.asarray(resized.crop((left, top, left + spec.width, top + spec.height)), dtype=np.float64)
    normalised: NDArray[np.float64] = (values * spec.scale - np.array(spec.mean)) / np.array(spec.std)
    return normalised.transpose(2, 0, 1)


def read_pixel_spec(processor: Any) -> PixelSpec:
    """Read what a Hugging Face image processor does.

    Args:
        processor: An image processor, or what its ``to_dict()`` or its ``preprocessor_config.json`` says.

    Raises:
        StreamError: It does something that is not resize, centre crop, rescale and normalise to one fixed size.
    """
    config = dict(processor) if isinstance(processor, Mapping) else dict(processor.to_dict())
    name = _name_of(config)
    unsupported = [key for key in _UNSUPPORTED if config.get(key)]
    if unsupported:
        raise _unsupported(name, f"uses {unsupported[0]}")
    stretch, shortest_edge = _read_size(name, config)
    cropped = config.get("do_center_crop") or ("do_center_crop" not in config and config.get("crop_size"))
    crop = _edges(name, "crop_size", config.get("crop_size")) if cropped else stretch
    if crop is None:
        raise _unsupported(name, "gives images of different sizes")
    least = stretch or (shortest_edge or 0, shortest_edge or 0)
    if crop[0] > least[0] or crop[1] > least[1]:
        raise _unsupported(name, "crops more than it resizes to")
    if config.get("resample") is None:
        raise _unsupported(name, "does not say how it resamples")
    plain = not config.get("do_normalize", True)
    return PixelSpec(
        *crop,
        stretch,
        shortest_edge,
        int(config["resample"]),
        float(config.get("rescale_factor") or 1 / 255) if config.get("do_rescale", True) else 1.0,
        (0.0, 0.0, 0.0) if plain else _channels(name, config, "image_mean"),
        (1.0, 1.0, 1.0) if plain else _channels(name, config, "image_std"),
    )


def _unsupported(name: str, what: str) -> StreamError:
    hint = "use a vision tower whose images are resized, centre-cropped and normalised to one size"
    return StreamError(f"{name} {what}, which is not supported", hint)


def _read_size(name: str, config: Mapping[str, Any]) -> tuple[tuple[int, int] | None, int | None]:
    size: Any = config.get("size")
    if not config.get("do_resize", True) or size is None:
        raise _unsupported(name, "does not resize")
    if isinstance(size, int):
        # the meaning of a bare number differed between processors; the ones that crop meant the shortest edge
        return (None, size) if config.get("crop_size") else ((size, size), None)
    if size.get("shortest_edge") and not size.get("longest_edge"):
        return None, int(size["shortest_edge"])
    return _edges(name, "size", size), None


def _edges(name: str, key: str, size: Any) -> tuple[int, int]:
    if isinstance(size, int):
        return size, size
    if isinstance(size, Mapping) and size.get("height") and size.get("width"):
        return int(size["height"]), int(size["width"])
    raise _unsupported(name, f"has {key} {dict(size) if isinstance(size, Mapping) else size}")


def _channels(name: str, config: Mapping[str, Any], key: str) -> tuple[float, float, float]:
    values = config.get(key)
    if values is None or len(values) != 3:
        raise _unsupported(name, f"has {key} {values}")
    red, green, blue = (float(value) for value in values)
    return red, green, blue
