"""Find the turns (question and answer) among the messages of a record, and the messages before them.

Some conversations begin with a system message, some with an answer. Neither belongs to a turn; the recipe says whether
the system text is kept, and whether such records are skipped.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from blender.data.sources.dialogue import UnusableRecord
from blender.data.sources.media import foreign_mark
from blender.data.sources.options import ReadOptions

_SYSTEM = "system"


@dataclass(frozen=True)
class Roles:
    """The roles of a format's messages."""

    asking: frozenset[str]
    answering: frozenset[str]


@dataclass(frozen=True)
class TurnMessages:
    """The messages of a record that form its turns, and the system texts before them."""

    #: indices of the messages: question, answer, question, …
    indices: Sequence[int]
    #: system text of the turns that have one, by number of the turn
    systems: Mapping[int, str] = field(default_factory=dict)


def find_turns(messages: Sequence[tuple[str, str]], roles: Roles, options: ReadOptions) -> TurnMessages:
    """Find the turns of a record, and keep or drop system messages and a leading answer as the recipe says.

    Args:
        messages: Role and text of each message.
        roles: The roles that ask, and those that answer.
        options: The options of the recipe.

    Raises:
        UnusableRecord: As :func:`require_alternating`; `unread_media`: a kept system text has a placeholder for media.
    """
    indices = list(range(len(messages)))
    systems: dict[int, str] = {}
    if options.system != "skip":
        indices, systems = _without_systems(messages)
    if options.leading_answer == "drop" and indices and messages[indices[0]][0] in roles.answering:
        indices = indices[1:]
        systems = _joined((max(0, at - 1), text) for at, text in systems.items())
    require_alternating([messages[index][0] for index in indices], roles)
    if options.system != "keep" or not systems:
        return TurnMessages(indices)
    for at in systems:
        if at % 2 or at == len(indices):
            where = "the last answer" if at == len(indices) else "a question"
            raise UnusableRecord("roles_out_of_order", f"a system message stands right behind {where}")
    if mark := next(filter(None, map(foreign_mark, systems.values())), None):
        raise UnusableRecord("unread_media", f'a system message holds the mark "{mark}", which is not read')
    return TurnMessages(indices, {at // 2: text for at, text in systems.items()})


def _without_systems(messages: Sequence[tuple[str, str]]) -> tuple[list[int], dict[int, str]]:
    """Return the indices of all messages but system messages, and the system texts by the number of messages before."""
    indices: list[int] = []
    texts: list[tuple[int, str]] = []
    for index, (role, text) in enumerate(messages):
        if role != _SYSTEM:
            indices.append(index)
        elif text.strip():
            texts.append((len(indices), text.strip()))
    return indices, _joined(texts)


def _joined(texts: Iterable[tuple[int, str]]) -> dict[int, str]:
    joined: dict[int, str] = {}
    for at, text in texts:
        joined[at] = f"{joined[at]}\n\n{text}" if at in joined else text
    return joined


def require_alternating(given: Sequence[str], roles: Roles) -> None:
    """Check that question and answer alternate, beginning with a question and ending with an answer.

    Raises:
        UnusableRecord: `no_turns`, `system_turn`, `roles_out_of_order` or `odd_turns`.
    """
    if not given:
        raise UnusableRecord("no_turns", "the conversation is empty")
    if given[0] == _SYSTEM:
        raise UnusableRecord("system_turn", "the conversation starts with a system message")
    asking, answering = roles.asking, roles.answering
    if asking.issuperset(given[0::2]) and answering.issuperset(given[1::2]) and not len(given) % 2:  # nearly always so
        return
    for number, role in enumerate(given, start=1):
        if role not in (asking if number % 2 else answering):
            due = "a question" if number % 2 else "an answer"
            raise UnusableRecord("roles_out_of_order", f'turn {number} should be {due}, but is by "{role}"')
    if len(given) % 2:
        raise UnusableRecord("odd_turns", f"{len(given)} turns: the last question has no answer")
