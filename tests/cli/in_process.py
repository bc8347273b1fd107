"""Run the program inside the process of the tests: no interpreter to start, nothing to import again."""

import io
import os
import sys
from contextlib import redirect_stderr, redirect_stdout
from unittest import mock

from blender.cli import main


def run(*arguments, code=0, **environment):
    """Run the program; return what it printed to (stdout, stderr)."""
    out, err, ended = io.StringIO(), io.StringIO(), 0
    with (
        mock.patch.object(sys, "argv", ["visualchat", *map(str, arguments)]),
        mock.patch.dict(os.environ, {"COLUMNS": "100", "TERM": "dumb", **environment}),
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        try:
            main()
        except SystemExit as error:
            ended = error.code or 0
    assert ended == code, out.getvalue() + err.getvalue()
    return out.getvalue(), err.getvalue()
