"""Turn the tokens of one answer into text while they come, and notice when it is over.

Nothing is handed out that might have to be taken back: bytes of an unfinished character, the beginning of what may
become a marker, and white space at the end wait until it is known what follows. So the pieces, put together, are the
answer.
"""

import re
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, Literal

import regex  # type: ignore[import-untyped]

from blender.encoding.marked_text import MARK

#: ``end``: the end token; ``marker``: a marker or a stop text; ``length``: no room for more; ``cancelled``: on request
Finish = Literal["end", "marker", "length", "cancelled"]
#: what a tokenizer shows for bytes that are no whole character
_UNFINISHED = "\ufffd"


class Listener:
    """Listens to one answer.

    Args:
        tokenizer: Turns ids into text.
        end_ids: Tokens that end the answer.
        stop: Pattern of what ends it as well.
        max_tokens: How many tokens it may have.
        on_text: Called with every new piece of the answer.
    """

    def __init__(
        self,
        tokenizer: Any,
        end_ids: Sequence[int],
        stop: "regex.Pattern[str] | None",
        max_tokens: int,
        on_text: Callable[[str], None] | None = None,
    ) -> None:
        self._tokenizer = tokenizer
        self._end_ids = frozenset(end_ids)
        self._stop = stop
        self._max_tokens = max_tokens
        self._on_text = on_text
        self._window: list[int] = []
        self._num_known = 0
        self._known = ""
        self._heard = ""
        self._searched = 0
        self._told = ""
        self.num_tokens = 0
        self.finish: Finish | None = None

    @property
    def answer(self) -> str:
        """What has been handed out so far; the whole answer once it is finished."""
        return self._told

    def hear(self, token: int) -> bool:
        """Take one more token; return whether the answer is over."""
        if self.finish:
            return True
        self.num_tokens += 1
        if token in self._end_ids:
            self.end("end")
            return True
        self._window.append(token)
        self._read()
        if not self._search() and self.num_tokens >= self._max_tokens:
            self.end("length")
        return self.finish is not None

    def end(self, finish: Finish) -> None:
        """End the answer, and hand out what waited."""
        if self.finish is not None:
            return
        self._read(to_the_end=True)
        if not self._search():
            self._finish(finish, len(self._heard))

    def _read(self, to_the_end: bool = False) -> None:
        """Take up the text of new tokens.

        A token's text can depend on those before it, so a window of a few is turned into text with and without it.
        """
        text = self._text(self._window)
        if len(text) <= len(self._known) or (text.endswith(_UNFINISHED) and not to_the_end):
            return
        self._heard += text[len(self._known) :].replace(MARK, "")
        self._window = self._window[self._num_known :]
        self._num_known = len(self._window)
        self._known = self._text(self._window)

    def _text(self, ids: list[int]) -> str:
        return str(self._tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))

    def _search(self) -> bool:
        """Look for a stop in what was not searched yet; hand out what is safe."""
        found = self._stop and self._stop.search(self._heard, self._searched, partial=True)
        if found and not found.partial:
            self._finish("marker", found.start())
            return True
        self._searched = found.start() if found else len(self._heard)
        self._tell(self._heard[: self._searched].strip())
        return False

    def _finish(self, finish: Finish, end: int) -> None:
        self.finish = finish
        self._tell(self._heard[:end].strip())

    def _tell(self, text: str) -> None:
        piece = text[len(self._told) :]
        self._told = text
        if piece and self._on_text:
            self._on_text(piece)


@cache
def stop_pattern(markers: str, stop: tuple[str, ...]) -> "regex.Pattern[str] | None":
    """Make the pattern of what ends an answer.

    Args:
        markers: A template's markers, as a regular expression; may be empty.
        stop: Further texts.
    """
    parts = [markers, *(re.escape(text) for text in stop)]
    joined = "|".join(f"(?:{part})" for part in parts if part)
    return regex.compile(joined) if joined else None
