"""What a drawn picture holds: the scene graph, and the words it is told in.

A scene says all that the painter needs and all that a question can be about; the texts are made from it and nothing
else, so that every answer can be checked against it. The vocabularies are small on purpose: each word has one meaning
that can be seen (sizes and places keep clear of the borders between two words, colours are far apart).
"""

from msgspec import Struct

#: colour word → RGB as painted in plain light; kept inside 16..239, where light and grain cannot overflow a byte
COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (205, 38, 44),
    "orange": (234, 130, 30),
    "yellow": (234, 204, 50),
    "green": (42, 148, 66),
    "blue": (42, 88, 200),
    "purple": (126, 56, 170),
    "pink": (232, 130, 178),
    "brown": (116, 72, 40),
    "black": (30, 30, 34),
    "white": (234, 234, 230),
}

SHAPES = ("circle", "square", "triangle", "star", "ring", "hexagon", "diamond", "heart", "cross", "crescent")

#: size word → smallest and largest radius, in parts of the picture's shorter side
SIZES: dict[str, tuple[float, float]] = {
    "small": (0.055, 0.068),
    "medium-sized": (0.092, 0.108),
    "large": (0.140, 0.160),
}

#: place words by row and column of the picture's thirds
PLACES = (
    ("top left", "top middle", "top right"),
    ("middle left", "centre", "middle right"),
    ("bottom left", "bottom middle", "bottom right"),
)


class Thing(Struct, frozen=True):
    """One shape in a picture."""

    shape: str
    colour: str
    size: str
    place: str
    #: middle of the bounding box, in pixels from the top left
    centre: tuple[float, float]
    #: half of the bounding box's longer side, in pixels
    radius: float
    #: turn, in degrees
    angle: float
    #: the colour as painted: the word's RGB, slightly off
    rgb: tuple[int, int, int]
    #: a pixel well inside the painted body (a ring is hollow in its middle)
    anchor: tuple[int, int]
    #: left, top, right, bottom in pixels
    bbox: tuple[int, int, int, int]


class Scene(Struct, frozen=True):
    """One picture: its file, its backdrop and the shapes in it."""

    #: image store of the recipe that the file is in: coco, sparkles_cc or sparkles_vg
    store: str
    #: file name within the store
    name: str
    width: int
    height: int
    #: word for the backdrop, such as ``meadow``
    background: str
    #: what the backdrop is drawn from; equal in the two pictures of a pair
    backdrop_seed: int
    objects: tuple[Thing, ...]


class Sort(Struct, frozen=True, omit_defaults=True):
    """What a noun phrase picks out: every thing that agrees in the attributes given ("small red shapes")."""

    shape: str | None = None
    colour: str | None = None
    size: str | None = None
    place: str | None = None

    def matches(self, thing: Thing) -> bool:
        """Whether the phrase is true of a thing."""
        return (
            self.shape in (None, thing.shape)
            and self.colour in (None, thing.colour)
            and self.size in (None, thing.size)
            and self.place in (None, thing.place)
        )


def things_of(scene: Scene, sort: Sort) -> list[Thing]:
    """The things of a scene that a phrase picks out, in the scene's order."""
    return [thing for thing in scene.objects if sort.matches(thing)]


def count(scene: Scene, sort: Sort) -> int:
    """How many things of a scene a phrase picks out."""
    return sum(map(sort.matches, scene.objects))


def full_sort(thing: Thing) -> Sort:
    """The phrase that says everything about a thing."""
    return Sort(thing.shape, thing.colour, thing.size, thing.place)


def naming(scene: Scene, thing: Thing, unless: str | None = None) -> Sort | None:
    """The shortest phrase that picks out one thing alone.

    Args:
        scene: The scene around it.
        thing: One of its things.
        unless: An attribute that the phrase must not give away, because it is asked for.

    Returns:
        The phrase, or None where every phrase fits other things too.
    """
    for attributes in (("shape",), ("colour", "shape"), ("size", "shape"), ("colour",), ("size", "colour", "shape")):
        if unless not in attributes:
            sort = Sort(**{attribute: getattr(thing, attribute) for attribute in attributes})
            if count(scene, sort) == 1:
                return sort
    return None
