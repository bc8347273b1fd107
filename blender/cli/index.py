"""``visualchat index``: what other loaders want beside the shards."""

from enum import StrEnum
from typing import Annotated

import typer

from blender.cli.options import FolderArgument, JsonOption


class OtherLoader(StrEnum):
    """A loader that needs index files of its own."""

    energon = "energon"
    wids = "wids"


_USE = {
    OtherLoader.energon: "open it with: energon preview {folder}",
    OtherLoader.wids: 'open it with: wids.ShardListDataset("{folder}/train/wids.json", localname=str)',
}


def add_to(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.command(name="index", epilog="Example: visualchat index blend --for energon")(index)


def index(
    folder: FolderArgument,
    loaders: Annotated[
        list[OtherLoader],
        typer.Option("--for", help="Who is to read the blend; repeatable.", show_default=False),
    ],
    as_json: JsonOption = False,
) -> None:
    """Leave beside a blend's shards the index files that Megatron-Energon or wids need.

    The shards stay as they are; webdataset and datasets need none of this.
    """
    from blender.cli.output import console, print_json
    from blender.core.folder import hold_folder
    from blender.shards.energon import write_energon
    from blender.shards.folder import BLEND
    from blender.shards.reader import open_blend
    from blender.shards.wids import write_wids

    blend = open_blend(folder)
    write = {OtherLoader.energon: write_energon, OtherLoader.wids: write_wids}
    with hold_folder(folder, BLEND):
        written = {loader: write[loader](blend) for loader in dict.fromkeys(loaders)}
    if as_json:
        print_json({loader.value: paths for loader, paths in written.items()})
        return
    screen = console()
    for loader, paths in written.items():
        shown = ", ".join(path for path in paths if not path.endswith(".idx"))
        beside = sum(path.endswith(".idx") for path in paths)
        where = "the shard" if beside == 1 else f"each of {beside:,} shards"
        screen.print(f"{shown}, and an .idx beside {where}" if beside else shown, markup=False)
        screen.print(_USE[loader].format(folder=folder), markup=False)
