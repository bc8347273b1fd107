"""What can be made of a conversation before the model has its turn, in any process: tokens and pixels."""

from dataclasses import dataclass

import torch

from blender.core.errors import SessionError
from blender.data.images.decoding import measure_image
from blender.encoding.image_processor import PixelSpec
from blender.serve.fitting import Fitted
from blender.stream.pixels import decode_image

#: pixels that an image may have
MAX_PIXELS = 100_000_000


@dataclass(frozen=True)
class Ready:
    """What asking would make of a conversation and its question, made before, elsewhere."""

    fitted: Fitted
    #: (C, H, W) uint8 of every image of the conversation, the question's last
    pixels: tuple[torch.Tensor, ...]


def decode_pixels(content: bytes, name: str, spec: PixelSpec) -> torch.Tensor:
    """Decode an image as a vision tower wants it; otherwise as :func:`decode_picture`."""
    hint = "use a JPEG, PNG, WebP, GIF, BMP or TIFF file"
    try:
        width, height = measure_image(content)
        if width * height > MAX_PIXELS:
            told = f"{name} has {width:,} x {height:,} pixels, more than the {MAX_PIXELS:,} allowed"
            raise SessionError(told, "make it smaller")
        return torch.from_numpy(decode_image(content, spec).copy())
    except OSError as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise SessionError(f"{name} cannot be read: {first}", hint) from error
