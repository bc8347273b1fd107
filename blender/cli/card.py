"""``visualchat card``: the dataset card of a blend, for its page on the hub."""

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Annotated

import typer

from blender.cli.options import BlendArgument, JsonOption

_CARD = "README.md"


def add_to(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.command(name="card", epilog="Example: visualchat card blend --sample train-000000012")(card)


def card(
    location: BlendArgument,
    sample: Annotated[
        str | None,
        typer.Option("--sample", metavar="KEY|N", help="The sample to show as an example.", show_default=False),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FILE", help="Where to; DIR/README.md by default.", show_default=False),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a card even if somebody has written on it.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Write a blend's dataset card: counts, an example, sources, licences, limits, recipe.

    Its YAML header lets `datasets.load_dataset` and the hub's viewer read the folder as it is.
    """
    from blender.cli.inspect import find_sample
    from blender.cli.output import console, num_bytes, print_json
    from blender.core.folder import hold_folder
    from blender.data.images.files import is_remote, local_path
    from blender.shards.card import choose_example, dataset_card
    from blender.shards.folder import BLEND
    from blender.shards.reader import open_blend

    blend = open_blend(location)
    index = {str(split): frame for (split,), frame in blend.index.group_by("split", maintain_order=True)}
    example = blend[find_sample(blend, sample, None)].sample if sample else choose_example(location, index)
    text = dataset_card(blend.manifest, index, example)
    if out is None and is_remote(location):
        path = f"{location.rstrip('/')}/{_CARD}"
        _upload(location, text, overwrite)
    else:
        folder = local_path(location)
        path = str(out or folder / _CARD)
        _write(Path(path), text, overwrite, held=nullcontext() if out else hold_folder(folder, BLEND))
    if as_json:
        print_json({"path": str(path), "num_bytes": len(text.encode()), "example": example.key if example else None})
    else:
        console().print(f"{path}: {num_bytes(len(text.encode()))}", markup=False)


def _write(path: Path, text: str, overwrite: bool, held: AbstractContextManager[object]) -> None:
    """Write a card; ``held`` keeps the blend's folder from being written anew meanwhile."""
    from blender.core.faults import folder_fault
    from blender.core.files import write_whole

    try:
        with held:
            if path.is_file():
                _require_untouched(str(path), path.read_bytes(), overwrite)
            write_whole(path, text.encode())
    except OSError as error:
        raise folder_fault(error, path.parent) from error


def _upload(location: str, text: str, overwrite: bool) -> None:
    from blender.shards.publish import RemoteTarget

    target = RemoteTarget(location)
    if (present := target.read(_CARD)) is not None:
        _require_untouched(f"{target.url}/{_CARD}", present, overwrite)
    target.write(_CARD, text.encode())


def _require_untouched(path: str, content: bytes, overwrite: bool) -> None:
    from blender.core.errors import FolderError
    from blender.shards.card import is_untouched

    if not overwrite and not is_untouched(content.decode("utf-8", "replace")):
        raise FolderError(f"{path} holds more than visualchat wrote", "keep what you need of it, then --overwrite")
