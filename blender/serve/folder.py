"""Check the folder of a model before anything heavy is imported, so that a wrong name is reported at once."""

from pathlib import Path

import msgspec

from blender.core.checksums import require_undamaged
from blender.core.errors import ModelError
from blender.core.hub import locate

_HINT = "name a folder that `visualchat train` wrote"


def require_model_folder(folder: str | Path) -> None:
    """Require a folder with a readable ``config.json``, or a name on the hub.

    Args:
        folder: A folder, or a name on the hub.

    Raises:
        ModelError: There is no model.
    """
    path = Path(folder).expanduser()
    if path.is_dir():
        _require_config(folder, path)
    elif path.exists() or str(folder).startswith((".", "/", "~")):
        raise ModelError(f"{folder} is no folder" if path.exists() else f"there is no folder {folder}", _HINT)
    else:
        locate("model", folder)


def _require_config(folder: str | Path, path: Path) -> None:
    if not (path / "config.json").is_file():
        is_blend = (path / "manifest.json").is_file()
        content = "a blend and no model" if is_blend else "no model: it has no config.json"
        raise ModelError(f"{folder} is {content}", _HINT)
    require_undamaged(path, lambda name: name == "config.json")
    try:
        config = msgspec.json.decode((path / "config.json").read_bytes())
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ModelError(f"{folder}/config.json cannot be read: {reason}", "copy or save the folder again") from error
    kind = config.get("model_type") if isinstance(config, dict) else None
    if kind is None:
        raise ModelError(f"{folder}/config.json names no model_type, so this is no folder of a model", _HINT)
