"""Pixels are those of the Hugging Face image processors, for every way that a file can hold a picture."""

import contextlib
import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps
from transformers import BitImageProcessorPil, CLIPImageProcessorPil, SiglipImageProcessorPil, ViTImageProcessorPil

from blender.core.errors import BlenderError
from blender.encoding.image_processor import read_pixel_spec
from blender.stream.pixels import decode_image, normalise, stack_images

PROCESSORS = {
    "clip": CLIPImageProcessorPil(size={"shortest_edge": 56}, crop_size={"height": 56, "width": 56}),
    "siglip": SiglipImageProcessorPil(size={"height": 64, "width": 64}),
    "siglip-bilinear": SiglipImageProcessorPil(size={"height": 64, "width": 48}, resample=2),
    "dinov2": BitImageProcessorPil(size={"shortest_edge": 64}, crop_size={"height": 56, "width": 56}),
    "vit": ViTImageProcessorPil(size={"height": 56, "width": 56}),
}
SPECS = {name: read_pixel_spec(processor) for name, processor in PROCESSORS.items()}


def photo(width, height, mode="RGB", seed=0):
    """Draw something with as much detail at every scale as photos have."""
    rng, channels = np.random.default_rng(seed), {"L": 1, "RGB": 3, "RGBA": 4, "CMYK": 4}[mode]
    total = np.zeros((height, width, channels))
    for cells in (2, 4, 8, 16, 32):
        for channel in range(channels):
            coarse = Image.fromarray(rng.random((cells, cells), dtype=np.float32))
            total[..., channel] += np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC)) / cells**0.5
    total = (total - total.min()) / (np.ptp(total) + 1e-9) * 255
    return Image.fromarray(total.astype(np.uint8).squeeze() if channels == 1 else total.astype(np.uint8), mode)


