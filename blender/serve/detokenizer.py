"""Turn the tokens of an answer into text as they come, and find where the answer ends.

Text is passed on only when it can no longer change: bytes of an incomplete character, the beginning of a possible
marker, and trailing white space wait for the next token. So the pieces, joined, are the answer.
"""

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Literal

import regex  # type: ignore[import-untyped]

from blender.encoding.marked_text import MARK

#: ``end``: the end token; ``marker``: a marker or a stop text; ``length``: no room for more; ``cancelled``: on request
Finish = Literal["end", "marker", "length", "cancelled"]
#: called with each new piece of an answer
OnText = Callable[[str], None]
#: what a tokenizer gives for bytes of an incomplete character
_INCOMPLETE = "\ufffd"


class Detokenizer:
    """Incremental detokenizer of one answer.

    Args:
        tokenizer: A Hugging Face tokenizer.
        end_ids: Tokens that end the answer.
        stop: Pattern of texts that end it as well.
        max_tokens: Tokens that it may have.
        on_text: Called with every new piece of the answer.
    """

    def __init__(
        self,
        tokenizer: Any,
        end_ids: Sequence[int],
        stop: "regex.Pattern[str] | None",
        max_tokens: int,
        on_text: OnText | None = None,
    ) -> None:
        self._tokenizer = tokenizer
        self._end_ids = frozenset(end_ids)
        self._stop = stop
        self._max_tokens = max_tokens
        self._on_text = on_text
        #: the latest tokens; the first ``_num_decoded`` of them are in ``_text`` already, as ``_decoded``
        self._window: list[int] = []
        self._num_decoded = 0
        self._decoded = ""
        self._text = ""
        #: characters of ``_text`` in which no stop begins
        self._num_searched = 0
        #: the answer so far: what was passed on
        self.answer = ""
        self.num_tokens = 0
        self.finish: Finish | None = None

    def add(self, token: int) -> bool:
        """Take the next token; return whether the answer is over."""
        if self.finish:
            return True
        self.num_tokens += 1
        if token in self._end_ids:
            self.end("end")
            return True
        self._window.append(token)
        self._decode()
        if not self._find_stop() and self.num_tokens >= self._max_tokens:
            self.end("length")
        return self.finish is not None

    def end(self, finish: Finish) -> None:
        """End the answer, and pass on the text that waited."""
        if self.finish is not None:
            return
        self._decode(is_last=True)
        if not self._find_stop():
            self._finish(finish, len(self._text))

    def _decode(self, is_last: bool = False) -> None:
        """Append the text of new tokens.

        The text of a token can depend on the tokens before it, so a window of a few is decoded with and without it.
        """
        text = self._decode_ids(self._window)
        if len(text) <= len(self._decoded) or (text.endswith(_INCOMPLETE) and not is_last):
            return
        self._text += text[len(self._decoded) :].replace(MARK, "")
        self._window = self._window[self._num_decoded :]
        self._num_decoded = len(self._window)
        self._decoded = self._decode_ids(self._window)

    def _decode_ids(self, ids: list[int]) -> str:
        return str(self._tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))

    def _find_stop(self) -> bool:
        """Search new text for a stop; pass on what cannot be part of one."""
        match = self._stop and self._stop.search(self._text, self._num_searched, partial=True)
        if match and not match.partial:
            self._finish("marker", match.start())
            return True
        self._num_searched = match.start() if match else len(self._text)
        self._pass_on(self._text[: self._num_searched].strip())
        return False

    def _finish(self, finish: Finish, end: int) -> None:
        self.finish = finish
        self._pass_on(self._text[:end].strip())

    def _pass_on(self, text: str) -> None:
        piece = text[len(self.answer) :]
        self.answer = text
        if piece and self._on_text:
            self._on_text(piece)


# texts come from strangers: the cache must not grow with them
@lru_cache(maxsize=256)
def stop_pattern(markers: str, stop: tuple[str, ...]) -> "regex.Pattern[str] | None":
    """Compile the pattern of texts that end an answer.

    Args:
        markers: A template's markers, as a regular expression; may be empty.
        stop: Further texts.
    """
    parts = [markers, *(re.escape(text) for text in stop)]
    joined = "|".join(f"(?:{part})" for part in parts if part)
    return regex.compile(joined) if joined else None
