"""Find the images that a file of conversations names, and look at each before any model is opened.

Names come from strangers: they are looked up in stores, by the rules that blends go by, and nowhere else. A file is
refused as a whole when one of its images is missing or damaged, since every model would be asked about nothing.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from blender.core.errors import EvaluationError, StoreError
from blender.data.images import ImageStore, open_store
from blender.data.images.names import plain_path
from blender.data.images.survey import ImageLimits, survey_image

_HINT = "say where the images are with --images"


@dataclass
class ImageFinder:
    """Looks for images in one place after the other."""

    stores: Sequence[ImageStore]
    limits: ImageLimits = field(default_factory=ImageLimits)
    #: what was found out about each member: why it cannot be used, or None
    _looked_at: dict[tuple[int, str], str | None] = field(default_factory=dict)

    def has_exactly(self, name: str) -> bool:
        """Say whether there is an image of this very path; a store finds one under many another spelling, too."""
        found = self._find(name)
        return found is not None and self.stores[found[0]].name_of(found[1]) == plain_path(name)

    def require(self, name: str, whose: str) -> tuple[ImageStore, str]:
        """Return where an image is: its store, and what the store calls it.

        Args:
            name: As the file has it.
            whose: Which file, conversation and round, for the error.

        Raises:
            EvaluationError: It is missing, damaged, or may not be looked up.
        """
        found = self._find(name)
        if found is None:
            refusals = [refusal for store in self.stores if (refusal := store.refusal(name))]
            places = " or ".join(store.location for store in self.stores)
            raise EvaluationError(
                f"{whose}: {refusals[0] if refusals else f'there is no image {name} in {places}'}", _HINT
            )
        number, member = found
        fault = self._look(number, member)
        if fault:
            # the sentence names the image
            raise EvaluationError(f"{whose}: {fault}", "replace it, or leave it out")
        return self.stores[number], member

    def _find(self, name: str) -> tuple[int, str] | None:
        for number, store in enumerate(self.stores):
            member = store.resolve(name)
            if member is not None:
                return number, member
        return None

    def _look(self, number: int, member: str) -> str | None:
        if (number, member) not in self._looked_at:
            self._looked_at[number, member] = survey_image(self.stores[number], member, self.limits).detail
        return self._looked_at[number, member]


def open_finder(places: Sequence[str | Path]) -> ImageFinder:
    """Open the places where images are looked for; those that are no folder are left out, but not all of them.

    Raises:
        EvaluationError: None of them can be opened.
    """
    stores, faults = list[ImageStore](), list[str]()
    for place in dict.fromkeys(map(str, places)):
        try:
            stores.append(open_store("images", place))
        except StoreError as error:
            faults.append(error.message)
    if not stores:
        raise EvaluationError(faults[0], _HINT)
    return ImageFinder(stores)


def reader_of(found: Sequence[tuple[ImageStore, str]]) -> Callable[[], tuple[bytes, ...]]:
    """Return what reads images, in order."""
    return partial(_read_all, tuple(found))


def _read_all(found: tuple[tuple[ImageStore, str], ...]) -> tuple[bytes, ...]:
    return tuple(store.read(member) for store, member in found)
