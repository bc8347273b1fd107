"""Where a recipe's files are: on this machine or behind a URL, one path or a pattern of many.

Names on this machine are looked at; remote ones are left alone until they are opened, but for patterns, which have to
be listed.
"""

import re
from pathlib import Path

import fsspec

from blender.core.errors import SourceError
from blender.recipe.places import quoted

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_PATTERN = re.compile(r"[*?\[]")


def local_path(location: str) -> Path | None:
    """Give the path of what is kept on this machine; None for what is behind a URL."""
    location = re.sub(r"^(?:file|local)://", "", location)
    return None if "::" in location or _URL.match(location) else Path(location)


def is_pattern(location: str) -> bool:
    """Tell a glob pattern from a name; web addresses have ``?`` of their own and cannot be listed."""
    return bool(_PATTERN.search(location)) and not location.startswith(("http://", "https://"))


def expand(location: str) -> list[str]:
    """List what a path, URL or pattern names, sorted; a name stands for itself, there or not.

    A file whose own name looks like a pattern is taken by its name.

    Raises:
        SourceError: A remote pattern cannot be listed, or matches nothing.
    """
    path = local_path(location)
    if not is_pattern(location) or (path and path.exists()):
        return [location]
    if path is None:
        return _remote_matches(location)
    # the names of folders that are there are taken as they are, brackets and all
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
    """Say in a sentence why something on this machine cannot be read; None when it is there, or is not local.

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
    """Name the outermost folder on the way that is not there."""
    folders = [folder for folder in reversed(path.parents) if not is_pattern(str(folder))]
    absent = next((folder for folder in folders if not folder.is_dir()), None)
    return f": there is no folder {quoted(str(absent))}" if absent else ""


def _neighbour(path: Path) -> str:
    """Name what lies beside it under the same name but for the suffix: a folder's archive, a file's compressed form."""
    stem = path.name.split(".")[0]
    same = sorted(file.name for file in path.parent.iterdir() if file.name.split(".")[0] == stem)
    return f"; did you mean {quoted(same[0])}?" if stem and same else ""
