"""Backgrounds: walls, cloths and landscapes that shapes stand out from.

Each is a few broad colours plus a texture that is made once and cropped at a random place, which is what makes
hundreds of pictures a second possible. Textures and grain are bytes that wrap around: adding them costs one pass, and
no overflow can happen because all colours keep clear of both ends.
"""

from functools import lru_cache

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray
from PIL import Image

from blender.core.randomness import generator
from blender.demo.scene import COLOURS

Pixels = NDArray[np.uint8]
Colour = tuple[int, int, int]

#: side of a texture tile; larger than any picture
TILE = 704


class Backdrop(Struct, frozen=True):
    """One kind of background."""

    #: how a sentence names it
    words: str
    #: colours, from top to bottom of each layer: (top, bottom) of the first, then of the second, ...
    layers: tuple[tuple[Colour, Colour], ...]
    #: name of the texture laid over it
    texture: str
    #: where the second layer begins, in parts of the height, and how hilly its upper edge is
    horizon: float = 0.0
    hills: float = 0.0


BACKDROPS: dict[str, Backdrop] = {
    "plaster wall": Backdrop("a beige plaster wall", (((214, 198, 172), (188, 170, 144)),), "clouds"),
    "grey wall": Backdrop("a plain grey wall", (((172, 176, 180), (136, 140, 146)),), "clouds"),
    "paper": Backdrop("a sheet of cream paper", (((216, 210, 190), (204, 196, 172)),), "fibres"),
    "wooden table": Backdrop("a light wooden table", (((198, 164, 122), (180, 144, 102)),), "planks"),
    "blue cloth": Backdrop("a pale blue cloth", (((164, 188, 206), (132, 160, 184)),), "folds"),
    "dark cloth": Backdrop("a dark grey cloth", (((70, 70, 76), (54, 54, 60)),), "folds"),
    "chalkboard": Backdrop("a dark green chalkboard", (((58, 78, 70), (46, 64, 58)),), "smears"),
    "mist": Backdrop("a soft lilac mist", (((206, 192, 212), (168, 158, 186)),), "clouds"),
    "meadow": Backdrop(
        "a meadow under a pale sky",
        (((164, 190, 208), (204, 210, 206)), ((142, 160, 104), (104, 128, 76))),
        "grass",
        0.58,
        0.05,
    ),
    "beach": Backdrop(
        "a sandy beach by a calm sea",
        (((172, 196, 210), (206, 212, 210)), ((110, 160, 176), (132, 176, 184)), ((208, 190, 152), (188, 166, 126))),
        "grass",
        0.42,
        0.0,
    ),
    "evening sea": Backdrop(
        "a dark sea under an evening sky",
        (((118, 104, 140), (204, 160, 140)), ((62, 74, 100), (44, 54, 78))),
        "waves",
        0.55,
        0.0,
    ),
    "snowy hills": Backdrop(
        "snowy hills under a grey sky",
        (((132, 144, 158), (168, 176, 186)), ((196, 204, 212), (176, 186, 198)), ((214, 218, 222), (192, 200, 208))),
        "clouds",
        0.45,
        0.10,
    ),
    "desert": Backdrop(
        "desert dunes under a hazy sky",
        (((178, 188, 192), (210, 200, 178)), ((200, 172, 128), (182, 150, 106)), ((188, 156, 110), (164, 130, 90))),
        "waves",
        0.48,
        0.10,
    ),
    "night": Backdrop(
        "black hills under a night sky",
        (((32, 40, 78), (62, 70, 108)), ((38, 42, 50), (34, 36, 42))),
        "clouds",
        0.66,
        0.09,
    ),
}


@lru_cache
def colours_on(background: str, least: float = 90.0) -> tuple[str, ...]:
    """The colour words that stand out from a background: far enough in RGB from each of its colours."""
    own = np.array([colour for layer in BACKDROPS[background].layers for colour in layer], dtype=float)
    return tuple(word for word, rgb in COLOURS.items() if np.linalg.norm(own - np.array(rgb), axis=1).min() >= least)


#: (cells across, cells down, strength) of each octave of a texture
_OCTAVES: dict[str, tuple[tuple[int, int, int], ...]] = {
    "clouds": ((8, 8, 6), (28, 28, 4), (110, 110, 2)),
    "fibres": ((4, 4, 2), (62, 275, 3), (275, 62, 3), (352, 352, 3)),
    "planks": ((2, 10, 5), (4, 103, 6), (7, 344, 5)),
    "folds": ((10, 2, 9), (21, 6, 6), (352, 352, 3)),
    "smears": ((4, 2, 5), (28, 11, 4), (82, 28, 3)),
    "grass": ((6, 6, 4), (55, 28, 4), (344, 151, 6)),
    "waves": ((4, 21, 4), (17, 76, 6), (41, 206, 4)),
}
#: light that falls unevenly on all of them
_LIGHT = ((2, 3, 7), (5, 5, 4))


