"""The command line: one small module per command, which parses, calls and prints.

Heavy imports stay inside the commands' functions, so that ``visualchat --help`` answers at once. Faults of the user's
are caught here and nowhere else: one sentence, a hint, exit code 1; wrong usage exits with 2.
"""

import logging
import os
import sys
from itertools import zip_longest
from typing import Annotated, Any, TextIO

import typer
from typer.core import TyperGroup

from blender.cli import (
    ablate,
    blend,
    card,
    chat,
    demo,
    diff,
    eval,
    index,
    inspect,
    lint,
    plan,
    preview,
    serve,
    stream,
    train,
    verify,
)
from blender.core.visible import visible

EPILOG = "Start with: visualchat demo"
#: options that name what is written
_OUTPUTS = ("--out", "-o", "--html")


class _Commands(TyperGroup):
    """All commands; a wrong argument is shown with what it hides written out."""

    def resolve_command(self, context: Any, arguments: list[str]) -> Any:
        """Find the command that was typed, and refuse an empty output."""
        name, command, rest = super().resolve_command(context, arguments)
        for option, value in zip_longest(rest, rest[1:]):
            named, equals, joined = option.partition("=")
            given = joined if equals else value
            if named in _OUTPUTS and given is not None and not given.strip():
                # a path would take an empty text for the current folder
                raise typer.BadParameter("it is empty; name a file or folder", param_hint=f"'{named}'")
        return name, command, rest

    def invoke(self, context: Any) -> Any:
        """Run the command that was typed."""
        try:
            return super().invoke(context)
        except Exception as error:
            # wrong usage, which names files that strangers named
            if isinstance(message := getattr(error, "message", None), str):
                error.message = visible(message)  # type: ignore[attr-defined]
            raise


app = typer.Typer(
    name="visualchat",
    cls=_Commands,
    help="Blend published vision-language instruction data into multi-round, multi-image conversations.",
    epilog=EPILOG,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"visualchat {version('visualchat-blender')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[  # noqa: ARG001
        bool, typer.Option("--version", help="Print the version and exit.", callback=_print_version, is_eager=True)
    ] = False,
    local_rank: Annotated[  # noqa: ARG001
        int,
        typer.Option("--local_rank", hidden=True, help="What the deepspeed launcher adds; LOCAL_RANK says it, too."),
    ] = 0,
) -> None:
    """Blend published vision-language instruction data into multi-round, multi-image conversations."""


for module in (
    demo,
    plan,
    preview,
    blend,
    inspect,
    lint,
    diff,
    card,
    verify,
    stream,
    index,
    train,
    eval,
    ablate,
    chat,
    serve,
):
    module.add_to(app)


def main() -> None:
    """Run the command line and exit."""
    from blender.core.errors import BlenderError

    logging.lastResort = _Warnings()
    try:
        app()
    except BlenderError as error:
        _fail(f"error: {error.message}", error.hint)
    except KeyboardInterrupt:
        _fail("interrupted", "run the same command again to go on", code=130)
    except BrokenPipeError:
        # the reader of our output has gone (`| head`); nothing is wrong
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except Exception as error:
        from blender.core.faults import is_disk_full

        if not is_disk_full(error):
            raise
        _fail(f"error: no space left: {error}", "free some space; temporary files are in TMPDIR, or else in /tmp")


def _fail(message: str, hint: str | None, code: int = 1) -> None:
    from blender.cli.output import say

    say(message, as_note=True)
    if hint:
        say(f"hint: {hint}", as_note=True)
    sys.exit(code)


class _Warnings(logging.StreamHandler[TextIO]):
    """Writes warnings where nothing else is set up, as Python would, with what texts hide written out."""

    def __init__(self) -> None:
        super().__init__()
        self.setLevel(logging.WARNING)

    def format(self, record: logging.LogRecord) -> str:
        """Return a line."""
        return visible(super().format(record))
