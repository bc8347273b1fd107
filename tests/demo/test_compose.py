"""Scenes can be judged by eye: nothing touches, nothing is cut off, no word is on the border of another."""

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from blender.core.randomness import generator
from blender.demo.backdrop import BACKDROPS, colours_on
from blender.demo.compose import alter_scene, compose_scene
from blender.demo.scene import PLACES, count, naming
from tests.demo import oracle

seeds = st.integers(0, 2**32)


def check_scene(scene):
    graph = msgspec.to_builtins(scene)
    assert 1 <= len(scene.objects) <= 10
    for place, thing in enumerate(graph["objects"]):
        left, top, right, bottom = thing["bbox"]
        assert 0 < left < right < scene.width and 0 < top < bottom < scene.height
        assert thing["place"] == oracle.place_by_pixels(graph, thing)
        assert thing["size"] == oracle.size_by_pixels(graph, thing)
        assert thing["colour"] in colours_on(scene.background)
        x, y = thing["anchor"]
        assert left < x < right and top < y < bottom
        for other in graph["objects"][:place]:
            gap_x = max(left - other["bbox"][2], other["bbox"][0] - right)
            gap_y = max(top - other["bbox"][3], other["bbox"][1] - bottom)
            assert max(gap_x, gap_y) >= 4, "two shapes touch"


@settings(max_examples=200, deadline=None)
@given(seeds)
def test_every_scene_and_every_altered_copy_can_be_judged_by_eye(seed):
    rng = generator(seed, "test")
    scene = compose_scene("coco", "1.jpg", rng)
    check_scene(scene)
    copy, changes = alter_scene(scene, "2.jpg", rng)
    check_scene(copy)
    assert (copy.name, copy.backdrop_seed, copy.background) == ("2.jpg", scene.backdrop_seed, scene.background)
    untouched = set(scene.objects) - {change.before for change in changes}
    assert untouched <= set(copy.objects), "what is not named as a change stays to the pixel"
    looks = [
        {(end.shape, end.colour) for end in (change.before, change.after) if end is not None} for change in changes
    ]
    assert sum(map(len, looks)) == len(set().union(*looks)), "no two changes can be taken for one"


@settings(max_examples=100, deadline=None)
@given(seeds)
def test_a_name_of_a_thing_is_true_of_it_alone_and_gives_nothing_away(seed):
    scene = compose_scene("coco", "1.jpg", generator(seed, "test"))
    for thing in scene.objects:
        for unless in ("colour", "shape", "size", "place"):
            sort = naming(scene, thing, unless)
            if sort is not None:
                assert sort.matches(thing) and count(scene, sort) == 1 and getattr(sort, unless) is None


def test_every_background_leaves_five_colours_or_more():
    assert min(len(colours_on(background)) for background in BACKDROPS) >= 5


def test_scenes_are_varied():
    scenes = [compose_scene("coco", "1.jpg", generator(seed, "test")) for seed in range(300)]
    things = [thing for scene in scenes for thing in scene.objects]
    assert {scene.background for scene in scenes} == set(BACKDROPS)
    assert {len(scene.objects) for scene in scenes} >= set(range(2, 10))
    assert {thing.place for thing in things} == {place for row in PLACES for place in row}
    assert len({(thing.shape, thing.colour) for thing in things}) > 90
