"""A second opinion: works out the answer of every query from the published scene graph alone.

It shares no code with the generator, looks at ``scenes.json`` and ``questions.json`` as any reader would, and judges
places and sizes by the numbers, not by the words, of the graph.
"""

from collections import Counter

NUMBERS = (
    ("no", "one", "two", "three", "four", "five", "six")
    + ("seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen")
    + ("fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty")
)


def place_by_pixels(scene, thing):
    left, top, right, bottom = thing["bbox"]
    column = int((left + right) / 2 / scene["width"] * 3)
    row = int((top + bottom) / 2 / scene["height"] * 3)
    if (row, column) == (1, 1):
        return "centre"
    across = ("left", "middle", "right")[column]
    return f"{('top', 'middle', 'bottom')[row]} {across}"


def size_by_pixels(scene, thing):
    left, top, right, bottom = thing["bbox"]
    share = max(right - left, bottom - top) / 2 / min(scene["width"], scene["height"])
    return "small" if share < 0.085 else "medium-sized" if share < 0.125 else "large"


def seen(scene, thing):
    return {
        "shape": thing["shape"],
        "colour": thing["colour"],
        "size": size_by_pixels(scene, thing),
        "place": place_by_pixels(scene, thing),
    }


def agreeing(scene, sort):
    return [thing for thing in scene["objects"] if all(seen(scene, thing)[key] == value for key, value in sort.items())]


def only(scene, sort):
    (thing,) = agreeing(scene, sort)
    return thing


def middle(thing):
    left, top, right, bottom = thing["bbox"]
    return (left + right) / 2, (top + bottom) / 2


def extent(thing):
    left, top, right, bottom = thing["bbox"]
    return max(right - left, bottom - top)


def solve(query, scenes):
    """The value of a query about the scenes of the pictures shown so far."""
    return globals()[f"_{query['ask']}"](query, scenes, scenes[query.get("image", 1) - 1])


def _count(query, scenes, scene):
    return len(agreeing(scene, query["of"]))


def _counts(query, scenes, scene):
    return [len(agreeing(each, query["of"])) for each in scenes]


def _total(query, scenes, scene):
    return sum(len(agreeing(scenes[image - 1], query["of"])) for image in query["images"])


def _distinct(query, scenes, scene):
    return len({thing[query["attribute"]] for thing in scene["objects"]})


def _exist(query, scenes, scene):
    return "yes" if agreeing(scene, query["of"]) else "no"


def _attribute(query, scenes, scene):
    return seen(scene, only(scene, query["of"]))[query["attribute"]]


def _thing(query, scenes, scene):
    things = agreeing(scene, {"place": query["place"]})
    assert len(things) < 2
    return f"{things[0]['colour']} {things[0]['shape']}" if things else "nothing"


def _background(query, scenes, scene):
    return scene["background"]


def _more(query, scenes, scene):
    return "yes" if len(agreeing(scene, query["left"])) > len(agreeing(scene, query["right"])) else "no"


def _which_more(query, scenes, scene):
    left, right = len(agreeing(scene, query["left"])), len(agreeing(scene, query["right"]))
    return "equal" if left == right else "left" if left > right else "right"


def _commonest(query, scenes, scene):
    (word, n), *rest = Counter(thing[query["attribute"]] for thing in scene["objects"]).most_common()
    assert all(other < n for _, other in rest)
    return word


def _larger(query, scenes, scene):
    left, right = extent(only(scene, query["left"])), extent(only(scene, query["right"]))
    assert max(left, right) > 1.25 * min(left, right), "plain to see"
    return "left" if left > right else "right"


def _relation(query, scenes, scene):
    (x, y), (other_x, other_y) = middle(only(scene, query["left"])), middle(only(scene, query["right"]))
    ahead = {"left of": other_x - x, "right of": x - other_x, "above": other_y - y, "below": y - other_y}
    assert abs(ahead[query["relation"]]) > 25, "plain to see"
    return "yes" if ahead[query["relation"]] > 0 else "no"


def _remaining(query, scenes, scene):
    taken = agreeing(scene, query["taken"])
    return len([thing for thing in agreeing(scene, query["of"]) if thing not in taken])


def _added(query, scenes, scene):
    return len(agreeing(scene, query["of"])) + query["number"]


def _repainted(query, scenes, scene):
    painted = agreeing(scene, query["these"])
    objects = [{**thing, "colour": query["colour"]} if thing in painted else thing for thing in scene["objects"]]
    return len(agreeing({**scene, "objects": objects}, query["of"]))


def _moved(query, scenes, scene):
    return len(agreeing(scene, query["of"])) + len(agreeing(scenes[query["to"] - 1], query["of"]))


def _which(query, scenes, scene):
    (image,) = [image for image in query["images"] if agreeing(scenes[image - 1], query["of"])]
    return image


def _most(query, scenes, scene):
    counts = {image: len(agreeing(scenes[image - 1], query["of"])) for image in query["images"]}
    best = [image for image, n in counts.items() if n == max(counts.values())]
    return best[0] if len(best) == 1 else 0


def _same(query, scenes, scene):
    one, other = (len(agreeing(scenes[image - 1], query["of"])) for image in query["images"])
    return "yes" if one == other else "no"


def _difference(query, scenes, scene):
    """Pairs up what only one of two pictures has: by its middle, and what has left its middle by its look."""
    first, second = scenes
    gone = [thing for thing in first["objects"] if thing not in second["objects"]]
    new = [thing for thing in second["objects"] if thing not in first["objects"]]
    changes = []
    for thing in gone:
        there = [other for other in new if near(thing, other) and other["shape"] == thing["shape"]]
        alike = [other for other in new if all(other[key] == thing[key] for key in ("shape", "colour", "size"))]
        heirs = there or alike
        assert len(heirs) < 2
        new = [other for other in new if other not in heirs]
        changes.append((seen(first, thing), seen(second, heirs[0]) if heirs else None))
    return [*changes, *((None, seen(second, thing)) for thing in new)]


def near(thing, other):
    return max(abs(a - b) for a, b in zip(middle(thing), middle(other), strict=True)) <= 1
