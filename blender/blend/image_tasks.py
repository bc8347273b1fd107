"""Work on the images of stores, some at a time in each process: the one way in which stations look into images."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from blender.blend.images import Images
from blender.core.arrays import Ints
from blender.core.executors import run_tasks
from blender.data.images import ImageStore, kept_store

Row = TypeVar("Row")

#: called with (images done, images in all)
OnImage = Callable[[int, int], None]


@dataclass(frozen=True)
class ImageTask:
    """Some images of one store."""

    name: str
    location: str
    #: (number, name, member of the store)
    images: list[tuple[int, str, str]]

    @property
    def store(self) -> ImageStore:
        """The store, opened once in each process."""
        return kept_store(self.name, self.location)


@dataclass(frozen=True)
class Workers:
    """Who works on images."""

    workers: int = 1
    #: one of :data:`blender.core.executors.EXECUTORS`
    executor: str = "local"
    on_image: OnImage | None = None


def map_images(
    function: Callable[[ImageTask], list[Row]],
    images: Images,
    numbers: Ints,
    who: Workers,
    *,
    at_a_time: int = 64,
    few: int = 200,
) -> Iterator[Row]:
    """Apply a function to images and yield the rows that it returns, in no order.

    Args:
        function: A function at the top of a module, or a partial of one.
        images: All images.
        numbers: Those to work on, increasing; each has a member.
        who: Who does it.
        at_a_time: Images of a task.
        few: Up to so many images a second process costs more than it saves.
    """
    done, workers = 0, who.workers if len(numbers) > few else 1
    for rows, size in run_tasks(_Sized(function), list(_tasks(images, numbers, at_a_time)), workers, who.executor):
        yield from rows
        done += size
        if who.on_image:
            who.on_image(done, len(numbers))


@dataclass(frozen=True)
class _Sized:
    """Applies a function, and says to how many images."""

    function: Callable[[ImageTask], list[Any]]

    def __call__(self, task: ImageTask) -> tuple[list[Any], int]:
        return self.function(task), len(task.images)


def _tasks(images: Images, numbers: Ints, at_a_time: int) -> Iterator[ImageTask]:
    rows = images.rows()
    for store in images.stores:
        first, stop = numbers.searchsorted([store.first, store.first + store.num_images])
        for start in range(first, stop, at_a_time):
            own = numbers[start : min(stop, start + at_a_time)]
            named = rows.take(own, ["name", "member"])
            pairs = [(int(number), *names) for number, names in zip(own, named, strict=True)]
            assert store.location is not None
            yield ImageTask(store.name, store.location, pairs)
