"""How commands print: tables and progress for people, JSON for programs.

Results go to standard output, progress and warnings to standard error. Progress is a bar on a terminal and a plain
line every few seconds elsewhere.
"""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from blender.core.screen import Screen
from blender.core.screen import VisibleText as Text
from blender.core.visible import visible, visible_json

#: seconds between plain lines of progress
_EVERY = 5.0
#: characters of a line where there is no terminal
_WIDTH = 160


def console() -> Screen:
    """Return the console for results."""
    return Screen(width=None if sys.stdout.isatty() else _WIDTH)


def notes() -> Screen:
    """Return the console for progress and warnings."""
    return Screen(stderr=True, width=None if sys.stderr.isatty() else _WIDTH)


def say(text: str, end: str = "\n", *, as_note: bool = False) -> None:
    """Print a text as it is, without a width, at once; as a note to standard error."""
    stream = sys.stderr if as_note else sys.stdout
    stream.write(visible(text) + end)
    stream.flush()


def titled(title: object, rest: str) -> Text:
    """Return a line that begins with a title."""
    return Text.assemble((str(title), "bold"), f"  {rest}")


def print_json(value: object) -> None:
    """Print a value of msgspec structs as indented JSON."""
    text = msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
    sys.stdout.write(visible_json(text) + "\n")


def warn(warnings: list[str] | tuple[str, ...]) -> None:
    """Print warnings, a line each."""
    for warning in warnings:
        notes().print(Text(f"warning: {warning}", style="yellow"))


def num_bytes(count: int | float) -> str:
    """Say a number of bytes in decimal units."""
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if abs(value) < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.2f} TB"


def table(title: str, columns: list[str], rows: list[list[str]], num_texts: int = 1, texts_at_end: int = 0) -> Table:
    """Make a table whose first ``num_texts`` columns, and last ``texts_at_end``, are texts and the others figures."""
    head = Text(title, style="bold")
    made = Table(title=head, title_justify="left", title_style="bold", header_style="dim", box=None, pad_edge=False)
    for place, column in enumerate(columns):
        is_text = place < num_texts or place >= len(columns) - texts_at_end
        made.add_column(Text(column), justify="left" if is_text else "right", overflow="fold")
    for row in rows:
        made.add_row(*(Text(cell) for cell in row))
    return made


class _Rate(ProgressColumn):
    """Samples and bytes per second."""

    def render(self, task: Task) -> Text:
        elapsed = task.elapsed or 0.0
        if not elapsed or "num_bytes" not in task.fields:
            return Text("")
        done = task.completed - task.fields.get("skipped", 0)
        return Text(f"{done / elapsed:,.0f}/s  {num_bytes(task.fields['num_bytes'] / elapsed)}/s", style="dim")


class Meter:
    """Tells how far the stations of a command are."""

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet
        self._bar: Progress | None = None
        self._last = 0.0
        self._begun: dict[str, float] = {}
        self._bytes: dict[str, int] = {}
        if sys.stderr.isatty() and not quiet:
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.completed:,.0f}/{task.total:,.0f}"),
            )
            self._bar = Progress(*columns, _Rate(), TimeRemainingColumn(), console=notes(), transient=True)

    @contextmanager
    def running(self) -> Iterator["Meter"]:
        """Show progress within."""
        if self._bar is None:
            yield self
            return
        with self._bar:
            yield self

    def say(self, line: str) -> None:
        """Print a line between the bars."""
        if not self._quiet:
            (self._bar.console if self._bar else notes()).print(Text(line, style="dim"))

    def set(self, station: str, done: int, total: int, skipped: int = 0, num_bytes_more: int | None = None) -> None:
        """Tell that a station has done ``done`` of ``total``; ``skipped`` of them were done before it began."""
        if self._quiet:
            return
        begun = self._begun.setdefault(station, time.monotonic())
        if num_bytes_more is not None:
            self._bytes[station] = self._bytes.get(station, 0) + num_bytes_more
        if self._bar is not None:
            self._draw(station, done, total, skipped)
        elif time.monotonic() - self._last > _EVERY and time.monotonic() - begun > _EVERY:
            self._last = time.monotonic()
            self._tell(station, done, total, skipped, time.monotonic() - begun)

    def _draw(self, station: str, done: int, total: int, skipped: int) -> None:
        assert self._bar is not None
        fields: dict[str, Any] = {"num_bytes": self._bytes[station]} if station in self._bytes else {}
        task = next((task.id for task in self._bar.tasks if task.description == station), None)
        if task is None:
            task = self._bar.add_task(station, total=total)
        self._bar.update(task, completed=done, total=total, skipped=skipped, **fields)

    def _tell(self, station: str, done: int, total: int, skipped: int, seconds: float) -> None:
        rate = (done - skipped) / seconds
        left = f", {(total - done) / rate:,.0f} s left" if rate > 0 else ""
        written = f", {num_bytes(self._bytes[station] / seconds)}/s" if station in self._bytes else ""
        notes().print(f"{station}: {done:,}/{total:,} ({done / max(1, total):.0%}){written}{left}")
