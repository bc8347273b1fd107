"""From a scene graph to a JPEG.

Nothing is decided here: the scene holds every position, colour and turn, and the seed that its backdrop comes
from; only the grain is drawn afresh. Masks are drawn three times too large and averaged down, which is what smooths
the edges.
"""

import io
from functools import lru_cache

import numpy as np
from msgspec import Struct
from PIL import Image, ImageChops, ImageDraw

from blender.core.randomness import generator
from blender.demo.backdrop import crop, draw_backdrop, grain
from blender.demo.outlines import outline
from blender.demo.scene import Scene, Thing

_OVERSAMPLING = 3
_SOFTNESS = 6
_SHADE_LEVELS = [level * 2 // 5 for level in range(256)]
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
    stamps = [(thing, _stamp(thing)) for thing in scene.objects]
    for thing, stamp in stamps:
        _shade(canvas, stamp, thing.radius)
    for thing, stamp in stamps:
        _fill(canvas, stamp, thing.rgb)
    return canvas


def _shade(canvas: Image.Image, stamp: Stamp, radius: float) -> None:
    """Let a shadow fall, a little to the lower right; making the coverage small and large again softens it."""
    small = stamp.coverage.reduce(_SOFTNESS).point(_SHADE_LEVELS)
    width, height = small.width + 2, small.height + 2
    room = Image.new("L", (width, height))
    room.paste(small, (1, 1))
    soft = room.resize((width * _SOFTNESS, height * _SOFTNESS), Image.Resampling.BILINEAR)
    shift = round(0.14 * radius) - _SOFTNESS
    canvas.paste(_SHADE, (stamp.corner[0] + shift, stamp.corner[1] + shift), soft)


def _stamp(thing: Thing) -> Stamp:
    form = outline(thing.shape, thing.angle)
    left, top = (int(middle - thing.radius) - 2 for middle in thing.centre)
    side = int(2 * thing.radius) + 5
    large = Image.new("L", (side * _OVERSAMPLING, side * _OVERSAMPLING))
    pen = ImageDraw.Draw(large)
    origin = np.array(thing.centre) - (left, top)
    for points, level in ((form.body, 255), (form.hole, 0)):
        if points is not None:
            pen.polygon(((points * thing.radius + origin) * _OVERSAMPLING).ravel().tolist(), fill=level)
    return Stamp((left, top), large.reduce(_OVERSAMPLING))


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
