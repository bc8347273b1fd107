"""Tables of results as Markdown, and the file that keeps the last of each."""

import os
import platform
import re
import sys
from collections.abc import Iterable, Sequence
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

RESULTS = Path(__file__).with_name("RESULTS.md")
_HEAD = """# Results

Made by `python -m benchmarks NAME --keep`. Figures in one table were measured in one run, interleaved, so that they
can be compared with each other; between runs and machines only ratios can.
"""


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Make a table; all columns but the first are numbers."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def circumstances(packages: Sequence[str], command: str) -> str:
    """Say when, where and with what was measured."""
    versions = ", ".join(f"{name} {_version(name)}" for name in packages)
    python = platform.python_version()
    return f"{date.today():%Y-%m-%d}, {_machine()}, Python {python}, {versions}.\n`{command}`"


def keep(name: str, text: str, path: Path = RESULTS) -> None:
    """Put a benchmark's results in the place of its earlier ones."""
    kept = path.read_text() if path.exists() else _HEAD
    section = f"## {name}\n\n{text.strip()}\n"
    pattern = re.compile(rf"^## {re.escape(name)}\n.*?(?=^## |\Z)", re.MULTILINE | re.DOTALL)
    replaced, found = pattern.subn(lambda _: f"{section}\n", kept)
    path.write_text((replaced if found else f"{kept.rstrip()}\n\n{section}").rstrip() + "\n")


def _version(package: str) -> str:
    try:
        return version(package).partition("+")[0]  # without the name of a build
    except PackageNotFoundError:
        return "(not installed)"


def _machine() -> str:
    cores = len(os.sched_getaffinity(0))
    model = platform.processor() or platform.machine()
    if sys.platform == "linux":
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
        model = found[1] if found else model
    return f"{cores} cores ({model})"
