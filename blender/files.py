"""Write files so that nobody ever sees a part of one: beside their place first, then renamed to it."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give a path to write to; what was written there stands at ``path`` when the block ends well.

    After a fault nothing is left, and what stood at ``path`` before still does.

    Raises:
        OSError: The file cannot be put into its place.
    """
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    aside.unlink(missing_ok=True)
    try:
        yield aside
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def write_whole(path: Path, content: bytes | Iterable[bytes]) -> int:
    """Write a file whole; return its bytes.

    Raises:
        OSError: It cannot be written.
    """
    pieces = [content] if isinstance(content, bytes) else content
    with whole_file(path) as aside, aside.open("wb") as file:
        return sum(map(file.write, pieces))