def file_of(image, kind="JPEG", **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def reference(name, content, upright=True):
    """Return what the processor makes of the file, as bytes again."""
    image = Image.open(io.BytesIO(content))
    image = ImageOps.exif_transpose(image) if upright else image
    spec, values = SPECS[name], PROCESSORS[name](image, return_tensors="np")["pixel_values"][0]
    mean, std = (np.array(v)[:, None, None] for v in (spec.mean, spec.std))
    return (values * std + mean) / spec.scale


def error(name, content, **options):
    """Return the mean distance from the processor's pixels, in steps of 1/255."""
    found = decode_image(content, SPECS[name], **options)
    assert found.shape == SPECS[name].shape
    assert found.dtype == np.uint8
    return np.abs(found - reference(name, content)).mean()


@pytest.mark.parametrize("name", PROCESSORS)
@settings(deadline=None, max_examples=25)
@given(width=st.integers(30, 300), height=st.integers(30, 300), orientation=st.integers(0, 9))
def test_pixels_are_the_processors(name, width, height, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = file_of(photo(width, height), quality=90, exif=exif)
    assert error(name, content) < 0.5


@pytest.mark.parametrize("size", [(640, 480), (480, 640), (500, 333), (1, 700), (700, 3), (1, 1), (57, 56)])
@pytest.mark.parametrize("name", PROCESSORS)
def test_sizes(name, size):
    assert error(name, file_of(photo(*size), "PNG")) < 0.5


def test_a_wrong_crop_would_be_seen():
    shifted = replace(SPECS["dinov2"], shortest_edge=65)
    content = file_of(photo(90, 60))
    assert np.abs(decode_image(content, shifted) - reference("dinov2", content)).mean() > 1


@pytest.mark.parametrize("orientation", range(2, 9))
def test_rotation_matters(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = file_of(photo(90, 60), exif=exif)
    found = decode_image(content, SPECS["clip"])
    assert np.abs(found - reference("clip", content)).mean() < 0.5
    assert np.abs(found - reference("clip", content, upright=False)).mean() > 5


def palette(transparency):
    image = photo(80, 60).quantize(16)
    return file_of(image, "PNG", transparency=transparency)


def grey16():
    return file_of(Image.fromarray(np.asarray(photo(80, 60, "L")).astype(np.uint16) * 257), "PNG")


MODES = {
    "grey JPEG": lambda: file_of(photo(80, 60, "L")),
    "CMYK JPEG": lambda: file_of(photo(80, 60, "CMYK")),
    "grey PNG": lambda: file_of(photo(80, 60, "L"), "PNG"),
    "PNG with alpha": lambda: file_of(photo(80, 60, "RGBA"), "PNG"),
    "grey with alpha": lambda: file_of(photo(80, 60, "RGBA").convert("LA"), "PNG"),
    "palette": lambda: file_of(photo(80, 60).quantize(16), "PNG"),
    "palette, one transparent": lambda: palette(3),
    "palette, all shades of transparent": lambda: palette(bytes(range(0, 256, 16))),
    "grey, one transparent": lambda: file_of(photo(80, 60, "L"), "PNG", transparency=100),
    "black and white": lambda: file_of(photo(80, 60, "L").convert("1"), "PNG"),
    "GIF": lambda: file_of(photo(80, 60).quantize(16), "GIF"),
    "WebP": lambda: file_of(photo(80, 60), "WEBP", lossless=True),
    "BMP": lambda: file_of(photo(80, 60), "BMP"),
    "progressive JPEG": lambda: file_of(photo(80, 60), progressive=True),
    "JPEG without subsampling": lambda: file_of(photo(80, 60), subsampling=0),
}


@pytest.mark.parametrize("mode", MODES)
def test_modes(mode):
    assert error("dinov2", MODES[mode]()) < 0.5


def test_sixteen_bits_keep_their_upper_eight():
    grey = decode_image(file_of(photo(80, 60, "L"), "PNG"), SPECS["clip"])
    assert np.array_equal(decode_image(grey16(), SPECS["clip"]), grey)


@pytest.mark.parametrize("largest", [1, 255])
def test_floating_point_samples(largest):
    values = np.asarray(photo(80, 60, "L")).astype(np.float32) * (largest / 255)
    found = decode_image(file_of(Image.fromarray(values), "TIFF"), SPECS["clip"])
    grey = decode_image(file_of(photo(80, 60, "L"), "PNG"), SPECS["clip"])
    assert np.abs(found.astype(int) - grey).max() <= 1


def test_the_first_frame_of_a_moving_picture():
    frames = [photo(80, 60, seed=seed).quantize(16) for seed in (1, 2)]
    content = file_of(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert error("clip", content) < 0.5


def test_a_draft_is_near():
    content = file_of(photo(400, 300), quality=90)
    assert 0.1 < error("clip", content, draft=True) < 1.5
    assert error("clip", content) < 0.1


def test_a_draft_of_a_turned_picture_is_near():
    exif = Image.Exif()
    exif[0x0112] = 6
    assert error("dinov2", file_of(photo(600, 300), quality=90, exif=exif), draft=True) < 1.5


@pytest.mark.parametrize("name", PROCESSORS)
def test_normalised_they_are_what_the_processor_gives(name):
    content = file_of(photo(90, 70))
    values = PROCESSORS[name](Image.open(io.BytesIO(content)), return_tensors="pt")["pixel_values"]
    found = normalise(stack_images((content,), SPECS[name]), SPECS[name])
    assert found.dtype == torch.float32
    assert (found - values).abs().mean() < 1 / 255


def test_normalise_takes_no_images_too():
    assert normalise(torch.empty((0, 3, 56, 56), dtype=torch.uint8), SPECS["clip"]).shape == (0, 3, 56, 56)


def test_normalise_in_half_precision_is_the_rounded_result():
    pixels = stack_images((file_of(photo(90, 70)),), SPECS["clip"])
    full = normalise(pixels, SPECS["clip"])
    assert torch.equal(normalise(pixels, SPECS["clip"], torch.bfloat16), full.to(torch.bfloat16))


DAMAGED = {
    "cut": lambda whole: whole[: len(whole) // 2],
    "header alone": lambda whole: whole[:200],
    "empty": lambda _: b"",
    "text": lambda _: b"<html>not found</html>",
}


@pytest.mark.parametrize("damage", DAMAGED)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
def test_damaged_files_are_oserrors(kind, damage):
    content = DAMAGED[damage](file_of(photo(90, 70), kind))
    with pytest.raises(OSError, match="^image 2: "):
        stack_images((file_of(photo(20, 20)), content), SPECS["clip"])


@settings(deadline=None, max_examples=60)
@given(place=st.integers(0, 2000), value=st.integers(0, 255), kind=st.sampled_from(["JPEG", "PNG", "WEBP", "GIF"]))
def test_any_wrong_byte_gives_pixels_or_an_oserror(place, value, kind):
    exif = Image.Exif()
    exif[0x0112] = 6
    content = bytearray(file_of(photo(40, 30), kind, **({"exif": exif} if kind != "GIF" else {})))
    content[place % len(content)] = value
    with contextlib.suppress(OSError):
        assert decode_image(bytes(content), SPECS["clip"]).shape == SPECS["clip"].shape


def test_specs_are_read_from_files_as_well():
    for name, processor in PROCESSORS.items():
        assert read_pixel_spec(processor.to_dict()) == SPECS[name]
    old = {"size": 224, "crop_size": 224, "resample": 3, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    assert read_pixel_spec(old).shortest_edge == read_pixel_spec(old).height == 224
    square = {"size": 384, "resample": 2, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    assert read_pixel_spec(square).stretch == (384, 384)


REFUSED = {
    "gives images of different sizes": {"do_center_crop": False},
    "does not resize": {"do_resize": False},
    "crops more than it resizes to": {"size": {"shortest_edge": 50}},
    "uses do_pad": {"do_pad": True},
    "does not say how it resamples": {"resample": None},
    "has image_mean": {"image_mean": [0.5]},
    "has size": {"size": {"shortest_edge": 56, "longest_edge": 100}},
}


@pytest.mark.parametrize("message", REFUSED)
def test_processors_that_are_not_understood_are_refused(message):
    with pytest.raises(BlenderError, match=message):
        read_pixel_spec(PROCESSORS["clip"].to_dict() | REFUSED[message])
