"""Writes what a test says into a file of its own."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

Save = Callable[..., str]


@pytest.fixture
def save(tmp_path: Path) -> Save:
    """Return a function that writes bytes as they are, anything else as JSON, and returns the file's path."""

    def write(content: object, name: str = "annotations.json") -> str:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else msgspec.json.encode(content))
        return str(path)

    return write
