"""Locate the files of a model, a tokenizer or an image processor: a folder, or a repository of the Hugging Face hub.

Names are checked before any library asks the network. A path to nothing gets one sentence; without a network there are
no retries, and the hub's cache is used.
"""

import os
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from threading import Thread
from typing import Any, TypeVar

from blender.core.errors import BlenderError, ModelError

_T = TypeVar("_T")
#: a name on the hub: ``name`` or ``organisation/name``
_REPOSITORY = re.compile(r"[\w][\w.-]{0,95}(/[\w][\w.-]{0,95})?", re.ASCII)
_HINT = "names of the hub look like org/name"
#: seconds that the hub has to answer; libraries that load from it try again by themselves
_TIMEOUT = 1.5
#: any of these in the cache means that the repository was fetched
_KNOWN_FILES = ("config.json", "tokenizer_config.json", "preprocessor_config.json", "tokenizer.json")


def load_named(what: str, name: str | Path, load: Callable[[Any], _T], error: type[BlenderError] = ModelError) -> _T:
    """Load something by name; errors of libraries become one sentence.

    Args:
        what: What it is, such as ``tokenizer``.
        name: A folder, or a name on the hub.
        load: Called with the folder or the name to load from.
        error: What is raised.

    Raises:
        BlenderError: It is not there, or cannot be loaded.
    """
    location = locate(what, name, error)
    try:
        return load(location)
    except (OSError, ValueError) as fault:
        first = next(iter(str(fault).strip().splitlines()), type(fault).__name__)
        raise error(f"the {what} {name} cannot be loaded: {first}", "name a model or its folder") from fault


def locate(what: str, name: str | Path, error: type[BlenderError] = ModelError) -> str:
    """Return the folder, or the name on the hub, that a library can load from.

    Args:
        what: What is looked for, such as ``tokenizer``.
        name: A folder, or a name on the hub.
        error: What is raised.

    Raises:
        BlenderError: There is no such folder; or it is a name on the hub, which cannot be reached.
    """
    text = str(name)
    path = Path(text).expanduser()
    if path.is_dir():
        return str(path)
    if path.is_file():
        raise error(f"the {what} {text} is a file, and a folder is wanted", _HINT)
    if not _REPOSITORY.fullmatch(text) or ".." in text or "--" in text or text.endswith((".git", ".")):
        raise error(f"no such folder: {text} (the {what})", _HINT)
    reason = _why_unreachable()
    if reason is None:
        return text
    cached = _cached_folder(text)
    if cached is None:
        missing = f"there is no folder {text} (the {what}), and the hub's cache has no model of that name"
        raise error(f"{missing}; {reason}", f"name a folder, or fetch it where there is a network; {_HINT}")
    return cached


def _why_unreachable() -> str | None:
    """Say why the hub cannot be asked; None where it can."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE or os.environ.get("TRANSFORMERS_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        return "HF_HUB_OFFLINE is set"
    return None if _answers(constants.ENDPOINT) else f"{constants.ENDPOINT} does not answer"


@cache
def _answers(endpoint: str) -> bool:
    """Whether a server answers at once, through the proxy that is set, if any. Asked once per process."""
    from huggingface_hub import get_session

    answered: list[bool] = []

    def ask() -> None:
        try:
            get_session().head(endpoint, timeout=_TIMEOUT)
        except Exception:  # noqa: BLE001 (whatever the client raises: there was no answer)
            return
        answered.append(True)

    # resolving a host name has no time limit of its own
    asking = Thread(target=ask, daemon=True)
    asking.start()
    asking.join(_TIMEOUT)
    return bool(answered)


def _cached_folder(name: str) -> str | None:
    from huggingface_hub import try_to_load_from_cache

    for file in _KNOWN_FILES:
        path = try_to_load_from_cache(name, file)
        if isinstance(path, str):
            return str(Path(path).parent)
    return None
