"""From a scene graph to a JPEG.

Nothing is decided here: the scene holds every position, colour and turn, and the seed that its backdrop comes
from; only the grain is drawn afresh. Masks are drawn four times too large and averaged down, which is what smooths
the edges.
"""

import io
from functools import lru_cache

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from blender.demo.backdrop import crop, draw_backdrop, grain
from blender.demo.outlines import outline
from blender.demo.scene import Scene, Thing
from blender.randomness import generator

_OVERSAMPLING = 4
_SHADOW_SCALE = 4
_SHADOW_MARGIN = 12
_SHADE = (30, 30, 38)
_QUALITIES = (88, 90, 92, 94)


class Stamp(Struct, frozen=True, eq=False):
    """The coverage of one shape on the pixel grid."""

    corner: tuple[int, int]
    #: grey picture, from 0 (outside) to 255
    coverage: Image.Image


def paint(scene: Scene, rng: np.random.Generator) -> bytes:
    """Draw a scene.

    Args:
        scene: What to draw.
        rng: Decides noise and JPEG quality: two pictures of one scene differ in them as photographs do.

    Returns:
        A JPEG file.
    """
    canvas = np.array(paint_clean(scene))
    canvas += crop(grain(), scene.width, scene.height, rng)
    file = io.BytesIO()
    Image.fromarray(canvas).save(file, "JPEG", quality=_QUALITIES[int(rng.integers(len(_QUALITIES)))])
    return file.getvalue()


def paint_clean(scene: Scene) -> Image.Image:
    """Draw a scene without grain."""
    rng = generator(scene.backdrop_seed, "demo", "backdrop")
    canvas = Image.fromarray(draw_backdrop(scene.background, scene.width, scene.height, rng))
    for thing in scene.objects:
        _shade(canvas, thing)
    for thing in scene.objects:
        _fill(canvas, _stamp(thing), thing.rgb)
    return canvas


def _shade(canvas: Image.Image, thing: Thing) -> None:
    """Let a soft shadow fall, a little to the lower right; it is drawn small, as it is blurred anyway."""
    middle = np.array(thing.centre) + 0.14 * thing.radius
    left, top = (int(at - thing.radius) - _SHADOW_MARGIN for at in middle.tolist())
    side = int(2 * thing.radius / _SHADOW_SCALE) + 2 * _SHADOW_MARGIN // _SHADOW_SCALE
    small = Image.new("L", (side, side))
    _draw(ImageDraw.Draw(small), thing, middle - (left, top), 1 / _SHADOW_SCALE, 105)
    soft = small.filter(ImageFilter.BoxBlur(1))
    large = soft.resize((side * _SHADOW_SCALE, side * _SHADOW_SCALE), Image.Resampling.BILINEAR)
    canvas.paste(_SHADE, (left, top), large)


def _stamp(thing: Thing) -> Stamp:
    left, top = (int(middle - thing.radius) - 2 for middle in thing.centre)
    side = int(2 * thing.radius) + 5
    large = Image.new("L", (side * _OVERSAMPLING, side * _OVERSAMPLING))
    _draw(ImageDraw.Draw(large), thing, np.array(thing.centre) - (left, top), _OVERSAMPLING, 255)
    return Stamp((left, top), large.reduce(_OVERSAMPLING))


def _draw(pen: ImageDraw.ImageDraw, thing: Thing, centre: NDArray[np.float64], scale: float, level: int) -> None:
    """Draw a shape's body, then its hole."""
    form = outline(thing.shape, thing.angle)
    for points, ink in ((form.body, level), (form.hole, 0)):
        if points is not None:
            pen.polygon(((points * thing.radius + centre) * scale).ravel().tolist(), fill=ink)


def _fill(canvas: Image.Image, stamp: Stamp, rgb: tuple[int, int, int]) -> None:
    """Give the shape its colour, lit from the upper left."""
    shaded = ImageChops.multiply(stamp.coverage, _ramp(stamp.coverage.width))
    for strength, mask in ((1.18, stamp.coverage), (0.82, shaded)):
        red, green, blue = (min(int(level * strength), 234) for level in rgb)
        canvas.paste((red, green, blue), stamp.corner, mask)


@lru_cache
def _ramp(side: int) -> Image.Image:
    """From 0 in the upper left to 255 in the lower right."""
    steps = np.linspace(0.0, 127.5, side)
    return Image.fromarray((steps[:, None] + steps).astype(np.uint8))
