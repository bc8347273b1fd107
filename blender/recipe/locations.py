"""Locations of files in a recipe: a path on this machine or a URL, of one file or a pattern of many.

Local paths are checked before anything is read. URLs are checked when they are opened; only patterns are listed.
"""

import re
from pathlib import Path

import fsspec

from blender.core.errors import SourceError
from blender.recipe.document import quoted

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_PATTERN = re.compile(r"[*?\[]")


def local_path(location: str) -> Path | None:
    """Return the path of a local location; None for a URL."""
    location = re.sub(r"^(?:file|local)://", "", location)
    return None if "::" in location or _URL.match(location) else Path(location)


def is_pattern(location: str) -> bool:
    """Tell whether a location is a glob pattern. Web addresses never are: they may contain ``?`` of their own."""
    return bool(_PATTERN.search(location)) and not location.startswith(("http://", "https://"))


def expand(location: str) -> list[str]:
    """List the files that a path, URL or pattern names, sorted; a name without a pattern is returned as it is.

    A file whose own name looks like a pattern is taken by its name.

    Raises:
        SourceError: A remote pattern cannot be listed, or matches nothing.
    """
    path = local_path(location)
    if not is_pattern(location) or (path and path.exists()):
        return [location]
    if path is None:
        return _remote_matches(location)
    # names of existing folders are no patterns, even if they contain brackets
    folder = next((parent for parent in path.parents if parent.is_dir()), Path(path.anchor))
    found = folder.glob(str(path.relative_to(folder)))
    # hidden files are none of the data: macOS leaves a ._part-0.json beside each part-0.json
    return sorted(str(file) for file in found if not file.name.startswith(".") and not file.is_dir())


def _remote_matches(location: str) -> list[str]:
    try:
        filesystem, pattern = fsspec.core.url_to_fs(location)
        matches = sorted(str(filesystem.unstrip_protocol(match)) for match in filesystem.glob(pattern))
    except FileNotFoundError:
        matches = []
    except PermissionError as error:
        hint = "check the credentials, and what they may list"
        raise SourceError(f"the files {location} cannot be listed: {error}", hint) from error
    except Exception as error:  # a file system from a plug-in raises whatever its library raises
        raise SourceError(f"the files {location} cannot be listed: {error}") from error
    if not matches:
        raise SourceError(f"no file matches {location}")
    return matches


def missing(location: str, *, folder: bool = False) -> str | None:
    """Return a sentence that says why a local location cannot be read; None if it can, or is not local.

    Args:
        location: A path, URL or pattern.
        folder: Whether a folder will do.
    """
    path = local_path(location)
    if path is None:
        return None
    try:
        if is_pattern(location) and not path.exists():
            return None if expand(location) else f"no file matches {quoted(location)}{_absent_folder(path)}"
        if path.is_dir() and not folder:
            return f"{quoted(location)} is a folder, not a file; name its files, such as {location.rstrip('/')}/*.json"
        if not path.exists():
            return f"there is no {quoted(location)}{_absent_folder(path) or _neighbour(path)}"
    except OSError as error:
        return f"{quoted(location)} cannot be looked at: {error.strerror}"
    return None


def _absent_folder(path: Path) -> str:
    """Name the outermost folder of a path that does not exist."""
    folders = [folder for folder in reversed(path.parents) if not is_pattern(str(folder))]
    absent = next((folder for folder in folders if not folder.is_dir()), None)
    return f": there is no folder {quoted(str(absent))}" if absent else ""


def _neighbour(path: Path) -> str:
    """Name a file of the same stem beside a path: an archive of the folder, a compressed form of the file."""
    stem = path.name.split(".")[0]
    same = sorted(file.name for file in path.parent.iterdir() if file.name.split(".")[0] == stem)
    return f"; did you mean {quoted(same[0])}?" if stem and same else ""
