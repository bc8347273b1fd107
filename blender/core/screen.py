"""rich's texts and consoles, which show what strangers' texts hide (:mod:`blender.core.visible`) and never obey them.

Everything that is printed is made of these; a rule of the linter keeps rich's own away, so that no command can forget
it. Square brackets are text as well: styles are put together from pieces (``Text.assemble``), never written as markup.
"""

from collections.abc import Iterable
from typing import Any, TextIO

from rich.console import Console, ConsoleOptions, RenderableType  # noqa: TID251
from rich.segment import Segment
from rich.text import Text  # noqa: TID251

from blender.core.visible import visible


class VisibleText(Text):
    """A text that shows what is hidden in it."""

    def __init__(self, text: str = "", *arguments: Any, **options: Any) -> None:
        super().__init__(visible(text), *arguments, **options)

    @classmethod
    def assemble(cls, *parts: Any, **options: Any) -> "VisibleText":
        """Put texts, and pairs of a text and a style, one behind the other."""
        made = cls(**options)
        for part in parts:
            made.append(*part) if isinstance(part, tuple) else made.append(part)
        return made

    def append(self, text: Any, style: Any = None) -> "VisibleText":
        """Add a text behind this one."""
        super().append(visible(text) if isinstance(text, str) else text, style)
        return self


class Screen(Console):
    """A console for texts from anywhere.

    Args:
        file: Where to write; standard output when None.
        stderr: Write to standard error instead.
        width: Of a line; the terminal's when None.
    """

    def __init__(self, file: TextIO | None = None, *, stderr: bool = False, width: int | None = None) -> None:
        super().__init__(file=file, stderr=stderr, width=width, highlight=False, markup=False, emoji=False)

    def print(self, *objects: Any, **options: Any) -> None:
        """Print texts and tables."""
        super().print(*(visible(each) if isinstance(each, str) else each for each in objects), **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Render anything; what was made elsewhere and hides something shows it, too."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=visible(segment.text))
