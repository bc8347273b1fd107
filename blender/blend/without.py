"""The list of images to leave out of a blend: what ``visualchat verify --json`` found damaged, or lines by hand."""

from pathlib import Path
from typing import Any

import msgspec

from blender.core.errors import PlanError, StoreError
from blender.data.images.files import is_remote, local_path
from blender.data.images.remote import read_remote, remote_system

_HINT = "give the output of `visualchat verify --json`, or a file with one store/name on each line"


def read_without(path: str | Path) -> frozenset[tuple[str, str]]:
    """Read a list of images.

    Args:
        path: Path or URL of the JSON that ``visualchat verify --json`` printed (its ``damaged``), or of a text of
            lines ``store/name``; empty lines do not count.

    Returns:
        (store, name) of each image.

    Raises:
        PlanError: The file cannot be read, or is neither.
    """
    try:
        text = _read(str(path)).decode("utf-8-sig")
    except (OSError, UnicodeDecodeError, StoreError) as error:
        raise PlanError(f"the list of images {path} cannot be read: {_reason(error)}", _HINT) from error
    return frozenset(_from_json(path, text) if text.lstrip().startswith(("{", "[")) else _from_lines(path, text))


def _read(location: str) -> bytes:
    return read_remote(*remote_system(location)) if is_remote(location) else local_path(location).read_bytes()


def _reason(error: OSError | UnicodeDecodeError | StoreError) -> str:
    match error:
        case UnicodeDecodeError():
            return "it is not UTF-8 text"
        case StoreError():
            return error.message
    return error.strerror or "there is no such file"


def _from_json(path: str | Path, text: str) -> list[tuple[str, str]]:
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


def _from_lines(path: str | Path, text: str) -> list[tuple[str, str]]:
    pairs = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        store, slash, name = line.strip().partition("/")
        if not (store and slash and name):
            raise PlanError(f"the list of images {path}, line {number}: {line.strip()[:80]!r} is no store/name", _HINT)
        pairs.append((store, name))
    return pairs
