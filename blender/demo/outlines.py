"""The outline of every shape, in unit coordinates.

An outline is brought to a bounding box centred on the origin whose longer half-side is 1, after turning, so that
"radius" means the same for a star and for a circle and the middle of the box is where the scene graph says it is.
"""

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

Points = NDArray[np.float64]


class Outline(Struct, frozen=True, eq=False):
    """A closed polygon, perhaps with a hole, and a point well inside its body."""

    #: (N, 2) vertices
    body: Points
    #: (N, 2) vertices of the hole; None for most shapes
    hole: Points | None
    #: a point of the body with room around it
    anchor: tuple[float, float]
    #: left, top, right, bottom
    box: tuple[float, float, float, float]


@lru_cache(maxsize=2048)
def outline(shape: str, angle: float) -> Outline:
    """Return the outline of a shape turned by ``angle`` degrees."""
    body, hole, anchor = _form(shape)
    turn = _rotation(angle)
    body = body @ turn
    low, high = body.min(axis=0), body.max(axis=0)
    middle, reach = (low + high) / 2, float((high - low).max()) / 2
    across, down = ((anchor @ turn - middle) / reach).tolist()
    right, bottom = ((high - middle) / reach).tolist()
    return Outline(
        body=(body - middle) / reach,
        hole=None if hole is None else (hole @ turn - middle) / reach,
        anchor=(across, down),
        box=(-right, -bottom, right, bottom),
    )


def freedom(shape: str) -> float:
    """How far, in degrees, a shape may be turned to either side and still be called by its name at a glance."""
    return {"square": 10.0, "triangle": 14.0, "diamond": 9.0, "heart": 14.0, "cross": 12.0}.get(shape, 180.0)


def _rotation(angle: float) -> Points:
    cosine, sine = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    return np.array([[cosine, sine], [-sine, cosine]])


def _around(degrees: NDArray[np.float64], radius: float | NDArray[np.float64] = 1.0) -> Points:
    """Points at angles (clockwise from the top) and distances."""
    radians = np.radians(degrees)
    return np.stack([radius * np.sin(radians), -radius * np.cos(radians)], axis=1)


def _regular(corners: int) -> Points:
    return _around(np.linspace(0.0, 360.0, corners, endpoint=False))


_Form = tuple[Points, Points | None, Points]
_ORIGIN = np.zeros(2)
_SMOOTH = np.linspace(0.0, 355.0, 72)


def _circle() -> _Form:
    return _around(_SMOOTH), None, _ORIGIN


def _square() -> _Form:
    return np.array([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]]), None, _ORIGIN


def _triangle() -> _Form:
    return _regular(3), None, _ORIGIN


def _star() -> _Form:
    return _around(np.linspace(0.0, 324.0, 10), np.tile([1.0, 0.45], 5)), None, _ORIGIN


def _ring() -> _Form:
    return _around(_SMOOTH), _around(_SMOOTH, 0.56), np.array([0.0, -0.78])


def _hexagon() -> _Form:
    return _regular(6), None, _ORIGIN


def _diamond() -> _Form:
    return np.array([[0.0, -1.0], [0.64, 0.0], [0.0, 1.0], [-0.64, 0.0]]), None, _ORIGIN


def _heart() -> _Form:
    t = np.radians(_SMOOTH)
    across = 16 * np.sin(t) ** 3
    down = -(13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t))
    return np.stack([across, down], axis=1) / 16, None, np.array([0.0, -0.05])


def _cross() -> _Form:
    arm = 0.34
    quarter = np.array([[-arm, -1.0], [arm, -1.0], [arm, -arm]])
    return np.concatenate([quarter @ _rotation(90.0 * k) for k in range(4)]), None, _ORIGIN


def _crescent() -> _Form:
    bite = np.array([0.0, -0.35])
    outer = _around(np.linspace(40.0, 320.0, 60))
    across, down = outer[0] - bite
    tip = float(np.degrees(np.arctan2(across, -down)))
    inner = _around(np.linspace(tip, 360.0 - tip, 50), float(np.hypot(across, down))) + bite
    return np.concatenate([outer, inner[::-1]]), None, np.array([0.0, 0.7])


_FORMS: dict[str, Callable[[], _Form]] = {
    "circle": _circle,
    "square": _square,
    "triangle": _triangle,
    "star": _star,
    "ring": _ring,
    "hexagon": _hexagon,
    "diamond": _diamond,
    "heart": _heart,
    "cross": _cross,
    "crescent": _crescent,
}


@lru_cache
def _form(shape: str) -> _Form:
    return _FORMS[shape]()
