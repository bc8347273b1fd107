"""Sessions for requests: a request brings its whole conversation along, and most of it is often known already.

The sessions of the latest conversations are kept with their keys and values. A request goes on with the one that has
most of its rounds; what that one has beyond them is taken back, what it lacks is recorded. A kept session is lent to
one request at a time.
"""

import re
import threading
from collections import deque
from collections.abc import Sequence
from typing import Literal

from blender.serve.http.reading import Asked, Exchange
from blender.serve.loading import LoadedModel
from blender.serve.session import Session
from blender.template import IMAGE
from blender.text.chat import ChatTemplate

#: what marks places in a text while it is rendered and tokenised
_NONCHARACTERS = re.compile("[\ufdd0-\ufdef]")


class Conversations:
    """The latest conversations. Safe for several threads.

    Args:
        loaded: The model.
        most: How many are kept.
        overflow: What is done about a conversation beyond the model's length.
    """

    def __init__(self, loaded: LoadedModel, most: int, overflow: Literal["refuse", "drop"]) -> None:
        self._loaded, self._overflow = loaded, overflow
        self._lock = threading.Lock()
        self._kept: deque[tuple[str | None, Session]] = deque(maxlen=most)

    def __len__(self) -> int:
        return len(self._kept)

    def lend(self, asked: Asked) -> Session:
        """Return a session that stands before a request's question.

        Raises:
            SessionError: A question of the conversation is empty, or an image cannot be read.
            TooLongError: There is no room for the conversation.
        """
        session = self._likest(asked) or self._new(asked.system)
        for _ in range(len(session.rounds) - _num_common(session, asked.rounds)):
            session.undo()
        for one in asked.rounds[len(session.rounds) :]:
            session.record(one.question, one.answer, one.images)
        session.require_room(asked.question, len(asked.images), asked.sampling)
        return session

    def give_back(self, asked: Asked, session: Session) -> None:
        """Keep a session for the next request, and forget the oldest one."""
        with self._lock:
            self._kept.append((asked.system, session))

    def forget(self) -> None:
        """Give the memory of all that are kept back."""
        with self._lock:
            self._kept.clear()

    def _likest(self, asked: Asked) -> Session | None:
        """Take the kept session that has most of a request's rounds; None if none has any."""
        with self._lock:
            scores = [
                _num_common(session, asked.rounds) if system == asked.system else 0 for system, session in self._kept
            ]
            best = max(scores, default=0)
            if not best:
                return None
            place = scores.index(best)
            session = self._kept[place][1]
            del self._kept[place]
            return session

    def _new(self, system: str | None) -> Session:
        words = None if system is None else _harmless(system.strip(), self._loaded)
        return Session(self._loaded, system=words, overflow=self._overflow)


def _harmless(text: str, loaded: LoadedModel) -> str:
    """Break the special tokens in a text that a chat template puts into its structure, where they would count.

    Other templates take a system text as they take any text.
    """
    if not isinstance(loaded.template, ChatTemplate):
        return text
    text = _NONCHARACTERS.sub("", text)
    added = [token.content for token in loaded.tokenizer.added_tokens_decoder.values() if token.special]
    special = sorted({*loaded.tokenizer.all_special_tokens, *added, IMAGE}, key=len, reverse=True)
    pattern = re.compile("|".join(re.escape(token) for token in special if len(token) > 1))
    while pattern.search(text):
        text = pattern.sub(lambda match: f"{match[0][0]} {match[0][1:]}", text)
    return text


def _num_common(session: Session, rounds: Sequence[Exchange]) -> int:
    """Count the rounds that both begin with."""
    images = session.images
    for number, (mine, other) in enumerate(zip(session.rounds, rounds, strict=False)):
        shown = tuple(images[n - 1] for n in mine.images)
        if (mine.question, mine.answer, shown) != (other.question, other.answer, other.images):
            return number
    return min(len(session.rounds), len(rounds))
