"""Rounds of question and answer among the messages of a record, and what stands before them.

Some conversations begin with a system message, some with an answer. What becomes of those is for the recipe to say:
they are no rounds, but a recipe may keep the text of the one, and do without the other.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from blender.data.sources.dialogue import UnusableRecord
from blender.data.sources.media import foreign_mark
from blender.data.sources.options import ReadOptions

_SYSTEM = "system"


@dataclass(frozen=True)
class Roles:
    """Who speaks, in a format's words."""

    asking: frozenset[str]
    answering: frozenset[str]


@dataclass(frozen=True)
class Spoken:
    """The messages of a record that make its rounds, and what stands before them."""

    #: indices of the messages, question and answer in turn
    places: Sequence[int]
    #: system text of the rounds that have one, by round
    systems: Mapping[int, str] = field(default_factory=dict)


def spoken(messages: Sequence[tuple[str, str]], roles: Roles, options: ReadOptions) -> Spoken:
    """Find the rounds of a record, and keep or drop what a recipe says of system messages and a leading answer.

    Args:
        messages: Role and text of each message.
        roles: Which roles ask and which answer.
        options: What the recipe says.

    Raises:
        UnusableRecord: As :func:`require_rounds`; `unread_media`: a system text that stays holds a mark of media.
    """
    places = list(range(len(messages)))
    systems: dict[int, str] = {}
    if options.system != "skip":
        places, systems = _without_systems(messages)
    if options.leading_answer == "drop" and places and messages[places[0]][0] in roles.answering:
        places = places[1:]
        systems = _joined((max(0, at - 1), text) for at, text in systems.items())
    require_rounds([messages[place][0] for place in places], roles)
    if options.system != "keep" or not systems:
        return Spoken(places)
    for at in systems:
        if at % 2 or at == len(places):
            where = "the last answer" if at == len(places) else "a question"
            raise UnusableRecord("roles_out_of_order", f"a system message stands right behind {where}")
    if mark := next(filter(None, map(foreign_mark, systems.values())), None):
        raise UnusableRecord("unread_media", f'a system message holds the mark "{mark}", which is not read')
    return Spoken(places, {at // 2: text for at, text in systems.items()})


def _without_systems(messages: Sequence[tuple[str, str]]) -> tuple[list[int], dict[int, str]]:
    """Part system messages from the others; return the others' places, and the texts by how many stand before."""
    places: list[int] = []
    texts: list[tuple[int, str]] = []
    for place, (role, text) in enumerate(messages):
        if role != _SYSTEM:
            places.append(place)
        elif text.strip():
            texts.append((len(places), text.strip()))
    return places, _joined(texts)


def _joined(texts: Iterable[tuple[int, str]]) -> dict[int, str]:
    joined: dict[int, str] = {}
    for at, text in texts:
        joined[at] = f"{joined[at]}\n\n{text}" if at in joined else text
    return joined


def require_rounds(given: Sequence[str], roles: Roles) -> None:
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
