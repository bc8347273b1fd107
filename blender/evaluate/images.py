"""Find the images that a file of conversations names, and check each of them before any model is opened.

Names come from strangers: they are looked up in image stores, by the same rules as in a blend, and nowhere else. A file
is refused as a whole when one of its images is missing or damaged: the models would be asked about nothing.
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
    """Looks for images in one store after the other."""

    stores: Sequence[ImageStore]
    limits: ImageLimits = field(default_factory=ImageLimits)
    #: the fault of each member that was checked, or None
    _faults: dict[tuple[int, str], str | None] = field(default_factory=dict)

    def has_exactly(self, name: str) -> bool:
        """Tell whether an image has exactly this path; a store also finds it under other spellings."""
        found = self._find(name)
        return found is not None and self.stores[found[0]].name_of(found[1]) == plain_path(name)

    def require(self, name: str, whose: str) -> tuple[ImageStore, str]:
        """Return the store of an image, and its name in the store.

        Args:
            name: As the file has it.
            whose: The file, conversation and round that names it, for the error.

        Raises:
            EvaluationError: It is missing or damaged, or its name is refused.
        """
        found = self._find(name)
        if found is None:
            refusals = [refusal for store in self.stores if (refusal := store.refusal(name))]
            locations = " or ".join(store.location for store in self.stores)
            raise EvaluationError(
                f"{whose}: {refusals[0] if refusals else f'there is no image {name} in {locations}'}", _HINT
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
        if (number, member) not in self._faults:
            self._faults[number, member] = survey_image(self.stores[number], member, self.limits).detail
        return self._faults[number, member]


def open_finder(locations: Sequence[str | Path]) -> ImageFinder:
    """Open the image stores to look in; locations that cannot be opened are skipped, as long as one can.

    Raises:
        EvaluationError: None of them can be opened.
    """
    stores, faults = list[ImageStore](), list[str]()
    for location in dict.fromkeys(map(str, locations)):
        try:
            stores.append(open_store("images", location))
        except StoreError as error:
            faults.append(error.message)
    if not stores:
        raise EvaluationError(faults[0], _HINT)
    return ImageFinder(stores)


def make_reader(members: Sequence[tuple[ImageStore, str]]) -> Callable[[], tuple[bytes, ...]]:
    """Return a function that reads images, in order."""
    return partial(_read_all, tuple(members))


def _read_all(members: tuple[tuple[ImageStore, str], ...]) -> tuple[bytes, ...]:
    return tuple(store.read(member) for store, member in members)
