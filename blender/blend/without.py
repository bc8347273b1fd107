"""The list of images to leave out of a blend: what ``visualchat verify --json`` found damaged, or lines by hand."""

from pathlib import Path
from typing import Any

import msgspec

from blender.core.errors import PlanError

_HINT = "give the output of `visualchat verify --json`, or a file with one store/name on each line"


def read_without(path: Path) -> frozenset[tuple[str, str]]:
    """Read a list of images.

    Args:
        path: The JSON that ``visualchat verify --json`` printed (its ``damaged``), or a text of lines ``store/name``;
            empty lines do not count.

    Returns:
        (store, name) of each image.

    Raises:
        PlanError: The file cannot be read, or is neither.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise PlanError(f"the list of images {path} cannot be read: {reason}", _HINT) from error
    return frozenset(_from_json(path, text) if text.lstrip().startswith(("{", "[")) else _from_lines(path, text))


def _from_json(path: Path, text: str) -> list[tuple[str, str]]:
    try:
        content: Any = msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise PlanError(f"the list of images {path} is not valid JSON: {error}", _HINT) from error
    images = content.get("damaged") if isinstance(content, dict) else content
    if not isinstance(images, list):
        raise PlanError(f"the list of images {path} has no list 'damaged'", _HINT)
    pairs = []
    for number, image in enumerate(images, 1):
        store, name = (image.get(key) if isinstance(image, dict) else None for key in ("store", "name"))
        if not (isinstance(store, str) and isinstance(name, str)):
            raise PlanError(f"the list of images {path}: entry {number} has no 'store' and 'name'", _HINT)
        pairs.append((store, name))
    return pairs


def _from_lines(path: Path, text: str) -> list[tuple[str, str]]:
    pairs = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        store, slash, name = line.strip().partition("/")
        if not (store and slash and name):
            raise PlanError(f"the list of images {path}, line {number}: {line.strip()[:80]!r} is no store/name", _HINT)
        pairs.append((store, name))
    return pairs