def draw_backdrop(background: str, width: int, height: int, rng: np.random.Generator) -> Pixels:
    """Draw a background.

    Args:
        background: A name of :data:`BACKDROPS`.
        width: Of the picture, in pixels.
        height: Of the picture, in pixels.
        rng: Decides tint, light, horizon and texture.

    Returns:
        (height, width, 3) bytes.
    """
    backdrop = BACKDROPS[background]
    tint = rng.normal(0.0, 4.0, 3)
    canvas = _gradient(backdrop.layers[0], width, height, tint)
    edge = backdrop.horizon + float(rng.uniform(-0.07, 0.07))
    for layer in backdrop.layers[1:]:
        skyline = _skyline(width, height, edge, backdrop.hills, rng)
        top = int(np.clip(skyline.min() - 1, 0, height - 1))
        _cover(canvas[top:], _gradient(layer, width, height - top, tint), skyline - top)
        edge += float(rng.uniform(0.14, 0.24))
    canvas += crop(texture(backdrop.texture), width, height, rng)
    return canvas


def crop(tile: Pixels, width: int, height: int, rng: np.random.Generator) -> Pixels:
    """Cut a piece of a tile at a random place."""
    left, top = int(rng.integers(TILE - width)), int(rng.integers(TILE - height))
    return tile[top : top + height, left : left + width]


def _gradient(layer: tuple[Colour, Colour], width: int, height: int, tint: NDArray[np.float64]) -> Pixels:
    """From the layer's upper to its lower colour, in runs of 32 equal pixels: ten times numpy's own speed."""
    down = np.linspace(0.0, 1.0, height)[:, None]
    rows = (np.array(layer[0]) * (1 - down) + np.array(layer[1]) * down + tint).clip(46, 209).astype(np.uint8)
    run = 32
    runs = np.tile(rows, (1, run)).reshape(height, 1, 3 * run)
    return np.repeat(runs, -(-width // run), axis=1).reshape(height, -1, 3)[:, :width]


def _skyline(width: int, height: int, edge: float, hills: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """For each column, the row at which a layer begins."""
    across = np.linspace(0.0, 2 * np.pi, width)
    waves = sum(np.sin(across * float(rng.uniform(0.3, 0.9)) * k + float(rng.uniform(0, 6.3))) / k for k in (1, 2, 4))
    return np.asarray(height * (edge + hills * waves * 0.6), dtype=np.float32)


def _cover(canvas: Pixels, layer: Pixels, skyline: NDArray[np.float32]) -> None:
    """Lay a layer over everything under the skyline, with a smooth edge."""
    bottom = int(np.clip(skyline.max() + 2, 0, canvas.shape[0]))
    canvas[bottom:] = layer[bottom:]
    rows = np.arange(bottom, dtype=np.float32)[:, None]
    share = np.clip(rows - skyline + 0.5, 0.0, 1.0)[..., None]
    canvas[:bottom] = (canvas[:bottom] * (1 - share) + layer[:bottom] * share).astype(np.uint8)


@lru_cache
def grain() -> Pixels:
    """The noise of a camera: (TILE, TILE, 3) signed steps as wrapping bytes."""
    rng = generator(0, "demo", "grain")
    half = TILE // 2
    steps = rng.normal(0, 3.6, (half, half, 1)) + rng.normal(0, 2.0, (half, half, 3))
    return np.tile(_bytes(steps, 13), (2, 2, 1))


@lru_cache
def texture(name: str) -> Pixels:
    """A texture tile: (TILE, TILE, 3) signed steps as wrapping bytes."""
    rng = generator(0, "demo", "texture", name)
    octaves = (*_LIGHT, *_OCTAVES[name])
    total = sum(strength * _octave(rng, across, down) for across, down, strength in octaves)
    return np.repeat(_bytes(np.asarray(total)[..., None], 30), 3, axis=2)


def _octave(rng: np.random.Generator, across: int, down: int) -> NDArray[np.float32]:
    cells = Image.fromarray(rng.normal(0.0, 1.0, (down, across)).astype(np.float32))
    return np.array(cells.resize((TILE, TILE), Image.Resampling.BICUBIC))


def _bytes(steps: NDArray[np.floating], most: int) -> Pixels:
    signed: NDArray[np.int8] = np.clip(np.rint(steps), -most, most).astype(np.int8)
    return signed.view(np.uint8)
