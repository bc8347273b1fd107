"""Decode an image into the pixels that a vision encoder expects, as uint8.

The settings of the encoder's Hugging Face image processor are read once into a :class:`PixelSpec`. The steps are done
in another order than there, for the same pixels within rounding: the rotation noted in EXIF is applied to the small
result, and a grey image stays one channel until the end. Resampling would be half of the work in Pillow, so PyTorch
does it, whose filters for bytes follow Pillow's; an image so long that most of it is cropped away is left to Pillow,
which can resample the wanted part alone (``box``). Pixels stay bytes until :func:`normalise`, on the device of the
vision encoder.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import ExifTags, Image

from blender.data.images.decoding import DAMAGE, explaining_damage, open_image
from blender.encoding.image_processor import PixelSpec

#: EXIF orientations whose left, once upright, is the right (or bottom) as stored; whose top is the bottom (or right);
#: whose width is the height
_MIRRORED_X, _MIRRORED_Y, _TURNED = {2, 3, 6, 7}, {3, 4, 7, 8}, {5, 6, 7, 8}
#: filters that PyTorch has as well, with Pillow's arithmetic and in a fraction of its time
_TORCH_MODES = {Image.Resampling.BILINEAR: "bilinear", Image.Resampling.BICUBIC: "bicubic"}
#: most pixels that are resampled before cropping, in multiples of the wanted pixels
_MOST_SPARE = 3

#: left, top, right, bottom
_Box = tuple[int, int, int, int]


def decode_image(content: bytes, spec: PixelSpec, *, draft: bool = False) -> NDArray[np.uint8]:
    """Decode, turn upright, resize and crop one image.

    Args:
        content: The file's bytes.
        spec: What the vision encoder expects.
        draft: Let a JPEG be decoded at 1/2, 1/4 or 1/8 of its size where that leaves enough pixels: faster, and not the
            same pixels (``docs/encoding.md`` gives the differences).

    Returns:
        (C, H, W) uint8; a view, of memory in some other order.

    Raises:
        OSError: The image is damaged, or of no format that is read.
    """
    with explaining_damage():
        return _resample(open_image(content), spec, draft)


def _resample(image: Image.Image, spec: PixelSpec, draft: bool) -> NDArray[np.uint8]:
    orientation = _orientation(image)
    turned = orientation in _TURNED
    resized = _swap(spec.resized(*_swap(image.size, turned)), turned)
    crop = _crop_box(spec, resized, orientation)
    if draft:
        image.draft(None, resized)
    plain = to_plain(image)
    if spec.resample in _TORCH_MODES and resized[0] * resized[1] <= _MOST_SPARE * spec.width * spec.height:
        small = _resize_then_crop(plain, spec, resized, crop)
    else:
        small = _crop_then_resize(plain, spec, resized, crop)
    upright = small.swapaxes(1, 2) if turned else small
    flipped = upright[:, :: -1 if orientation in _MIRRORED_Y else 1, :: -1 if orientation in _MIRRORED_X else 1]
    return np.broadcast_to(flipped, spec.shape)


def _resize_then_crop(plain: Image.Image, spec: PixelSpec, resized: tuple[int, int], crop: _Box) -> NDArray[np.uint8]:
    """Return (C, H, W) pixels; C is 1 for a grey image."""
    pixels = np.asarray(plain).reshape(plain.height, plain.width, -1)
    whole = torch.nn.functional.interpolate(
        torch.from_numpy(pixels).permute(2, 0, 1)[None],
        size=(resized[1], resized[0]),
        mode=_TORCH_MODES[Image.Resampling(spec.resample)],
        antialias=True,
    )
    left, top, right, bottom = crop
    small: NDArray[np.uint8] = whole[0, :, top:bottom, left:right].numpy()
    return small


def _crop_then_resize(plain: Image.Image, spec: PixelSpec, resized: tuple[int, int], crop: _Box) -> NDArray[np.uint8]:
    """Return (C, H, W) pixels; C is 1 for a grey image."""
    across, down = plain.width / resized[0], plain.height / resized[1]
    left, top, right, bottom = crop
    # rounding must not move the box beyond the edge of the image
    box = (left * across, top * down, min(right * across, plain.width), min(bottom * down, plain.height))
    small = plain.resize((right - left, bottom - top), Image.Resampling(spec.resample), box=box)
    return np.asarray(small).reshape(small.height, small.width, -1).transpose(2, 0, 1)


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation; 1, upright, where there is none or EXIF alone is damaged."""
    try:
        value = image.getexif().get(ExifTags.Base.Orientation, 1)
    except DAMAGE:
        return 1
    return int(value) if value in range(2, 9) else 1


def _swap(size: tuple[int, int], turned: bool) -> tuple[int, int]:
    return (size[1], size[0]) if turned else size


def _crop_box(spec: PixelSpec, resized: tuple[int, int], orientation: int) -> _Box:
    """Return the centre crop of the resized image, both in stored orientation."""
    turned = orientation in _TURNED
    width, height = _swap(resized, turned)
    left, top = (width - spec.width) // 2, (height - spec.height) // 2
    # if the number of spare pixels is odd, a mirrored image has the larger half before its crop
    left = width - spec.width - left if orientation in _MIRRORED_X else left
    top = height - spec.height - top if orientation in _MIRRORED_Y else top
    left, top = _swap((left, top), turned)
    across, down = _swap((spec.width, spec.height), turned)
    return left, top, left + across, top + down


def to_plain(image: Image.Image) -> Image.Image:
    """Return an image in mode RGB or, without colours, L.

    Transparent pixels are put on white, as Hugging Face's processors do. Of 16 bits the upper eight are kept;
    floating-point values are taken as 0 to 1, or as 0 to 255 if any is above 1.
    """
    if image.mode in ("I", "F") or image.mode.startswith("I;"):
        return _from_deep(image)
    if image.has_transparency_data:
        coloured = image.convert("RGBA")
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, coloured).convert("RGB")
    if image.mode in ("RGB", "L"):
        return image
    return image.convert("L" if image.mode == "1" else "RGB")


def _from_deep(image: Image.Image) -> Image.Image:
    values = np.nan_to_num(np.asarray(image).astype(np.float32))
    largest = values.max(initial=0)
    if image.mode == "F":
        values = values * (255 if largest <= 1 else 1)
    elif image.mode != "I" or largest > 255:
        values = np.floor(values / 256)
    return Image.fromarray(values.clip(0, 255).astype(np.uint8))


def stack_images(contents: tuple[bytes, ...], spec: PixelSpec, *, draft: bool = False) -> torch.Tensor:
    """Decode images into one tensor (I, C, H, W) of uint8.

    Raises:
        OSError: An image is damaged; the message begins with its number, from 1.
    """
    stacked = torch.empty((len(contents), *spec.shape), dtype=torch.uint8)
    for number, content in enumerate(contents):
        try:
            stacked.numpy()[number] = decode_image(content, spec, draft=draft)
        except OSError as error:
            raise OSError(f"image {number + 1}: {error}") from error
    return stacked


def normalise(pixels: torch.Tensor, spec: PixelSpec, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Convert bytes to the input of a vision encoder, on their device.

    Args:
        pixels: (N, C, H, W) uint8; N may be 0.
        spec: What the vision encoder expects.
        dtype: Of the result; computed in float32.
    """
    mean, std = (torch.tensor(v, device=pixels.device).view(1, -1, 1, 1) for v in (spec.mean, spec.std))
    return torch.addcmul(-mean / std, pixels.to(torch.float32), spec.scale / std).to(dtype)
