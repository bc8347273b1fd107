"""The pixels show what the scene graph says."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from blender.core.randomness import generator
from blender.demo.backdrop import BACKDROPS, draw_backdrop
from blender.demo.compose import compose_scene
from blender.demo.outlines import outline
from blender.demo.paint import paint, paint_clean
from blender.demo.scene import COLOURS, SHAPES

seeds = st.integers(0, 2**32)
WORDS = tuple(COLOURS)
POINTS = np.array(list(COLOURS.values()), dtype=float)


def name_colour(rgb):
    return WORDS[np.linalg.norm(POINTS - rgb, axis=1).argmin()]


def pixels_of(jpeg):
    return np.asarray(Image.open(io.BytesIO(jpeg)), dtype=float)


@settings(max_examples=30, deadline=None)
@given(seeds)
def test_every_shape_has_its_colour_in_the_jpeg(seed):
    rng = generator(seed, "test")
    scene = compose_scene("coco", "1.jpg", rng)
    pixels = pixels_of(paint(scene, rng))
    assert pixels.shape == (scene.height, scene.width, 3)
    for thing in scene.objects:
        x, y = thing.anchor
        assert name_colour(pixels[y - 1 : y + 2, x - 1 : x + 2].mean(axis=(0, 1))) == thing.colour
        x, y = (round(at) for at in thing.centre)
        inside = pixels[y - 1 : y + 2, x - 1 : x + 2].mean(axis=(0, 1))
        assert thing.shape != "ring" or np.linalg.norm(inside - thing.rgb) > 35, "a ring is hollow"


def painted(scene):
    """Where a picture differs from its empty background clearly: (h, w) truth."""
    empty = draw_backdrop(
        scene.background, scene.width, scene.height, generator(scene.backdrop_seed, "demo", "backdrop")
    )
    return np.abs(np.asarray(paint_clean(scene), dtype=int) - empty).max(axis=2) > 12


def mask(shape, angle, size, radius, centre):
    """The pixels of a shape: (h, w) truth."""
    form, image = outline(shape, angle), Image.new("1", size)
    pen = ImageDraw.Draw(image)
    for points, ink in ((form.body, 1), (form.hole, 0)):
        if points is not None:
            pen.polygon((points * radius + centre).ravel().tolist(), fill=ink)
    return np.array(image)


@settings(max_examples=30, deadline=None)
@given(seeds)
def test_every_shape_is_whole_and_nothing_else_is_drawn(seed):
    scene = compose_scene("coco", "1.jpg", generator(seed, "test"))
    clean = np.asarray(paint_clean(scene), dtype=float)
    elsewhere = painted(scene)
    for thing in scene.objects:
        left, top, right, bottom = thing.bbox
        body = mask(thing.shape, thing.angle, (scene.width, scene.height), thing.radius, thing.centre)
        near = np.linalg.norm(clean - np.array(thing.rgb), axis=2) < 62
        assert (near & body).sum() > 0.75 * body.sum(), thing
        shadow = int(0.14 * thing.radius) + 14
        elsewhere[max(top - 14, 0) : bottom + shadow, max(left - 14, 0) : right + shadow] = False
    assert not elsewhere.any()


@pytest.mark.parametrize("shape", SHAPES)
def test_outlines_fill_a_centred_box_and_their_anchor_is_inside(shape):
    for angle in (0.0, 7.5, 133.0):
        form = outline(shape, angle)
        low, high = form.body.min(axis=0), form.body.max(axis=0)
        assert np.allclose(low, -high) and np.isclose(high.max(), 1.0)
        canvas = mask(shape, angle, (220, 220), 100, (110, 110))
        x, y = (int(at * 100 + 110) for at in form.anchor)
        assert canvas[y - 8 : y + 9, x - 8 : x + 9].all(), "there is room around the anchor"


@pytest.mark.parametrize("background", BACKDROPS)
def test_backgrounds_are_textured_and_never_overflow(background):
    for seed in range(3):
        pixels = draw_backdrop(background, 320, 240, generator(seed, "test")).astype(int)
        across, down = (np.abs(np.diff(pixels, axis=axis)) for axis in (1, 0))
        assert 0.4 < max(across.mean(), down.mean()) < 12, "neither flat nor noise alone"
        assert pixels.min() >= 16 and pixels.max() <= 239, "grain has room on both sides"
        assert max(across.max(), down.max()) < 130, "no byte has wrapped around"


def test_two_pictures_of_one_scene_differ_in_their_grain():
    scene = compose_scene("coco", "1.jpg", generator(0, "test"))
    one, other = (pixels_of(paint(scene, generator(seed, "grain"))) for seed in (1, 2))
    assert 1 < np.abs(one - other).mean() < 10
