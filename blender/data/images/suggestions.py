"""Suggest what a name that is not in a store may have meant: a sentence for people, never used to find an image.

An index is built once from the names in the store. A name then costs a few lookups, and a comparison with its
neighbours in sorted order. Numbers must agree: 000000000012.jpg is another image than 000000000013.jpg, however similar
the names.
"""

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from difflib import SequenceMatcher
from functools import cached_property

from blender.data.images.names import normalized, stem_of

_COCO = re.compile(r"(?:coco_(?:train|val|test)20[0-9]{2}_|cgd_img_)?0*([0-9]+)")
_COCO_PREFIXES = ("", "coco_train2014_", "coco_val2014_", "coco_test2015_", "cgd_img_")
_DIGITS = re.compile(r"[0-9]+")
#: neighbours on each side that a name is compared with, in each order
_NEIGHBOURS = 16
#: names compared with their neighbours; the others only get what a lookup finds
_MANY = 500
_ALIKE = 0.8


class Suggestions:
    """The names in a store, or in one of its folders, to be compared with others.

    Args:
        paths: The names that there are.
    """

    def __init__(self, paths: Iterable[str]) -> None:
        self._paths = list(paths)
        self._num_compared = 0

    def suggest(self, name: str) -> str | None:
        """Say what a name may have meant, as the end of a sentence; None when nothing is like it."""
        base = _base(name)
        stem = stem_of(base)
        for key, why in ((base, ""), (stem, " (another extension)")):
            path = self._by_base.get(key) or self._by_stem.get(key)
            if path is not None:
                return f"did you mean {path}{why if _base(path) != base else _differing(name, path)}?"
        path = self._coco(stem) or self._close(base)
        return f"did you mean {path}?" if path else None

    @cached_property
    def _by_base(self) -> dict[str, str]:
        return {_base(path): path for path in reversed(self._paths)}

    @cached_property
    def _by_stem(self) -> dict[str, str]:
        return {stem_of(_base(path)): path for path in reversed(self._paths)}

    def _coco(self, stem: str) -> str | None:
        """Find a photograph of COCO under another of its names."""
        found = _COCO.fullmatch(stem)
        if found is None:
            return None
        forms = (found[1], found[1].zfill(12))
        names = (prefix + digits for prefix in _COCO_PREFIXES for digits in forms)
        return next((path for name in names if (path := self._by_stem.get(name))), None)

    def _close(self, base: str) -> str | None:
        """Find the name most like a name among its neighbours, read from the front and from the back."""
        self._num_compared += 1
        if self._num_compared > _MANY:
            return None
        numbers = _numbers(base)
        alike = [
            (SequenceMatcher(None, base, other).ratio(), other)
            for other in dict.fromkeys(self._neighbours(base))
            if _numbers(other) == numbers
        ]
        ratio, closest = max(alike, default=(0.0, ""))
        return self._by_base[closest] if ratio >= _ALIKE else None

    def _neighbours(self, base: str) -> Iterator[str]:
        place = bisect_left(self._sorted, base)
        yield from self._sorted[max(0, place - _NEIGHBOURS) : place + _NEIGHBOURS]
        place = bisect_left(self._sorted_from_back, base[::-1])
        neighbours = self._sorted_from_back[max(0, place - _NEIGHBOURS) : place + _NEIGHBOURS]
        yield from (name[::-1] for name in neighbours)

    @cached_property
    def _sorted(self) -> list[str]:
        return sorted(self._by_base)

    @cached_property
    def _sorted_from_back(self) -> list[str]:
        return sorted(name[::-1] for name in self._by_base)


def _base(path: str) -> str:
    """Give the last part of a path, in the form in which names are compared."""
    return normalized(path.replace("\\", "/").rpartition("/")[2]).casefold()


def _numbers(base: str) -> list[str]:
    return [digits.lstrip("0") for digits in _DIGITS.findall(base)]


def _differing(name: str, path: str) -> str:
    """Say in what two names differ that have the same letters."""
    same_base = name.replace("\\", "/").rpartition("/")[2] == path.rpartition("/")[2]
    return " (in another folder)" if same_base else " (other capitals)"
